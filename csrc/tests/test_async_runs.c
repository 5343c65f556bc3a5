/* async.c, costs.c: what an AsyncNet measures and decides, and what may come between its runs. */
#define _GNU_SOURCE
#include <pthread.h>
#include <time.h>

#include "threads.h"

/* Who measures first does not begin before somebody else has come to measure. */
static _Atomic int measuring;
static int cpus_when_two_have_come(void) {
    add_acq_rel(&measuring, 1);
    await(&measuring, 2);
    return c2_os_cpus();
}
#define c2_os_cpus cpus_when_two_have_come
#include "../machine.c"
#undef c2_os_cpus

#include "schedule.h"
#include "watched.h"

/* An operator of the net below: some microseconds; in the given run of it, one of them a hundred
 * times as long, as when the processor is taken away. */
static int disturbed(c2_context *c) {
    const place *p = c->handle;
    watched *w = p->w;
    const int64_t longer = p->v == 100 && w->stamp[p->v] == w->bad ? 10000 : 1;
    for (int64_t k = 0; k < longer * w->turns[p->v]; k++)
        __asm__ volatile("" ::: "memory");
    w->stamp[p->v]++;
    return C2_OK;
}

/* Whether the costs of the first two runs, one of them disturbed, promise to gain. */
static int promises(watched *w) {
    memset(w->stamp, 0, 400 * sizeof *w->stamp);
    c2_async *a = c2_async_new(w->net, w->graph, 2);
    c2_async_report r;
    for (int k = 0; k < 2; k++) {
        c2_run run = {0};
        CHECK_EQ(c2_async_run(a, &run), C2_OK);
    }
    c2_async_report_now(a, &r);
    c2_async_free(a);
    return r.critical_ns < r.serial_ns / 4 && r.planned_ns > 0 && r.planned_ns < 0.9 * r.serial_ns;
}

TEST(a_disturbance_while_costs_are_measured_does_not_count) {
    edges e = independent(400);
    watched w;
    open_net(&w, &e, 0, 1);
    for (int v = 0; v < 400; v++) {
        w.turns[v] = 2000;
        c2_net_set(w.net, v, disturbed, &places[v], 0, NULL, 0, NULL, NULL, 0);
    }
    for (w.bad = 0; w.bad < 2; w.bad++) {
        int found = 0; /* the machine may disturb the other run itself, but not each time */
        for (int k = 0; k < 50 && !found; k++)
            found = promises(&w);
        CHECK(found);
    }
    close_net(&w, &e);
}

static _Atomic int over;
static void *look(void *arg) {
    c2_async_report r;
    int64_t runs = 0;
    while (!load_acq(&over)) {
        c2_async_report_now(arg, &r);
        CHECK(r.runs >= 0 && r.mode >= C2_MODE_SERIAL && r.mode <= C2_MODE_DYNAMIC);
        runs = r.runs;
        c2_os_yield();
    }
    return (void *)(intptr_t)runs;
}

/* Under ThreadSanitizer: a report may be asked for at any time. */
TEST(reports_while_runs_are_on) {
    edges shapes[] = {independent(64), chain(10)};
    for (int k = 0; k < 2; k++) {
        watched w;
        open_net(&w, &shapes[k], k ? 0 : 5000, 3);
        c2_async *a = c2_async_new(w.net, w.graph, 2);
        pthread_t other;
        store_rel(&over, 0);
        pthread_create(&other, NULL, look, a);
        for (int i = 0; i < 400; i++) {
            c2_run run = {0};
            CHECK_EQ(c2_async_run(a, &run), C2_OK);
        }
        c2_async_report r;
        c2_async_report_now(a, &r);
        CHECK_EQ(r.runs, 400);
        store_rel(&over, 1);
        pthread_join(other, NULL);
        c2_async_free(a);
        close_net(&w, &shapes[k]);
    }
}

