/* Plans: concurrent substeps are joined, the first failure is told whole, and a stop ends all. */
#include <stdlib.h>

#include "async.h"
#include "blob.h"
#include "kernel.h"
#include "model.h"
#include "net.h"
#include "platform.h"

static c2_step *plan;
static c2_net *nets[3];
static c2_blob *stop_blob;
static c2_run run;
static int ran[3]; /* by net; plain: hiring and joining must order it */
static _Atomic uint32_t meeting;

/* async.c and operator.c have the real ones. */
int c2_async_execute(c2_async *async, c2_run *r, c2_ticker *ticker) {
    return C2_BUSY;
}

static int which(const c2_context *c) {
    return (int)(intptr_t)c->handle;
}

static int works(c2_context *c) {
    ran[which(c)]++;
    return C2_OK;
}

static int fails(c2_context *c) {
    ran[which(c)]++;
    snprintf(c->message, sizeof c->run->message, "net %d", which(c));
    return C2_FAILED;
}

static int waits_for_sibling(c2_context *c) { /* needs a thread of its own */
    add_acq_rel(&meeting, 1);
    while (load_acq(&meeting) < 2)
        c2_os_yield();
    return works(c);
}

static int waits_for_stop(c2_context *c) {
    while (!c2_run_stopping(c->run))
        c2_os_yield();
    return C2_STOPPED;
}

static int says_stop(c2_context *c) {
    const uint8_t yes = 1;
    works(c);
    return c2_blob_feed(stop_blob, C2_BOOL, 0, NULL, &yes);
}

static c2_step *step_of(int k, c2_kernel kernel) {
    c2_step *s = c2_step_new();
    nets[k] = c2_net_new(1);
    c2_net_set(nets[k], 0, kernel, (void *)(intptr_t)k, 0, NULL, 0, NULL, NULL, 0);
    c2_step_add_net(s, nets[k], NULL);
    c2_step_set(s, 1, NULL, 0, 0, 0, 0);
    return s;
}

/* Each substep runs a net of one of these operators. `own`: each has a thread of its own. */
static void make_plan(int n, const c2_kernel *kernels, int iterations, int own) {
    plan = c2_step_new();
    for (int k = 0; k < n; k++)
        c2_step_add_substep(plan, step_of(k, kernels[k]));
    c2_step_set(plan, iterations, stop_blob, 0, 1, own, 0);
}

#define PLAN(name, iterations, own, ...)                                                           \
    static void name(void) {                                                                       \
        static const c2_kernel kernels[] = {__VA_ARGS__};                                          \
        make_plan(sizeof kernels / sizeof *kernels, kernels, iterations, own);                     \
    }
PLAN(two_working, 1, 0, works, works)
PLAN(two_twice, 2, 0, works, works)
PLAN(three_working, 1, 0, works, works, works)
PLAN(two_that_wait, 1, 1, waits_for_sibling, waits_for_sibling)
PLAN(one_fails, 1, 1, fails, waits_for_stop)
PLAN(both_fail, 1, 1, fails, fails)
PLAN(both_wait_for_stop, 1, 1, waits_for_stop, waits_for_stop)

static void until_told(void) {
    static const c2_kernel kernels[] = {works, says_stop};
    stop_blob = c2_blob_new();
    const uint8_t no = 0;
    c2_blob_feed(stop_blob, C2_BOOL, 0, NULL, &no);
    make_plan(2, kernels, -1, 0);
}

static void with_reporter(void) {
    static const c2_kernel kernels[] = {works};
    make_plan(1, kernels, 1, 0);
    c2_step *r = step_of(2, works);
    c2_step_set(r, 1, NULL, 0, 0, 0, 1);
    c2_step_add_substep(plan, r);
}

static void caller(void) {
    c2_step_run(plan, &run);
}

static void canceller(void) {
    c2_run_stop(&run);
}

/* By the thread that ran the plan: each `size` times. */
static void caller_of_good(void) {
    MODEL_CHECK(c2_step_run(plan, &run) == C2_OK);
    for (int k = 0; k < 3; k++)
        MODEL_CHECK(ran[k] == (nets[k] ? model_size() : 0));
}

