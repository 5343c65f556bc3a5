/* A net whose operators see whether they are run in order. */
#ifndef C2_TESTS_WATCHED_H
#define C2_TESTS_WATCHED_H

#include "check.h"
#include "graph.h"
#include "graphs.h"
#include "net.h"

/* A net whose operators watch each other: `stamp` of an operator counts its runs, and it checks
 * that each predecessor has run as often. The stamps are plain: an executor that does not order
 * them is a data race that ThreadSanitizer sees. */
typedef struct watched {
    c2_graph *graph;
    c2_net *net;
    int64_t *stamp;
    int64_t *turns; /* work of each */
    _Atomic int64_t early, ran;
    int32_t bad; /* the operator that fails; -1: none */
} watched;

typedef struct place {
    watched *w;
    int32_t v;
} place;

static int watch(c2_context *c) {
    const place *p = c->handle;
    watched *w = p->w;
    const c2_graph *g = w->graph;
    for (int32_t k = g->pred_at[p->v]; k < g->pred_at[p->v + 1]; k++)
        if (w->stamp[g->preds[k]] != w->stamp[p->v] + 1) add_rlx(&w->early, 1);
    for (int64_t k = 0; k < w->turns[p->v]; k++)
        __asm__ volatile("" ::: "memory");
    w->stamp[p->v]++;
    add_rlx(&w->ran, 1);
    return p->v == w->bad ? c2_fail(c, C2_VALUE, "operator %d", p->v) : C2_OK;
}

static place *places;

static inline void open_net(watched *w, edges *e, int64_t most_turns, uint64_t seed) {
    *w = (watched){.bad = -1};
    if (c2_graph_of_edges(e->n, e->m, e->from, e->to, &w->graph)) abort();
    w->net = c2_net_new(e->n);
    w->stamp = calloc((size_t)e->n + 1, sizeof *w->stamp);
    w->turns = calloc((size_t)e->n + 1, sizeof *w->turns);
    places = calloc((size_t)e->n + 1, sizeof *places);
    for (int64_t v = 0; v < e->n; v++) {
        places[v] = (place){w, (int32_t)v};
        w->turns[v] = most_turns ? (int64_t)(next_random(&seed) % (uint64_t)most_turns) : 0;
        c2_net_set(w->net, v, watch, &places[v], 0, NULL, 0, NULL, NULL, 0);
    }
}

static inline void close_net(watched *w, edges *e) {
    c2_net_free(w->net);
    c2_graph_free(w->graph);
    free(w->stamp);
    free(w->turns);
    free(places);
    free_edges(e);
}

#endif
