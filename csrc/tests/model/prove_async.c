/* One run of an AsyncNet at a time: who comes meanwhile is told "busy", and each run sees all that
 * the one before it did. But once it has come down to the plain loop, runs go side by side, as
 * those of a simple net. */
#include "async.h"
#include "atomic.h"
#include "graph.h"
#include "kernel.h"
#include "model.h"
#include "schedule.h"

static c2_async *async;
static int count[2]; /* by operator; plain: no two runs at once */
static _Atomic int32_t calls[2];
static int done[4]; /* by thread: runs that were not refused */

/* operator.c and machine.c have the real ones. */
int c2_fail(c2_context *c, int status, const char *format, ...) {
    return c->failed = status;
}
c2_machine c2_machine_measured(void) {
    return (c2_machine){.latency = 0.1f, .signal = 0.05f};
}

static int kernel(c2_context *c) {
    MODEL_CHECK(c->op == 0 || count[0] == count[1] + 1);
    count[c->op]++;
    return C2_OK;
}

static int side_by_side(c2_context *c) {
    add_rlx(&calls[c->op], 1);
    return C2_OK;
}

static void make_of(c2_kernel called) {
    static const int32_t from[] = {0}, to[] = {1};
    c2_graph *graph;
    c2_graph_of_edges(2, 1, from, to, &graph);
    c2_net *net = c2_net_new(2);
    for (int v = 0; v < 2; v++)
        c2_net_set(net, v, called, NULL, 0, NULL, 0, NULL, NULL, 0);
    async = c2_async_new(net, graph, 2);
    c2_async_mode(async, C2_MODE_SERIAL);
}

static void make(void) {
    make_of(side_by_side);
}

static void make_watched(void) {
    make_of(kernel);
    c2_async_profile(async, 1);
}

static void caller(void) {
    for (int k = 0; k < model_size(); k++) {
        c2_run mine = {0};
        const int status = c2_async_run(async, &mine);
        MODEL_CHECK(status == C2_OK || status == C2_BUSY);
        done[model_self()] += status == C2_OK;
    }
}

static void profiler(void) { /* changes what a run looks at */
    const int status = c2_async_profile(async, 1);
    MODEL_CHECK(status == C2_OK || status == C2_BUSY);
}

static void counted(void) {
    const int runs = done[1] + done[2] + done[3];
    MODEL_CHECK(runs >= 1 && count[0] == runs && count[1] == runs);
}

static void called(void) {
    int runs = 0;
    for (int t = 0; t < 4; t++)
        runs += done[t];
    MODEL_CHECK(load_rlx(&calls[0]) == runs && load_rlx(&calls[1]) == runs);
}

static void counted_or_refused(void) {
    MODEL_CHECK(count[0] == done[1] && count[1] == done[1]);
}

static const model_test tests[] = {{.name = "2 callers, twice each",
                                    .setup = make_watched,
                                    .threads = {caller, caller},
                                    .end = counted,
                                    .size = 2,
                                    .bounds = {.stale = 1, .preemptions = 4}},
                                   {.name = "3 callers",
                                    .setup = make_watched,
                                    .threads = {caller, caller, caller},
                                    .end = counted,
                                    .size = 1,
                                    .bounds = {.stale = 1, .preemptions = 3}},
                                   {.name = "a caller, and one who turns the profile on",
                                    .setup = make_watched,
                                    .threads = {caller, profiler},
                                    .end = counted_or_refused,
                                    .size = 1,
                                    .bounds = {.stale = 1}},
                                   {.name = "2 callers, 3 times each, down to plain runs",
                                    .setup = make,
                                    .threads = {caller, caller},
                                    .end = called,
                                    .size = 3,
                                    .bounds = {.stale = 1, .preemptions = 3}},
                                   {.name = "plain runs, and one who turns the profile on",
                                    .setup = make,
                                    .threads = {caller, profiler},
                                    .end = called,
                                    .size = 3,
                                    .bounds = {.stale = 1, .preemptions = 3}},
                                   {0}};

int main(int argc, char **argv) {
    return model_main(argc, argv, "async", tests);
}
