/* kernels_loop.c: how often the body runs, what ends it, and whose failure it is. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "threads.h"
#include "net.h"
#include "reclaim.h"

typedef struct countdown {
    _Atomic int64_t left;
    c2_blob *more;
} countdown;

static void tell(c2_blob *blob, bool value) {
    c2_blob_feed(blob, C2_BOOL, 0, NULL, &value);
}

static int count_down(c2_context *c) { /* the condition is true until it reaches 0 */
    countdown *d = c->handle;
    tell(d->more, add_rlx(&d->left, -1) > 1);
    return C2_OK;
}

static int count(c2_context *c) {
    add_rlx((_Atomic int64_t *)c->handle, 1);
    return C2_OK;
}

static int fail(c2_context *c) {
    return c2_fail(c, C2_VALUE, "input 0: %d given", 7);
}

static _Atomic int64_t freed;
static void destroy(c2_retired *object) {
    free(object);
    add_rlx(&freed, 1);
}

/* Retires something in each iteration; `handle` gets how many of them are freed by now. */
static int retire(c2_context *c) {
    *(int64_t *)c->handle = load_rlx(&freed);
    c2_retire(calloc(1, sizeof(c2_retired)), destroy);
    return C2_OK;
}

static c2_net *net_of(c2_kernel kernel, void *handle) {
    c2_net *net = c2_net_new(1);
    c2_net_set(net, 0, kernel, handle, 0, NULL, 0, NULL, NULL, 0);
    return net;
}

static c2_net *loop_of(c2_loop *loop, c2_blob *more) {
    c2_net *net = c2_net_new(1);
    c2_net_set(net, 0, c2_kernel_find("While"), loop, 1, &more, 0, NULL, NULL, 0);
    return net;
}

TEST(the_body_runs_while_the_condition_holds) {
    countdown d = {100, c2_blob_new()};
    c2_loop loop = {net_of(count_down, &d), NULL};
    c2_net *net = loop_of(&loop, d.more);
    c2_run run = {0};
    tell(d.more, true);
    CHECK(c2_net_run(net, &run) == C2_OK);
    CHECK_EQ(load_rlx(&d.left), 0);
    CHECK(c2_net_run(net, &run) == C2_OK); /* false from the start: not once */
    CHECK_EQ(load_rlx(&d.left), 0);
    c2_net_free(net), c2_net_free(loop.body), c2_blob_free(d.more);
}

TEST(a_test_runs_before_each_look) {
    countdown d = {100, c2_blob_new()}; /* an empty blob: the test makes the condition */
    _Atomic int64_t ran = 0;
    c2_loop loop = {net_of(count, (void *)&ran), net_of(count_down, &d)};
    c2_net *net = loop_of(&loop, d.more);
    c2_run run = {0};
    CHECK(c2_net_run(net, &run) == C2_OK);
    CHECK_EQ(load_rlx(&d.left), 0); /* one test more than bodies */
    CHECK_EQ(load_rlx(&ran), 99);
    c2_net_free(net), c2_net_free(loop.body), c2_net_free(loop.test), c2_blob_free(d.more);
}

TEST(no_bool_is_an_error) {
    c2_blob *more = c2_blob_new();
    _Atomic int64_t ran = 0;
    c2_loop loop = {net_of(count, (void *)&ran), NULL};
    c2_net *net = loop_of(&loop, more);
    const int64_t one = 1, two[1] = {2};
    const bool both[2] = {true, true};
    c2_run run = {0};
    CHECK(c2_net_run(net, &run) == C2_TYPE);
    CHECK(strcmp(run.message, "input 0: empty given, a tensor expected") == 0);
    c2_blob_feed(more, C2_INT64, 0, NULL, &one);
    run = (c2_run){0};
    CHECK(c2_net_run(net, &run) == C2_TYPE);
    c2_blob_feed(more, C2_BOOL, 1, two, both);
    run = (c2_run){0};
    CHECK(c2_net_run(net, &run) == C2_SHAPE);
    CHECK(run.net == net && run.op == 0);
    CHECK_EQ(load_rlx(&ran), 0);
    c2_net_free(net), c2_net_free(loop.body), c2_blob_free(more);
}

TEST(a_failure_within_is_the_inner_operators) {
    c2_blob *more = c2_blob_new();
    _Atomic int64_t ran = 0;
    c2_net *body = c2_net_new(3);
    c2_net_set(body, 0, count, (void *)&ran, 0, NULL, 0, NULL, NULL, 0);
    c2_net_set(body, 1, fail, NULL, 0, NULL, 0, NULL, NULL, 0);
    c2_net_set(body, 2, count, (void *)&ran, 0, NULL, 0, NULL, NULL, 0);
    c2_loop inner = {body, NULL};
    c2_net *middle = loop_of(&inner, more);
    c2_loop outer = {middle, NULL};
    c2_net *net = loop_of(&outer, more);
    c2_run run = {0};
    tell(more, true);
    CHECK(c2_net_run(net, &run) == C2_VALUE);
    CHECK(run.net == body && run.op == 1);
    CHECK(strcmp(run.message, "input 0: 7 given") == 0);
    CHECK_EQ(load_rlx(&ran), 1);
    c2_net_free(net), c2_net_free(middle), c2_net_free(body), c2_blob_free(more);
}

