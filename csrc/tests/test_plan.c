/* net.c, pool.c and plan.c: how often things run, who waits for whom, and how failures stop. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "../pool.c"

#include "threads.h"
#include "net.h"
#include "platform.h"

/* Kernels of the test's own; `handle` points to what they work on. */
static int count(c2_context *c) {
    add_rlx((_Atomic int64_t *)c->handle, 1);
    return C2_OK;
}

static int fail(c2_context *c) {
    return c2_fail(c, C2_VALUE, "input 0: %d given", 7);
}

typedef struct meeting {
    _Atomic uint32_t arrived;
    uint32_t expected;
} meeting;

static int meet(c2_context *c) { /* returns only when all are here */
    meeting *m = c->handle;
    add_acq_rel(&m->arrived, 1);
    while (load_acq(&m->arrived) < m->expected) {
        if (c2_stopping(c)) return C2_STOPPED;
        nap();
    }
    return C2_OK;
}

static int wait_for_stop(c2_context *c) {
    while (!c2_stopping(c))
        nap();
    return C2_STOPPED;
}

typedef struct countdown {
    _Atomic int64_t left;
    c2_blob *stop;
} countdown;

static int count_down(c2_context *c) { /* sets the stop blob when it reaches 0 */
    countdown *d = c->handle;
    const bool done = add_rlx(&d->left, -1) <= 1;
    return c2_blob_feed(d->stop, C2_BOOL, 0, NULL, &done);
}

static c2_net *net_of(c2_kernel kernel, void *handle) {
    c2_net *net = c2_net_new(1);
    c2_net_set(net, 0, kernel, handle, 0, NULL, 0, NULL, NULL, 0);
    return net;
}

static c2_step *step_of(c2_net *net, int64_t num_iter) {
    c2_step *s = c2_step_new();
    c2_step_add_net(s, net, NULL);
    c2_step_set(s, num_iter, NULL, 0, 0, 0, 0);
    return s;
}

TEST(nets_run_in_order_and_often_enough) {
    _Atomic int64_t ran = 0;
    c2_net *net = net_of(count, (void *)&ran);
    c2_step *s = step_of(net, 1000), *outer = c2_step_new(), *none = step_of(net, 0);
    c2_step_add_substep(outer, s);
    c2_step_add_substep(outer, none);
    c2_step_set(outer, 3, NULL, 0, 0, 0, 0);
    c2_run run = {0};
    CHECK(c2_step_run(outer, &run) == C2_OK);
    CHECK(load_rlx(&ran) == 3000);
    c2_step_free(outer), c2_step_free(s), c2_step_free(none), c2_net_free(net);
}

/* The first input's address and how many of each there are, to compare one operator with another.
 */
typedef struct seen {
    c2_blob *first_in, *last_out;
    int64_t arg;
    int32_t n_in, n_out, op;
} seen;

static int look(c2_context *c) {
    seen *s = c->handle;
    *s = (seen){c->n_in ? c->in[0] : NULL,
                c->n_out ? c->out[c->n_out - 1] : NULL,
                c->args ? c->args[0].i : -1,
                c->n_in,
                c->n_out,
                c->op};
    return C2_OK;
}

TEST(a_net_filled_at_once_is_the_same) {
    enum { N = 4 };
    c2_blob *blobs[3];
    for (int k = 0; k < 3; k++)
        blobs[k] = c2_blob_new();
    /* Operator 1 has a control input behind its two inputs, and 3 has nothing. */
    const int64_t in_at[] = {0, 1, 4, 5, 5}, out_at[] = {0, 2, 3, 3, 3};
    const int32_t in[] = {2, 0, 1, 2, 1}, n_in[] = {1, 2, 1, 0};
    const int32_t out[] = {1, 0, 2}, n_out[] = {2, 1, 0, 0}, kind[] = {0, 1, 1, 0};
    const c2_kernel kernels[] = {look, look};
    const c2_arg arg = {.i = 7}, *args[] = {NULL, &arg, NULL, NULL};
    const int32_t n_args[] = {0, 1, 0, 0};
    seen one[N], all[N];
    void *handles[N];
    c2_net *by_one = c2_net_new(N), *at_once = c2_net_new(N);
    for (int64_t v = 0; v < N; v++) {
        c2_blob *ins[4], *outs[4];
        for (int k = 0; k < n_in[v]; k++)
            ins[k] = blobs[in[in_at[v] + k]];
        for (int k = 0; k < n_out[v]; k++)
            outs[k] = blobs[out[out_at[v] + k]];
        c2_net_set(by_one, v, look, &one[v], n_in[v], ins, n_out[v], outs, args[v], n_args[v]);
        handles[v] = &all[v];
    }
    const c2_operators from = {kind,  kernels, handles, args,   n_args, blobs,
                               in_at, in,      n_in,    out_at, out,    n_out};
    CHECK_EQ(c2_net_fill(at_once, &from), C2_OK);
    CHECK_EQ(c2_net_set(at_once, 0, look, NULL, 0, NULL, 0, NULL, NULL, 0), C2_VALUE);
    c2_run run = {0};
    CHECK_EQ(c2_net_run(by_one, &run), C2_OK);
    CHECK_EQ(c2_net_run(at_once, &run), C2_OK);
    for (int v = 0; v < N; v++) {
        CHECK(one[v].first_in == all[v].first_in && one[v].last_out == all[v].last_out);
        CHECK_EQ(one[v].n_in, all[v].n_in);
        CHECK_EQ(one[v].n_out, all[v].n_out);
        CHECK_EQ(one[v].arg, all[v].arg);
        CHECK_EQ(all[v].op, v);
    }
    CHECK_EQ(all[1].arg, 7);
    c2_net_free(by_one), c2_net_free(at_once);
    for (int k = 0; k < 3; k++)
        c2_blob_free(blobs[k]);
}

