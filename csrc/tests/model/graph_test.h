/* What the tests of both executors share: a net whose operators check that their predecessors
 * have run, with plain memory, so that an order that is missing is a data race too. */
#ifndef C2_MODEL_GRAPH_TEST_H
#define C2_MODEL_GRAPH_TEST_H

#include <stdarg.h>

#include "batch.h"
#include "graph.h"
#include "model.h"
#include "net.h"
#include "platform.h"

enum { OPS = 8 };
static int result[OPS]; /* plain: 1 + the sum of the predecessors' results */
static int runs[OPS], fails_at = -1;
static c2_net *net;
static c2_graph *graph;
static c2_run run;
static _Thread_local int inside; /* Python: this thread has the lock of `enter` */

/* operator.c has the real one. */
int c2_fail(c2_context *c, int status, const char *format, ...) {
    (void)format;
    return c->failed = status;
}

static int kernel(c2_context *c) {
    const int v = c->op;
    int sum = 1;
    MODEL_CHECK(inside == c2_is_python(net, v));
    for (int32_t k = graph->pred_at[v]; k < graph->pred_at[v + 1]; k++) {
        const int u = graph->preds[k];
        MODEL_CHECK(runs[u] == 1);
        sum += result[u];
    }
    runs[v]++;
    result[v] = sum;
    return v == fails_at ? C2_FAILED : C2_OK;
}

/* Python, for operators that make_python has turned into its own: a lock, and whose it is. */
static _Atomic uint32_t gil;
static int holders; /* plain: no two at once, and each sees all that the one before did */

static int enter(const c2_run *r) {
    while (swap_acq(&gil, 1))
        c2_os_yield();
    MODEL_CHECK(holders++ == 0);
    inside = 1;
    return r ? C2_OK : C2_VALUE;
}
static void leave(void) {
    MODEL_CHECK(--holders == 0);
    inside = 0;
    store_rel(&gil, 0); /* meets swap_acq above */
}
static int call(void *handle, c2_context *c) {
    MODEL_CHECK(holders == 1);
    return kernel(c);
}

static void make_net(int n, int m, const int32_t (*edges)[2]) {
    int32_t from[16], to[16];
    for (int k = 0; k < m; k++) {
        from[k] = edges[k][0];
        to[k] = edges[k][1];
    }
    c2_graph_of_edges(n, m, from, to, &graph);
    net = c2_net_new(n);
    for (int v = 0; v < n; v++)
        c2_net_set(net, v, kernel, NULL, 0, NULL, 0, NULL, NULL, 0);
}

/* Operator v becomes Python's. Before an executor is made. */
static void make_python(int v) {
    c2_set_python(enter, call, leave);
    c2_net_set(net, v, NULL, NULL, 0, NULL, 0, NULL, NULL, 0);
}

/* On the thread that ran the net: all have run, once, and all they wrote is seen. */
static void all_ran(void) {
    MODEL_CHECK(run.status == C2_OK && holders == 0);
    for (int v = 0; v < graph->n; v++) {
        int sum = 1;
        for (int32_t k = graph->pred_at[v]; k < graph->pred_at[v + 1]; k++)
            sum += result[graph->preds[k]];
        MODEL_CHECK(runs[v] == 1 && result[v] == sum);
    }
}

/* After a failure: nobody is still at it, nothing ran twice, nothing after what failed. */
static void stopped(void) {
    MODEL_CHECK(run.status == C2_FAILED && run.op == fails_at && holders == 0);
    for (int v = 0; v < graph->n; v++)
        MODEL_CHECK(runs[v] <= 1);
    for (int32_t k = graph->succ_at[fails_at]; k < graph->succ_at[fails_at + 1]; k++)
        MODEL_CHECK(runs[graph->succs[k]] == 0);
}

/* After somebody's c2_run_stop: nobody is still at it, and what ran had its predecessors. */
static void cancelled(void) {
    MODEL_CHECK(run.status == C2_OK && holders == 0);
    for (int v = 0; v < graph->n; v++) {
        MODEL_CHECK(runs[v] <= 1);
        for (int32_t k = graph->pred_at[v]; runs[v] && k < graph->pred_at[v + 1]; k++)
            MODEL_CHECK(runs[graph->preds[k]] == 1);
    }
}
static void canceller(void) {
    c2_run_stop(&run);
}

static void begin_again(void) {
    for (int v = 0; v < graph->n; v++)
        runs[v] = result[v] = 0;
    run.stop = run.claimed = run.status = 0;
}

#define MAKE_NET(n, ...)                                                                           \
    do {                                                                                           \
        static const int32_t edges[][2] = {__VA_ARGS__};                                           \
        make_net(n, sizeof edges / sizeof edges[0], edges);                                        \
    } while (0)

#endif