typedef struct endless {
    c2_net *net;
    c2_run run;
} endless;

static void *run_endless(void *arg) {
    endless *e = arg;
    c2_net_run(e->net, &e->run);
    return NULL;
}

/* From another thread, and with a body that has nothing in it but the loop's own looks. */
TEST(a_stop_ends_an_endless_loop) {
    c2_blob *more = c2_blob_new();
    tell(more, true);
    for (int empty = 0; empty < 2; empty++) {
        _Atomic int64_t ran = 0;
        c2_loop loop = {empty ? c2_net_new(0) : net_of(count, (void *)&ran), NULL};
        endless e = {loop_of(&loop, more), {0}};
        const pthread_t thread = go(run_endless, &e);
        while (!empty && load_rlx(&ran) < 1000)
            nap();
        c2_run_stop(&e.run);
        pthread_join(thread, NULL);
        CHECK(e.run.status == C2_STOPPED);
        c2_net_free(e.net), c2_net_free(loop.body);
    }
    c2_blob_free(more);
}

static _Atomic int polls;
static int interrupt(void) {
    return add_rlx(&polls, 1) == 2 ? C2_INTERRUPTED : C2_OK;
}

TEST(a_poll_interrupts_an_endless_loop) {
    c2_blob *more = c2_blob_new();
    tell(more, true);
    for (int empty = 0; empty < 2; empty++) {
        _Atomic int64_t ran = 0;
        c2_loop loop = {empty ? c2_net_new(0) : net_of(count, (void *)&ran), NULL};
        c2_net *net = loop_of(&loop, more);
        c2_run run = {.poll = interrupt};
        store_rlx(&polls, 0);
        CHECK(c2_net_run(net, &run) == C2_INTERRUPTED);
        c2_net_free(net), c2_net_free(loop.body);
    }
    c2_blob_free(more);
}

/* What is to be left out are operators of the outer net: here there are fewer of them. */
TEST(flags_to_skip_are_the_outer_nets) {
    countdown d = {10, c2_blob_new()};
    _Atomic int64_t ran = 0;
    c2_net *body = c2_net_new(40);
    for (int k = 0; k < 39; k++)
        c2_net_set(body, k, count, (void *)&ran, 0, NULL, 0, NULL, NULL, 0);
    c2_net_set(body, 39, count_down, &d, 0, NULL, 0, NULL, NULL, 0);
    c2_loop loop = {body, NULL};
    c2_net *net = c2_net_new(2);
    c2_blob *more = d.more;
    c2_net_set(net, 0, c2_kernel_find("While"), &loop, 1, &more, 0, NULL, NULL, 0);
    c2_net_set(net, 1, count, (void *)&ran, 0, NULL, 0, NULL, NULL, 0);
    uint8_t *flags = calloc(2, 1); /* on the heap, where the address sanitizer sees its end */
    const int32_t last = 1;
    c2_run run = {0};
    tell(more, true);
    c2_run_skip(&run, flags, &last, 1);
    CHECK(c2_net_run(net, &run) == C2_OK);
    CHECK_EQ(load_rlx(&ran), 390);
    CHECK(flags[0] == 0 && flags[1] == C2_SKIPPED);
    free(flags);
    c2_net_free(net), c2_net_free(body), c2_blob_free(more);
}

/* Not only when it is over, which may be never. */
TEST(a_long_loop_frees_memory) {
    enum { ITERATIONS = 1000 };
    countdown d = {ITERATIONS, c2_blob_new()};
    int64_t at_last = 0;
    c2_net *body = c2_net_new(2);
    c2_net_set(body, 0, retire, &at_last, 0, NULL, 0, NULL, NULL, 0);
    c2_net_set(body, 1, count_down, &d, 0, NULL, 0, NULL, NULL, 0);
    c2_loop loop = {body, NULL};
    c2_net *net = loop_of(&loop, d.more);
    c2_run run = {0};
    tell(d.more, true);
    CHECK(c2_net_run(net, &run) == C2_OK);
    CHECK(at_last > ITERATIONS / 2);
    c2_net_free(net), c2_net_free(body), c2_blob_free(d.more);
}

int main(void) {
    RUN(the_body_runs_while_the_condition_holds);
    RUN(a_test_runs_before_each_look);
    RUN(no_bool_is_an_error);
    RUN(a_failure_within_is_the_inner_operators);
    RUN(a_stop_ends_an_endless_loop);
    RUN(a_poll_interrupts_an_endless_loop);
    RUN(flags_to_skip_are_the_outer_nets);
    RUN(a_long_loop_frees_memory);
    return report();
}