static void caller_of_bad(void) {
    MODEL_CHECK(c2_step_run(plan, &run) == C2_FAILED);
    const int k = run.net == nets[1];
    MODEL_CHECK(run.net == nets[k] && run.op == 0 && ran[k] == 1);
    MODEL_CHECK(run.message[4] == '0' + k);
}

static void caller_until_told(void) {
    MODEL_CHECK(c2_step_run(plan, &run) == C2_OK);
    MODEL_CHECK(ran[1] >= 1);
}

static void caller_with_reporter(void) {
    MODEL_CHECK(c2_step_run(plan, &run) == C2_OK);
    MODEL_CHECK(ran[0] == 1);
}

static void caller_refused(void) {
    const int status = c2_step_run(plan, &run);
    MODEL_CHECK(status == C2_SYSTEM || (status == C2_OK && ran[0] == 1 && ran[1] == 1));
}

/* Operators 0, and 1 that comes after it, are called off while the net runs; before that 2 is. */
static c2_net *chain;
static uint8_t flags[3];

static void make_chain(void) {
    chain = c2_net_new(3);
    for (int v = 0; v < 3; v++)
        c2_net_set(chain, v, works, (void *)(intptr_t)v, 0, NULL, 0, NULL, NULL, 0);
}

static void caller_of_chain(void) {
    MODEL_CHECK(c2_net_run(chain, &run) == C2_OK);
    MODEL_CHECK(ran[0] == 1 || ran[1] == 0);
}

static void calls_off(void) {
    static const int32_t other[] = {2}, successors_first[] = {1, 0};
    for (int v = 0; v < 3; v++)
        flags[v] = 0; /* plain: the run sees it through run->skip */
    c2_run_skip(&run, flags, other, 1);
    c2_run_skip(&run, flags, successors_first, 2);
}

static void called_off(void) {
    for (int v = 0; v < 3; v++)
        MODEL_CHECK(ran[v] + (flags[v] == C2_SKIPPED) == 1);
}

#define TEST(text, how, ...) .name = text, .setup = how, .threads = {__VA_ARGS__}

static const model_test tests[] = {
    {TEST("2 substeps", two_working, caller_of_good), .size = 1, .cpus = 2,
     .bounds = {.stale = 1, .spins = 1, .preemptions = 5}},
    {TEST("2 substeps, twice: on the same place of the stack", two_twice, caller_of_good),
     .size = 2, .cpus = 2, .bounds = {.stale = 1, .spins = 1, .preemptions = 4}},
    {TEST("3 substeps on 3 threads", three_working, caller_of_good), .size = 1, .cpus = 3,
     .bounds = {.spins = 1, .preemptions = 2}},
    {TEST("3 substeps on 2 threads", three_working, caller_of_good), .size = 1, .cpus = 2,
     .bounds = {.stale = 1, .spins = 1, .preemptions = 3}},
    {TEST("2 substeps that wait for each other", two_that_wait, caller_of_good), .size = 1,
     .bounds = {.stale = 1, .spins = 2, .preemptions = 3}},
    {TEST("one of 2 substeps fails", one_fails, caller_of_bad),
     .bounds = {.stale = 1, .spins = 2, .preemptions = 4}},
    {TEST("both substeps fail: the first is told, whole", both_fail, caller_of_bad),
     .bounds = {.stale = 1, .spins = 1, .preemptions = 3}},
    {TEST("stopped by another thread", both_wait_for_stop, caller, canceller),
     .bounds = {.stale = 1, .spins = 2, .preemptions = 2}},
    {TEST("2 substeps until one says stop", until_told, caller_until_told), .cpus = 2,
     .bounds = {.stale = 1, .spins = 1, .preemptions = 3}},
    {TEST("a reporter beside a substep", with_reporter, caller_with_reporter), .cpus = 2,
     .bounds = {.stale = 1, .spins = 1, .timeouts = 1, .preemptions = 3}},
    {TEST("an operator and what comes after it are called off", make_chain, caller_of_chain,
          calls_off),
     .end = called_off, .bounds = {.stale = 2}},
    {TEST("the system refuses a thread to one of 2 that wait", two_that_wait, caller_refused),
     .bounds = {.stale = 1, .spins = 2, .refusals = 1, .preemptions = 2}},
    {0}};

int main(int argc, char **argv) {
    return model_main(argc, argv, "plan", tests);
}