static int add_op(c2_context *c) {
    *(int64_t *)c->handle += 10 + c->op;
    return c->n_in || c->n_out || c->args ? C2_FAILED : C2_OK;
}

TEST(operators_alike_have_an_element_each) {
    struct {
        int64_t value, other;
    } elements[5] = {{1, 2}, {3, 4}, {5, 6}, {7, 8}, {9, 10}};
    c2_net *net = c2_net_alike(5, add_op, elements, sizeof elements[0]);
    CHECK_EQ(c2_net_set(net, 0, look, NULL, 0, NULL, 0, NULL, NULL, 0), C2_VALUE);
    c2_run run = {0};
    CHECK_EQ(c2_net_run(net, &run), C2_OK);
    for (int v = 0; v < 5; v++) {
        CHECK_EQ(elements[v].value, 2 * v + 1 + 10 + v);
        CHECK_EQ(elements[v].other, 2 * v + 2);
    }
    c2_net_free(net);
}

enum { STEPS = 50 };

TEST(substeps_share_few_threads) {
    const int64_t before = c2_pool_threads();
    _Atomic int64_t ran = 0;
    c2_net *net = net_of(count, (void *)&ran);
    c2_step *s = step_of(net, 200), *outer = c2_step_new();
    for (int k = 0; k < STEPS; k++)
        c2_step_add_substep(outer, s);
    c2_step_set(outer, 20, NULL, 0, 1, 0, 0);
    c2_run run = {0};
    CHECK(c2_step_run(outer, &run) == C2_OK);
    CHECK(load_rlx(&ran) == 20 * STEPS * 200);
    /* one a processor; a few more, since a thread that is just leaving cannot be hired again */
    CHECK(c2_pool_threads() - before < STEPS / 2);
    c2_step_free(outer), c2_step_free(s), c2_net_free(net);
}

TEST(substeps_that_wait_each_have_a_thread) {
    meeting m = {0, STEPS};
    c2_net *net = net_of(meet, &m);
    c2_step *s = step_of(net, 1), *outer = c2_step_new();
    for (int k = 0; k < STEPS; k++)
        c2_step_add_substep(outer, s);
    c2_step_set(outer, 1, NULL, 0, 1, 1, 0);
    for (int again = 0; again < 5; again++) {
        store_rlx(&m.arrived, 0);
        c2_run run = {0};
        CHECK(c2_step_run(outer, &run) == C2_OK);
        CHECK(load_rlx(&m.arrived) == STEPS);
    }
    c2_step_free(outer), c2_step_free(s), c2_net_free(net);
}

TEST(the_first_failure_stops_the_siblings) {
    c2_net *bad = c2_net_new(2), *waiting = net_of(wait_for_stop, NULL);
    _Atomic int64_t ran = 0;
    c2_net_set(bad, 0, count, (void *)&ran, 0, NULL, 0, NULL, NULL, 0);
    c2_net_set(bad, 1, fail, NULL, 0, NULL, 0, NULL, NULL, 0);
    c2_step *outer = c2_step_new(), *steps[4];
    for (int k = 0; k < 4; k++) {
        steps[k] = step_of(k == 2 ? bad : waiting, 1);
        c2_step_add_substep(outer, steps[k]);
    }
    c2_step_set(outer, 1, NULL, 0, 1, 1, 0);
    c2_run run = {0};
    CHECK(c2_step_run(outer, &run) == C2_VALUE);
    CHECK(run.net == bad && run.op == 1);
    CHECK(strcmp(run.message, "input 0: 7 given") == 0);
    CHECK(load_rlx(&ran) == 1);
    c2_step_free(outer);
    for (int k = 0; k < 4; k++)
        c2_step_free(steps[k]);
    c2_net_free(bad), c2_net_free(waiting);
}

