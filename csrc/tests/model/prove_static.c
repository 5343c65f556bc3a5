/* Compiled schedules: each operator once and after its predecessors, whenever the helper comes. */
#include "graph_test.h"
#include "schedule.h"
#include "static_run.h"

static c2_static *executor;

static void make_executor(int workers) {
    const c2_machine machine = {.latency = 0.1f, .signal = 0.05f};
    c2_schedule *s = c2_schedule_new(graph, workers, NULL, NULL, &machine);
    executor = c2_static_new(net, s);
}

static void independent(void) {
    MAKE_NET(4, {0, 3});
    make_executor(2);
}
static void diamond(void) {
    MAKE_NET(4, {0, 1}, {0, 2}, {1, 3}, {2, 3});
    make_executor(2);
}
static void crossing(void) { /* two rows of two, each needs both before: waits in both directions */
    MAKE_NET(4, {0, 2}, {1, 2}, {0, 3}, {1, 3});
    make_executor(2);
}
static void three_rows(void) {
    MAKE_NET(6, {0, 2}, {1, 2}, {0, 3}, {1, 3}, {2, 4}, {3, 4}, {2, 5}, {3, 5});
    make_executor(2);
}
static void python(void) { /* each worker needs the other's Python operators */
    MAKE_NET(4, {0, 2}, {1, 2}, {0, 3}, {1, 3});
    for (int v = 0; v < 4; v++)
        make_python(v);
    make_executor(2);
}
static void python_and_native(void) {
    MAKE_NET(4, {0, 2}, {1, 2}, {0, 3}, {1, 3});
    make_python(0);
    make_python(3);
    make_executor(2);
}
static void python_fails(void) {
    fails_at = 1;
    python();
}
static void three_workers(void) {
    MAKE_NET(4, {0, 3}, {1, 3}, {2, 3});
    make_executor(3);
}
static void barrier(void) { /* an AsyncNetBarrier in the middle: two before it, two after it */
    MAKE_NET(5, {0, 2}, {1, 2}, {2, 3}, {2, 4});
    make_executor(2);
}

/* Worker 1 has operators 0 and 2, worker 0 has 1, which needs 0 and then waits until 2 has run, as
 * nothing in a net does: the helper must find its way to 2 though the caller was at 0 when it came.
 */
static _Atomic uint32_t second_ran;
static int ran_second(c2_context *c) {
    store_rel(&second_ran, 1); /* meets load_acq below */
    return kernel(c);
}
static int after_second(c2_context *c) {
    while (!load_acq(&second_ran))
        c2_os_yield();
    return kernel(c);
}
static void late_helper(void) {
    static int32_t start[] = {0, 1, 3};
    static c2_item items[] = {{.op = 1}, {.op = 0, .waits = 1, .publish = 1}, {2, 1, 0}, {0, 1, 0}};
    static c2_wait_for waits[] = {{.worker = 1, .count = 1}};
    static const c2_schedule schedule = {
        .n = 3, .workers = 2, .start = start, .items = items, .waits = waits};
    MAKE_NET(3, {0, 1});
    c2_net_set(net, 1, after_second, NULL, 0, NULL, 0, NULL, NULL, 0);
    c2_net_set(net, 2, ran_second, NULL, 0, NULL, 0, NULL, NULL, 0);
    executor = c2_static_new(net, &schedule);
}
static void failing_first(void) {
    fails_at = 0;
    diamond();
}
static void failing_later(void) {
    fails_at = 2;
    diamond();
}

static void caller(void) {
    c2_static_run(executor, &run, NULL, NULL);
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
    c2_static_free(executor);
    for (int v = 0; v < OPS; v++)
        result[v] = 0;
}

static void caller_of_failure(void) {
    c2_static_run(executor, &run, NULL, NULL);
    stopped();
}

static void caller_to_be_stopped(void) {
    c2_static_run(executor, &run, NULL, NULL);
    cancelled();
}

#define TEST(text, how, who, ...)                                                                  \
    {                                                                                              \
        .name = text, .setup = how, .threads = {who}, .bounds = {__VA_ARGS__}                      \
    }

static const model_test tests[] = {
    TEST("4 operators, one edge", independent, caller, .stale = 1, .spins = 1, .preemptions = 3),
    TEST("a diamond", diamond, caller, .stale = 1, .spins = 1, .preemptions = 3),
    TEST("waits in both directions", crossing, caller, .stale = 1, .spins = 1, .preemptions = 3),
    TEST("three rows of two", three_rows, caller, .stale = 1, .spins = 1, .preemptions = 2),
    TEST("freed right after the run", independent, caller_who_frees, .stale = 1, .spins = 1,
         .preemptions = 3),
    TEST("a barrier between two and two", barrier, caller, .stale = 1, .spins = 1,
         .preemptions = 3),
    TEST("a helper that comes late", late_helper, caller, .stale = 1, .spins = 1, .preemptions = 3),
    TEST("Python, waits in both directions", python, caller, .spins = 1, .preemptions = 3),
    TEST("Python and native", python_and_native, caller, .stale = 1, .spins = 1, .preemptions = 2),
    TEST("a Python operator fails", python_fails, caller_of_failure, .spins = 1, .preemptions = 2),
    {.name = "3 workers, two helpers",
     .setup = three_workers,
     .threads = {caller},
     .bounds = {.stale = 1, .spins = 1, .preemptions = 2},
     .long_only = true},
    TEST("two runs, the helper may retire", crossing, caller_of_two_runs, .timeouts = 1,
         .preemptions = 2),
    TEST("the first operator fails", failing_first, caller_of_failure, .stale = 1, .spins = 1,
         .preemptions = 3),
    TEST("an operator in the middle fails", failing_later, caller_of_failure, .stale = 1,
         .spins = 1, .preemptions = 3),
    TEST("the system refuses the helper", crossing, caller, .stale = 1, .refusals = 1,
         .preemptions = 2),
    {.name = "stopped by another thread",
     .setup = crossing,
     .threads = {caller_to_be_stopped, canceller},
     .bounds = {.stale = 1, .spins = 1, .preemptions = 2}},
    {0}};

int main(int argc, char **argv) {
    return model_main(argc, argv, "static", tests);
}