TEST(a_mode_or_a_trace_ends_plain_runs_at_once) {
    edges e = chain(10);
    watched w;
    open_net(&w, &e, 0, 1);
    c2_async *a = c2_async_new(w.net, w.graph, 2);
    c2_event events[10];
    for (int k = 0; k < 10; k++) {
        c2_run run = {0};
        CHECK_EQ(c2_async_run(a, &run), C2_OK);
    }
    CHECK_EQ(c2_async_trace(a, 10), C2_OK);
    c2_run traced = {0};
    CHECK_EQ(c2_async_run(a, &traced), C2_OK);
    int64_t count;
    CHECK_EQ(c2_async_events(a, events, 10, &count), C2_OK);
    CHECK_EQ(count, 10);
    CHECK_EQ(c2_async_trace(a, 0), C2_OK);
    c2_async_mode(a, C2_MODE_SERIAL);
    for (int k = 0; k < 5; k++) {
        c2_run run = {0};
        CHECK_EQ(c2_async_run(a, &run), C2_OK);
    }
    c2_async_mode(a, C2_MODE_STATIC);
    c2_run fixed = {0};
    CHECK_EQ(c2_async_run(a, &fixed), C2_OK);
    c2_async_report r;
    c2_async_report_now(a, &r);
    CHECK(r.mode == C2_MODE_STATIC && r.planned_ns > 0);
    CHECK_EQ(r.runs, 17);
    c2_async_free(a);
    close_net(&w, &e);
}

/* Long for a helper, short for the caller. */
static struct {
    uint64_t caller;
    _Atomic int helped;
} sleepy;
static int sleep_long(c2_context *c) {
    (void)c;
    const int helper = c2_os_self() != sleepy.caller;
    if (helper) store_rlx(&sleepy.helped, 1);
    _Atomic uint32_t nobody = 0;
    const int64_t until = c2_os_now() + (helper ? 300 : 20) * INT64_C(1000000);
    while (c2_os_now() < until)
        c2_os_wait(&nobody, 4, 0, until);
    return C2_OK;
}

TEST(who_waits_long_for_a_helper_leaves_the_processor) {
    edges e = independent(2);
    watched w;
    open_net(&w, &e, 0, 1);
    for (int v = 0; v < 2; v++)
        c2_net_set(w.net, v, sleep_long, NULL, 0, NULL, 0, NULL, NULL, 0);
    c2_async *a = c2_async_new(w.net, w.graph, 2);
    c2_async_mode(a, C2_MODE_STATIC);
    sleepy.caller = c2_os_self();
    double spent = 0; /* seconds of processors, in a run that the caller waited in */
    for (int k = 0; k < 50 && !load_rlx(&sleepy.helped); k++) { /* the helper may come too late */
        c2_run run = {0};
        const clock_t begin = clock();
        CHECK_EQ(c2_async_run(a, &run), C2_OK);
        spent = (double)(clock() - begin) / CLOCKS_PER_SEC;
    }
    CHECK(load_rlx(&sleepy.helped));
    CHECK(spent < 0.15); /* of 0.3 */
    c2_async_free(a);
    close_net(&w, &e);
}

/* Operator 0 leaves out another one, 100, and all that come after it. */
static struct {
    c2_graph *graph;
    uint8_t flags[400];
    int32_t ops[400];
    int32_t n;
} left_out;

static int leave_out(c2_context *c) {
    c2_run_skip(c->run, left_out.flags, left_out.ops, left_out.n);
    return watch(c);
}

TEST(an_operator_is_left_out_with_all_that_come_after_it) {
    edges e = stencil(8, 50);
    watched w;
    open_net(&w, &e, 2000, 6);
    c2_net_set(w.net, 0, leave_out, &places[0], 0, NULL, 0, NULL, NULL, 0);
    char after[400] = {[100] = 1};
    for (int32_t v = 100; v < 400; v++)
        for (int32_t k = w.graph->succ_at[v]; after[v] && k < w.graph->succ_at[v + 1]; k++)
            after[w.graph->succs[k]] = 1;
    left_out.n = 0;
    for (int32_t v = 399; v >= 100; v--)
        if (after[v]) left_out.ops[left_out.n++] = v;
    for (int mode = C2_MODE_SERIAL; mode <= C2_MODE_DYNAMIC; mode++) {
        c2_async *a = c2_async_new(w.net, w.graph, 3);
        c2_async_mode(a, mode);
        for (int k = 0; k < 20; k++) {
            c2_run run = {0};
            memset(left_out.flags, 0, sizeof left_out.flags);
            memset(w.stamp, 0, (size_t)e.n * sizeof *w.stamp);
            CHECK_EQ(c2_async_run(a, &run), C2_OK);
            for (int v = 0; v < 400; v++) /* 0 is a predecessor of 100, far before it */
                CHECK(w.stamp[v] == !after[v] && left_out.flags[v] == (after[v] ? C2_SKIPPED : 0));
        }
        c2_async_free(a);
    }
    CHECK_EQ(load_rlx(&w.early), 0);
    close_net(&w, &e);
}

