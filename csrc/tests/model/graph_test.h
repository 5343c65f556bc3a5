/* What the tests of both executors share: a net whose operators check that their predecessors
 * have run, with plain memory, so that an order that is missing is a data race too. */
#ifndef C2_MODEL_GRAPH_TEST_H
#define C2_MODEL_GRAPH_TEST_H

#include <stdarg.h>

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

/* operator.c and kernel_python.c have the real ones. */
int c2_fail(c2_context *c, int status, const char *format, ...) {
    (void)format;
    return c->failed = status;
}

int c2_python_kernel(c2_context *c) {
    return c2_fail(c, C2_SYSTEM, "not in the model");
}

static int kernel(c2_context *c) {
    const int v = c->op;
    int sum = 1;
    for (int32_t k = graph->pred_at[v]; k < graph->pred_at[v + 1]; k++) {
        const int u = graph->preds[k];
        MODEL_CHECK(runs[u] == 1);
        sum += result[u];
    }
    runs[v]++;
    result[v] = sum;
    return v == fails_at ? C2_FAILED : C2_OK;
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

/* On the thread that ran the net: all have run, once, and all they wrote is seen. */
static void all_ran(void) {
    MODEL_CHECK(run.status == C2_OK);
    for (int v = 0; v < graph->n; v++) {
        int sum = 1;
        for (int32_t k = graph->pred_at[v]; k < graph->pred_at[v + 1]; k++)
            sum += result[graph->preds[k]];
        MODEL_CHECK(runs[v] == 1 && result[v] == sum);
    }
}

/* After a failure: nobody is still at it, nothing ran twice, nothing after what failed. */
static void stopped(void) {
    MODEL_CHECK(run.status == C2_FAILED && run.op == fails_at);
    for (int v = 0; v < graph->n; v++)
        MODEL_CHECK(runs[v] <= 1);
    for (int32_t k = graph->succ_at[fails_at]; k < graph->succ_at[fails_at + 1]; k++)
        MODEL_CHECK(runs[graph->succs[k]] == 0);
}

/* After somebody's c2_run_stop: nobody is still at it, and what ran had its predecessors. */
static void cancelled(void) {
    MODEL_CHECK(run.status == C2_OK);
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
