/* Graphs to run and measure: edges, forward, of the shapes that task benchmarks use. */
#ifndef C2_TEST_GRAPHS_H
#define C2_TEST_GRAPHS_H

#include <stdlib.h>
#include <string.h>

#include "c2.h"

typedef struct edges {
    int64_t n, m;
    int32_t *from, *to;
} edges;

static inline void edge(edges *e, int64_t from, int64_t to) {
    if ((e->m & (e->m - 1)) == 0) {
        e->from = realloc(e->from, (size_t)(e->m ? 2 * e->m : 1) * sizeof(int32_t));
        e->to = realloc(e->to, (size_t)(e->m ? 2 * e->m : 1) * sizeof(int32_t));
    }
    e->from[e->m] = (int32_t)from;
    e->to[e->m++] = (int32_t)to;
}

static inline uint64_t next_random(uint64_t *state) { /* xorshift64 (Marsaglia 2003) */
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

static inline edges independent(int64_t n) {
    return (edges){.n = n};
}

static inline edges chain(int64_t n) {
    edges e = {.n = n};
    for (int64_t v = 1; v < n; v++)
        edge(&e, v - 1, v);
    return e;
}

/* Rows of `width`; each depends on itself and its two neighbours in the row before. */
static inline edges stencil(int64_t width, int64_t rows) {
    edges e = {.n = width * rows};
    for (int64_t r = 1; r < rows; r++)
        for (int64_t c = 0; c < width; c++)
            for (int64_t d = -1; d <= 1; d++)
                if (c + d >= 0 && c + d < width) edge(&e, (r - 1) * width + c + d, r * width + c);
    return e;
}

/* log2(width) levels of butterflies, again and again. */
static inline edges butterflies(int64_t width, int64_t rows) {
    edges e = {.n = width * rows};
    int64_t span = 1;
    for (int64_t r = 1; r < rows; r++) {
        for (int64_t c = 0; c < width; c++) {
            edge(&e, (r - 1) * width + c, r * width + c);
            edge(&e, (r - 1) * width + (c ^ span), r * width + c);
        }
        span = span * 2 < width ? span * 2 : 1;
    }
    return e;
}

/* Leaves, added up two by two. */
static inline edges tree(int64_t leaves) {
    edges e = {0};
    int64_t level = 0, size = leaves;
    e.n = leaves;
    while (size > 1) {
        for (int64_t k = 0; k < size; k++)
            edge(&e, level + k, level + size + k / 2);
        level += size;
        size = (size + 1) / 2;
        e.n += size;
    }
    return e;
}

/* Up to three predecessors among the `window` operators before. */
static inline edges random_graph(int64_t n, int64_t window, uint64_t seed) {
    edges e = {.n = n};
    for (int64_t v = 1; v < n; v++) {
        const int64_t from = v < window ? v : window;
        for (int64_t k = next_random(&seed) % 4; k > 0; k--)
            edge(&e, v - 1 - (int64_t)(next_random(&seed) % (uint64_t)from), v);
    }
    return e;
}

static inline void free_edges(edges *e) {
    free(e->from);
    free(e->to);
}

#endif
