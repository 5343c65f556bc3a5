/* Whoever is free takes what is ready: each operator once, no worker sleeps while there is work. */
#include "dynamic_run.h"
#include "graph_test.h"

static c2_dynamic *executor;

static void make_executor(int workers) {
    const c2_lanes lanes = {.count = 1, .workers = workers};
    executor = c2_dynamic_new(net, graph, &lanes);
}

static void independent(void) {
    MAKE_NET(3, {0, 2});
    make_executor(2);
}
static void diamond(void) {
    MAKE_NET(4, {0, 1}, {0, 2}, {1, 3}, {2, 3});
    make_executor(2);
}
static void fan(void) { /* the helper has to be woken for what the caller makes ready */
    MAKE_NET(4, {0, 1}, {0, 2}, {0, 3});
    make_executor(2);
}
static void two_lanes(void) { /* operators 1 and 2 belong to the helper's lane */
    static const int32_t of_op[] = {0, 1, 1, 0}, of_helper[] = {1};
    MAKE_NET(4, {0, 1}, {0, 2}, {1, 3}, {2, 3});
    const c2_lanes lanes = {.count = 2, .workers = 2, .of_op = of_op, .of_helper = of_helper};
    executor = c2_dynamic_new(net, graph, &lanes);
}
static void helper_only(void) { /* the caller works nowhere: it only waits */
    static const int32_t of_helper[] = {0};
    MAKE_NET(2, {0, 1});
    const c2_lanes lanes = {.count = 1, .of_caller = -1, .workers = 1, .of_helper = of_helper};
    executor = c2_dynamic_new(net, graph, &lanes);
}
static void barrier(void) { /* an AsyncNetBarrier in the middle: two before it, two after it */
    MAKE_NET(5, {0, 2}, {1, 2}, {2, 3}, {2, 4});
    make_executor(2);
}
static void python_lanes(void) { /* each lane's Python operators need the other's */
    static const int32_t of_op[] = {0, 1, 1, 0}, of_helper[] = {1};
    MAKE_NET(4, {0, 1}, {0, 2}, {1, 3}, {2, 3});
    for (int v = 0; v < 4; v++)
        make_python(v);
    const c2_lanes lanes = {.count = 2, .workers = 2, .of_op = of_op, .of_helper = of_helper};
    executor = c2_dynamic_new(net, graph, &lanes);
}
static void python_and_native(void) {
    MAKE_NET(4, {0, 1}, {0, 2}, {1, 3}, {2, 3});
    make_python(0);
    make_python(2);
    make_executor(2);
}
static void three_workers(void) {
    MAKE_NET(3, {0, 2});
    make_executor(3);
}
static void failing(void) {
    fails_at = 1;
    diamond();
}

static void caller(void) {
    c2_dynamic_run(executor, 0, &run, NULL, NULL);
    all_ran();
}

static void caller_of_two_runs(void) {
    caller();
    begin_again();
    caller();
}

/* Nobody touches the executor, or the blobs, once the run has returned. */
static void caller_who_frees(void) {
    caller();
    c2_dynamic_free(executor);
    for (int v = 0; v < OPS; v++)
        result[v] = 0;
}

static void caller_of_failure(void) {
    c2_dynamic_run(executor, 0, &run, NULL, NULL);
    stopped();
}

static void caller_to_be_stopped(void) {
    c2_dynamic_run(executor, 0, &run, NULL, NULL);
    cancelled();
}

#define TEST(text, how, who, ...)                                                                  \
    {                                                                                              \
        .name = text, .setup = how, .threads = {who}, .bounds = {__VA_ARGS__}                      \
    }

static const model_test tests[] = {
    TEST("3 operators, one edge", independent, caller, .stale = 1, .spins = 1, .preemptions = 3),
    TEST("a diamond", diamond, caller, .stale = 1, .spins = 1, .preemptions = 2),
    TEST("a diamond, no stale loads", diamond, caller, .spins = 2, .preemptions = 3),
    TEST("one before three", fan, caller, .stale = 1, .spins = 2, .preemptions = 2),
    TEST("a barrier between two and two", barrier, caller, .spins = 2, .preemptions = 2),
    TEST("the system refuses the helper", diamond, caller, .stale = 1, .spins = 1, .refusals = 1,
         .preemptions = 2),
    TEST("freed right after the run", independent, caller_who_frees, .spins = 1, .preemptions = 3),
    TEST("two lanes", two_lanes, caller, .stale = 1, .spins = 2, .preemptions = 2),
    TEST("the caller only waits", helper_only, caller, .stale = 1, .spins = 2, .preemptions = 3),
    TEST("two runs, sleeps end for no reason", independent, caller_of_two_runs, .spins = 1,
         .spurious = 1, .preemptions = 2),
    TEST("an operator fails", failing, caller_of_failure, .stale = 1, .spins = 1, .preemptions = 2),
    TEST("Python in two lanes", python_lanes, caller, .spins = 1, .preemptions = 2),
    TEST("Python and native", python_and_native, caller, .spins = 1, .preemptions = 2),
    {.name = "3 workers, two helpers",
     .setup = three_workers,
     .threads = {caller},
     .bounds = {.spins = 1, .preemptions = 2},
     .long_only = true},
    /* c2_run_stop rings no bell: a worker that sleeps sees it at the end of its 50 ms. */
    {.name = "stopped by another thread",
     .setup = diamond,
     .threads = {caller_to_be_stopped, canceller},
     .patience = 60 * 1000 * 1000,
     .bounds = {.stale = 1, .spins = 1, .preemptions = 2},
     .long_only = true},
    {0}};

int main(int argc, char **argv) {
    return model_main(argc, argv, "dynamic", tests);
}
