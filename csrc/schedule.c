/* List scheduling: operators in program order, each on the worker where it would finish first.
 *
 * Earliest finish time with communication costs, as in HEFT (Topcuoglu, Hariri, Wu: "Performance-
 * effective and low-complexity task scheduling for heterogeneous computing", 2002), but without
 * its sorting by rank: program order costs nothing, keeps what was written together together,
 * and is the order that all programs must be cut out of anyway (schedule.h).
 *
 * Operators that are free to run anywhere (no predecessor holds them to a worker) stay with the
 * worker of the operator before, until it is `patience` ahead: neighbours in program order tend
 * to be neighbours in memory.
 */
#include "schedule.h"

#include <stdlib.h>

typedef struct placed {
    float finish;
    int32_t worker;
    int32_t done; /* items of that worker's program up to and with this one */
} placed;

static c2_schedule *schedule_new(int32_t n, int32_t workers) {
    c2_schedule *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->n = n;
    s->workers = workers;
    s->start = calloc((size_t)workers + 2, sizeof *s->start);
    s->items = malloc(((size_t)n + 1) * sizeof *s->items);
    if (s->start && s->items) return s;
    c2_schedule_free(s);
    return NULL;
}

void c2_schedule_free(c2_schedule *s) {
    if (!s) return;
    free(s->start);
    free(s->items);
    free(s->waits);
    free(s);
}

/* Where v goes: the worker, and when it would start there. */
static int32_t choose(const c2_graph *g, int32_t v, int32_t workers, const placed *at,
                      const float *free_at, float *ready, int32_t last, float patience,
                      const c2_machine *m, float *start) {
    /* ready[w]: when all of v's predecessors on w are done; then the two latest of them, since
     * a worker must wait for the latest of the others. */
    int32_t first = -1, n_preds = g->pred_at[v + 1] - g->pred_at[v];
    for (int32_t w = 0; w < workers; w++)
        ready[w] = -1;
    for (int32_t k = 0; k < n_preds; k++) {
        const placed *u = &at[g->preds[g->pred_at[v] + k]];
        if (u->finish > ready[u->worker]) ready[u->worker] = u->finish;
    }
    float latest = -1, second = -1;
    for (int32_t w = 0; w < workers; w++) {
        if (ready[w] > latest)
            second = latest, latest = ready[w], first = w;
        else if (ready[w] > second)
            second = ready[w];
    }
    int32_t best = 0;
    float best_start = 0, last_start = 0;
    for (int32_t w = 0; w < workers; w++) {
        const float others = w == first ? second : latest;
        float t = free_at[w] > ready[w] ? free_at[w] : ready[w];
        if (others >= 0) {
            if (others + m->latency > t) t = others + m->latency;
            t += m->signal;
        }
        if (w == 0 || t < best_start) best = w, best_start = t;
        if (w == last) last_start = t;
    }
    if (n_preds == 0 && last_start - best_start <= patience) best = last, best_start = last_start;
    *start = best_start;
    return best;
}

/* Fills each item's waits, and the waits themselves once there is room for them; returns how many.
 * A wait for (x, c) is left out when this worker waited for as much of x before: known[w][x].
 * Predecessors are ascending, so of those on one worker the last is the one to wait for. */
static uint32_t find_waits(const c2_graph *g, const placed *at, c2_schedule *s, int32_t *known) {
    uint32_t n_waits = 0;
    for (int32_t k = 0; k < s->workers * s->workers; k++)
        known[k] = 0;
    for (int32_t w = 0; w < s->workers; w++)
        for (int32_t i = s->start[w]; i < s->start[w + 1]; i++) {
            const int32_t v = s->items[i].op;
            s->items[i].waits = n_waits & 0x7fffffff;
            for (int32_t k = g->pred_at[v + 1] - 1; k >= g->pred_at[v]; k--) {
                const placed *u = &at[g->preds[k]];
                int32_t *have = &known[w * s->workers + u->worker];
                if (u->worker == w || u->done <= *have) continue;
                *have = u->done;
                if (s->waits) s->waits[n_waits] = (c2_wait_for){u->worker, u->done};
                s->items[s->start[u->worker] + u->done - 1].publish = 1;
                n_waits++;
            }
        }
    s->items[s->n] = (c2_item){.op = -1, .waits = n_waits & 0x7fffffff};
    return n_waits;
}

c2_schedule *c2_schedule_new(const c2_graph *g, int32_t workers, const float *costs,
                             const c2_machine *machine) {
    const int32_t n = g->n;
    c2_schedule *s = schedule_new(n, workers);
    placed *at = malloc(((size_t)n + 1) * sizeof *at);
    float *free_at = calloc(3 * (size_t)workers, sizeof *free_at);
    int32_t *known = calloc((size_t)workers * (size_t)workers + 1, sizeof *known);
    if (!s || !at || !free_at || !known) goto no_memory;
    float *ready = free_at + workers;
    int32_t *count = (int32_t *)(free_at + 2 * workers);

    const float unit = 1;
    double sum = 0;
    for (int32_t v = 0; v < n; v++)
        sum += costs ? costs[v] : unit;
    s->serial_ns = sum;
    const float patience = (float)(sum / (8.0 * workers) < 20000 ? sum / (8.0 * workers) : 20000);

    int32_t last = 0;
    for (int32_t v = 0; v < n; v++) {
        float start;
        const int32_t w =
            choose(g, v, workers, at, free_at, ready, last, patience, machine, &start);
        at[v].worker = w;
        at[v].finish = free_at[w] = start + (costs ? costs[v] : unit);
        at[v].done = ++count[w];
        last = w;
    }
    for (int32_t w = 0; w < workers; w++) {
        s->start[w + 1] = s->start[w] + count[w];
        if (free_at[w] > s->makespan_ns) s->makespan_ns = free_at[w];
    }

    for (int32_t v = 0; v < n; v++)
        s->items[s->start[at[v].worker] + at[v].done - 1] = (c2_item){.op = v};
    const uint32_t n_waits = find_waits(g, at, s, known);
    if (!(s->waits = malloc(((size_t)n_waits + 1) * sizeof *s->waits))) goto no_memory;
    find_waits(g, at, s, known);
    free(at);
    free(free_at);
    free(known);
    return s;

no_memory:
    free(at);
    free(free_at);
    free(known);
    c2_schedule_free(s);
    return NULL;
}