TEST(a_stop_blob_ends_an_endless_step) {
    countdown d = {100, c2_blob_new()};
    const bool no = false;
    c2_blob_feed(d.stop, C2_BOOL, 0, NULL, &no);
    c2_net *net = net_of(count_down, &d);
    c2_step *s = c2_step_new();
    c2_step_add_net(s, net, NULL);
    c2_step_set(s, -1, d.stop, 0, 0, 0, 0);
    c2_run run = {0};
    CHECK(c2_step_run(s, &run) == C2_OK);
    CHECK(load_rlx(&d.left) == 0);

    d.left = 100; /* only once: one iteration */
    c2_step_set(s, -1, d.stop, 1, 0, 0, 0);
    CHECK(c2_step_run(s, &run) == C2_OK);
    CHECK(load_rlx(&d.left) == 99);

    c2_blob_clear(d.stop); /* not a bool: an error, not an endless loop */
    c2_net *other = net_of(count, (void *)&d.left);
    c2_step *broken = step_of(other, 1);
    c2_step_set(broken, -1, d.stop, 0, 0, 0, 0);
    CHECK(c2_step_run(broken, &run) == C2_TYPE);
    c2_step_free(s), c2_step_free(broken), c2_net_free(net), c2_net_free(other);
    c2_blob_free(d.stop);
}

TEST(a_reporter_runs_beside_the_work) {
    _Atomic int64_t reports = 0;
    meeting m = {0, 3};
    c2_net *report = net_of(count, (void *)&reports), *work = net_of(meet, &m);
    c2_step *every = step_of(report, 1), *s = step_of(work, 1), *outer = c2_step_new();
    c2_net *third = net_of(meet, &m); /* the reporter is the third to arrive: it must run */
    c2_step_add_net(every, third, NULL);
    c2_step_set(every, 1, NULL, 0, 0, 0, 1);
    c2_step_add_substep(outer, every);
    c2_step_add_substep(outer, s);
    c2_step_add_substep(outer, s);
    c2_step_set(outer, 1, NULL, 0, 1, 1, 0);
    c2_run run = {0};
    CHECK(c2_step_run(outer, &run) == C2_OK);
    CHECK(load_rlx(&reports) >= 1);
    c2_step_free(outer), c2_step_free(every), c2_step_free(s);
    c2_net_free(report), c2_net_free(work), c2_net_free(third);
}

static _Atomic int polls;
static int interrupt(void) {
    return add_rlx(&polls, 1) == 2 ? C2_INTERRUPTED : C2_OK;
}

TEST(a_poll_interrupts_what_would_never_end) {
    c2_net *net = net_of(wait_for_stop, NULL);
    _Atomic int64_t ran = 0;
    c2_net *busy = net_of(count, (void *)&ran);
    c2_step *s = step_of(busy, -1), *waiting = step_of(net, 1), *outer = c2_step_new();
    c2_step_add_substep(outer, s);
    c2_step_add_substep(outer, waiting);
    c2_step_set(outer, 1, NULL, 0, 1, 1, 0);
    c2_run run = {.poll = interrupt};
    CHECK(c2_step_run(outer, &run) == C2_INTERRUPTED);
    c2_step_free(outer), c2_step_free(s), c2_step_free(waiting);
    c2_net_free(net), c2_net_free(busy);
}

/* A job that is taken back never runs; one that is not runs once. */
static _Atomic int64_t jobs_run;
static void job(void *unused) {
    (void)unused;
    add_rel(&jobs_run, 1);
}

TEST(jobs_are_run_or_revoked) {
    int64_t revoked = 0;
    enum { JOBS = 2000 };
    for (int k = 0; k < JOBS; k++) {
        uint32_t ticket;
        c2_worker *w = c2_pool_start(job, NULL, &ticket);
        CHECK(w != NULL);
        if (w && k % 2) revoked += c2_pool_revoke(w, ticket);
    }
    while (load_acq(&jobs_run) + revoked < JOBS)
        nap(); /* the time box ends it if lost */
    CHECK(load_acq(&jobs_run) + revoked == JOBS);
}

static void plan_in_child(void *outer) {
    CHECK_EQ(c2_pool_threads(), 0);
    c2_run run = {0};
    CHECK_EQ(c2_step_run(outer, &run), C2_OK);
}

/* The parent's threads are not in the child, whoever of them was at the lists; it makes its own. */
TEST(a_child_has_threads_of_its_own) {
    _Atomic int64_t ran = 0;
    c2_net *net = net_of(count, (void *)&ran);
    c2_step *s = step_of(net, 1), *outer = c2_step_new();
    for (int k = 0; k < 3; k++)
        c2_step_add_substep(outer, s);
    c2_step_set(outer, 1, NULL, 0, SANITIZED ? 0 : 1, 1, 0); /* TSan: no threads after a fork */
    c2_run run = {0};
    CHECK_EQ(c2_step_run(outer, &run), C2_OK);
    lock_lists();
    const pid_t pid = child(plan_in_child, outer);
    unlock_lists();
    join_child(pid);
    c2_step_free(outer), c2_step_free(s), c2_net_free(net);
}

int main(void) {
    RUN(nets_run_in_order_and_often_enough);
    RUN(a_net_filled_at_once_is_the_same);
    RUN(operators_alike_have_an_element_each);
    RUN(substeps_share_few_threads);
    RUN(substeps_that_wait_each_have_a_thread);
    RUN(the_first_failure_stops_the_siblings);
    RUN(a_stop_blob_ends_an_endless_step);
    RUN(a_reporter_runs_beside_the_work);
    RUN(a_poll_interrupts_what_would_never_end);
    RUN(jobs_are_run_or_revoked);
    RUN(a_child_has_threads_of_its_own);
    return report();
}
