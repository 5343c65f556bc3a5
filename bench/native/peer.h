/* What every program that measures a task library has in common: it reads a graph
 * (bench/graphs.py writes it), builds its own form of it, and then obeys lines on its input:
 *
 *     run COUNT IDLE_NS    runs the graph COUNT times, idle before each; answers with the ns that
 *                          the runs took
 *     even TURNS           from now on every task takes so many turns
 *
 * At first it answers with what the building took: ns, and bytes of memory.
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <malloc.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "spin.h"

struct Graph {
    int64_t n = 0, m = 0;
    std::vector<int32_t> tails, heads;
    std::vector<int64_t> turns;
    /* by task: where its predecessors and successors begin, and these */
    std::vector<int32_t> before_at, before, after_at, after;
};

template <class T> static void read_all(std::vector<T> &to, int64_t count, FILE *file) {
    to.resize((size_t)count);
    if (count && fread(to.data(), sizeof(T), (size_t)count, file) != (size_t)count) {
        fprintf(stderr, "the graph's file is too short\n");
        exit(1);
    }
}

static void by_task(int64_t n, const std::vector<int32_t> &key, const std::vector<int32_t> &value,
                    std::vector<int32_t> &at, std::vector<int32_t> &out) {
    at.assign((size_t)n + 1, 0);
    out.resize(value.size());
    for (int32_t v : key)
        at[(size_t)v + 1]++;
    for (size_t v = 0; v < (size_t)n; v++)
        at[v + 1] += at[v];
    std::vector<int32_t> next(at.begin(), at.end());
    for (size_t k = 0; k < key.size(); k++)
        out[(size_t)next[(size_t)key[k]]++] = value[k];
}

static Graph read_graph(const char *path) {
    Graph g;
    FILE *file = fopen(path, "rb");
    int64_t counts[2];
    if (!file || fread(counts, sizeof *counts, 2, file) != 2) {
        fprintf(stderr, "no graph in %s\n", path);
        exit(1);
    }
    g.n = counts[0], g.m = counts[1];
    read_all(g.tails, g.m, file);
    read_all(g.heads, g.m, file);
    read_all(g.turns, g.n, file);
    fclose(file);
    by_task(g.n, g.heads, g.tails, g.before_at, g.before);
    by_task(g.n, g.tails, g.heads, g.after_at, g.after);
    return g;
}

static int64_t bytes_in_use() {
    const struct mallinfo2 info = mallinfo2();
    return (int64_t)(info.uordblks + info.hblkhd);
}

static void answer(int64_t ns) {
    printf("%lld\n", (long long)ns);
    fflush(stdout);
}

/* System: constructed from (const Graph &, int workers); run() runs the graph once. */
template <class System> static void serve(Graph &graph, int workers) {
    const int64_t held = bytes_in_use(), began = now_ns();
    System system(graph, workers);
    const int64_t built = now_ns() - began;
    printf("%lld %lld\n", (long long)built, (long long)(bytes_in_use() - held));
    fflush(stdout);
    char word[8];
    long long a, b = 0;
    while (scanf("%7s %lld", word, &a) == 2) {
        if (strcmp(word, "even") == 0) {
            for (int64_t &turns : graph.turns)
                turns = a;
            answer(0);
            continue;
        }
        if (scanf("%lld", &b) != 1) return;
        int64_t took = 0, from = now_ns();
        for (long long k = 0; k < a; k++) {
            if (b) {
                idle_ns(b);
                from = now_ns();
            }
            system.run();
            if (b) took += now_ns() - from;
        }
        answer(b ? took : now_ns() - from);
    }
}

#endif