TEST(unmeasured_operators_are_worth_sharing) {
    edges e = stencil(8, 20);
    watched w;
    open_net(&w, &e, 0, 1);
    c2_async *a = c2_async_new(w.net, w.graph, 2);
    c2_async_mode(a, C2_MODE_STATIC);
    c2_run run = {0};
    CHECK_EQ(c2_async_run(a, &run), C2_OK);
    c2_async_report r;
    c2_async_report_now(a, &r);
    CHECK(r.planned_ns > 0 && r.planned_ns < 0.7 * C2_UNKNOWN_COST * (double)e.n);
    c2_async_free(a);
    close_net(&w, &e);
}

TEST(figures_stay_when_nothing_is_measured_any_more) {
    edges e = chain(5);
    watched w;
    open_net(&w, &e, 0, 1);
    c2_async *a = c2_async_new(w.net, w.graph, 1);
    int64_t counts[5];
    double mean[5], deviation[5];
    CHECK_EQ(c2_async_costs(a, counts, mean, deviation), C2_VALUE);
    CHECK_EQ(c2_async_profile(a, 1), C2_OK);
    for (int k = 0; k < 5; k++) {
        c2_run run = {0};
        if (k == 2) CHECK_EQ(c2_async_profile(a, 0), C2_OK);
        CHECK_EQ(c2_async_run(a, &run), C2_OK);
        CHECK_EQ(c2_async_costs(a, counts, mean, deviation), C2_OK);
        CHECK_EQ(counts[4], k < 2 ? k + 1 : 2);
    }
    CHECK_EQ(c2_async_profile(a, 1), C2_OK); /* from zero again */
    CHECK_EQ(c2_async_costs(a, counts, mean, deviation), C2_OK);
    CHECK_EQ(counts[4], 0);
    c2_async_free(a);
    close_net(&w, &e);
}

enum { ASKERS = 2 };
static c2_machine answers[ASKERS];
static void *ask(void *arg) {
    *(c2_machine *)arg = c2_machine_measured();
    return NULL;
}

/* Who comes while another measures does so too, and waits for nobody. */
TEST(two_may_measure_the_machine_at_once) {
    pthread_t threads[ASKERS];
    for (int k = 0; k < ASKERS; k++)
        threads[k] = go(ask, &answers[k]);
    for (int k = 0; k < ASKERS; k++)
        pthread_join(threads[k], NULL);
    CHECK_EQ(load_rlx(&measuring), ASKERS);
    const c2_machine now = c2_machine_measured(), again = c2_machine_measured();
    CHECK(now.latency == again.latency && now.signal == again.signal);
    CHECK_EQ(load_rlx(&measuring), ASKERS); /* nobody measures any more */
    for (int k = 0; k < ASKERS; k++)
        CHECK(answers[k].latency > 0 && answers[k].signal > 0);
}

int main(void) {
    RUN(two_may_measure_the_machine_at_once);
    RUN(figures_stay_when_nothing_is_measured_any_more);
    RUN(a_disturbance_while_costs_are_measured_does_not_count);
    RUN(reports_while_runs_are_on);
    RUN(who_waits_long_for_a_helper_leaves_the_processor);
    RUN(a_mode_or_a_trace_ends_plain_runs_at_once);
    RUN(an_operator_is_left_out_with_all_that_come_after_it);
    RUN(unmeasured_operators_are_worth_sharing);
    return report();
}
