/* batch.h: who is inside Python when, and how often it was entered, in every way of running. The
 * GIL is a lock of this test's.
 */
#include "batch.h"
#include "check.h"
#include "mutex.h"
#include "watched.h"

static _Alignas(8) uint64_t gil;
static _Atomic int64_t entered;
static _Thread_local int inside;
static _Atomic int64_t wrong;
static int refused; /* what enter says; C2_OK but for one test */

static int enter(const c2_run *run) {
    if (refused) return refused;
    if (inside) add_rlx(&wrong, 1); /* twice on one thread */
    if (c2_mutex_lock(&gil, -1) != C2_OK) add_rlx(&wrong, 1);
    inside = 1;
    add_rlx(&entered, 1);
    return run ? C2_OK : C2_FAILED;
}

static void leave(void) {
    if (!inside) add_rlx(&wrong, 1);
    inside = 0;
    if (c2_mutex_unlock(&gil) != C2_OK) add_rlx(&wrong, 1);
}

static int native(c2_context *c) {
    if (inside) add_rlx(&wrong, 1);
    return watch(c);
}

static int call(void *handle, c2_context *c) {
    if (!inside) add_rlx(&wrong, 1);
    return watch(c);
}

/* Operator v is Python where the bit of v % 64 is set. */
static void open_mixed(watched *w, edges *e, uint64_t python, int64_t most_turns) {
    open_net(w, e, most_turns, 3);
    for (int64_t v = 0; v < e->n; v++)
        c2_net_set(w->net, v, python >> v % 64 & 1 ? NULL : native, &places[v], 0, NULL, 0, NULL,
                   NULL, 0);
}

static int64_t runs(watched *w, c2_async *a, int times) {
    const int64_t before = load_rlx(&entered);
    for (int k = 0; k < times; k++) {
        c2_run run = {0};
        store_rlx(&w->ran, 0);
        CHECK_EQ(c2_async_run(a, &run), C2_OK);
        CHECK_EQ(load_rlx(&w->ran), w->graph->n);
        CHECK(!c2_mutex_locked(&gil) && !inside);
    }
    return load_rlx(&entered) - before;
}

static const uint64_t EVERY = ~0ULL, NONE = 0, SECOND = 0xAAAAAAAAAAAAAAAAULL,
                      EIGHTS = 0xFF00FF00FF00FF00ULL;

/* Enterings of one run of 64 operators, by one worker in one way. */
static int64_t counted(edges e, uint64_t python, int mode) {
    watched w;
    open_mixed(&w, &e, python, 0);
    c2_async *a = c2_async_new(w.net, w.graph, 1);
    c2_async_mode(a, mode);
    const int64_t found = runs(&w, a, 1);
    CHECK_EQ(runs(&w, a, 3), 3 * found);
    c2_async_free(a);
    close_net(&w, &e);
    return found;
}

TEST(one_worker_enters_once_for_all_that_follow_each_other) {
    for (int mode = C2_MODE_SERIAL; mode <= C2_MODE_STATIC; mode++) {
        CHECK_EQ(counted(chain(64), NONE, mode), 0);
        CHECK_EQ(counted(chain(64), EVERY, mode), 1);
        CHECK_EQ(counted(independent(64), EVERY, mode), 1);
        CHECK_EQ(counted(chain(64), EIGHTS, mode), 4);
        CHECK_EQ(counted(chain(64), SECOND, mode), 32);
    }
    CHECK_EQ(counted(chain(64), EVERY, C2_MODE_DYNAMIC), 1);
    CHECK_EQ(counted(chain(64), SECOND, C2_MODE_DYNAMIC), 32);
    /* whatever is ready, the Python ones together */
    CHECK_EQ(counted(independent(64), SECOND, C2_MODE_DYNAMIC), 1);
}

TEST(the_first_runs_and_watched_ones_are_batches_too) {
    edges e = chain(64);
    watched w;
    open_mixed(&w, &e, EIGHTS, 0);
    c2_async *a = c2_async_new(w.net, w.graph, 2);
    CHECK_EQ(runs(&w, a, 2), 8); /* the timed ones */
    CHECK_EQ(runs(&w, a, 10), 40);
    CHECK_EQ(c2_async_profile(a, 1), C2_OK);
    CHECK_EQ(runs(&w, a, 10), 40);
    c2_async_free(a);
    c2_run run = {0};
    const int64_t before = load_rlx(&entered);
    CHECK_EQ(c2_net_run(w.net, &run), C2_OK);
    CHECK_EQ(load_rlx(&entered) - before, 4);
    close_net(&w, &e);
}

/* Each operator needs the one before, which is another worker's: who kept the GIL over the wait for
 * it would wait for ever. */
TEST(workers_that_need_each_other) {
    edges e = chain(200);
    watched w;
    open_mixed(&w, &e, EVERY, 0);
    int32_t lane[200];
    const int32_t workers[] = {1, 1}, flags[] = {C2_LANE_CALLER, 0};
    for (int v = 0; v < 200; v++)
        lane[v] = v % 2;
    c2_async *a = c2_async_new(w.net, w.graph, 2);
    CHECK_EQ(c2_async_lanes(a, lane, 2, workers, flags), C2_OK);
    CHECK_EQ(runs(&w, a, 5), 5 * 200);
    CHECK_EQ(load_rlx(&w.early), 0);
    c2_async_free(a);
    close_net(&w, &e);
}

TEST(random_graphs_in_every_way) {
    uint64_t seed = 7;
    for (int k = 0; k < (SANITIZED ? 12 : 60); k++) {
        edges e = random_graph(1 + (int64_t)(next_random(&seed) % 150), 12, seed);
        watched w;
        open_mixed(&w, &e, k % 3 == 0 ? EIGHTS : next_random(&seed), 500);
        for (int n = 1; n <= 3; n++)
            for (int mode = C2_MODE_AUTO; mode <= C2_MODE_DYNAMIC; mode++) {
                c2_async *a = c2_async_new(w.net, w.graph, n);
                c2_async_mode(a, mode);
                CHECK(runs(&w, a, 4) <= 4 * e.n);
                c2_async_free(a);
            }
        CHECK_EQ(load_rlx(&w.early), 0);
        close_net(&w, &e);
    }
}

/* A failure, a stop and what is skipped: looked at between the operators of a batch; and whoever
 * was inside has left. */
TEST(what_ends_a_run_ends_a_batch) {
    edges e = chain(100);
    watched w;
    open_mixed(&w, &e, EVERY, 0);
    for (int mode = C2_MODE_AUTO; mode <= C2_MODE_DYNAMIC; mode++) {
        c2_async *a = c2_async_new(w.net, w.graph, 2);
        c2_async_mode(a, mode);
        for (int k = 0; k < 6; k++) {
            c2_run run = {0};
            memset(w.stamp, 0, 100 * sizeof *w.stamp);
            store_rlx(&w.ran, 0);
            w.bad = 40;
            CHECK_EQ(c2_async_run(a, &run), C2_VALUE);
            CHECK(run.op == 40 && load_rlx(&w.ran) == 41);
            CHECK(!c2_mutex_locked(&gil));
            w.bad = -1;

            c2_run skipping = {0};
            uint8_t flags[100] = {0};
            const int32_t last[] = {99};
            memset(w.stamp, 0, 100 * sizeof *w.stamp);
            store_rlx(&w.ran, 0);
            c2_run_skip(&skipping, flags, last, 1);
            CHECK_EQ(c2_async_run(a, &skipping), C2_OK);
            CHECK(load_rlx(&w.ran) == 99 && flags[99] == C2_SKIPPED);
            CHECK(!c2_mutex_locked(&gil));
        }
        c2_async_free(a);
    }
    close_net(&w, &e);
}

static int stop_at(c2_context *c) {
    c2_run_stop(c->run);
    return C2_OK;
}
static int stops(void *handle, c2_context *c) {
    add_rlx(&((const place *)handle)->w->ran, 1);
    return c->op == 30 ? stop_at(c) : C2_OK;
}

TEST(a_stop_comes_through) {
    edges e = independent(100);
    watched w;
    open_mixed(&w, &e, EVERY, 0);
    c2_set_python(enter, stops, leave);
    for (int mode = C2_MODE_SERIAL; mode <= C2_MODE_DYNAMIC; mode++) {
        c2_async *a = c2_async_new(w.net, w.graph, 1);
        c2_async_mode(a, mode);
        c2_run run = {0};
        store_rlx(&w.ran, 0);
        CHECK_EQ(c2_async_run(a, &run), C2_OK);
        CHECK(run.stop && load_rlx(&w.ran) == 31);
        CHECK(!c2_mutex_locked(&gil));
        c2_async_free(a);
    }
    c2_set_python(enter, call, leave);
    close_net(&w, &e);
}

TEST(who_may_not_enter_fails_the_run) {
    edges e = chain(10);
    watched w;
    open_mixed(&w, &e, SECOND, 0);
    for (int mode = C2_MODE_AUTO; mode <= C2_MODE_DYNAMIC; mode++)
        for (int workers = 1; workers <= 2; workers++) {
            c2_async *a = c2_async_new(w.net, w.graph, workers);
            c2_async_mode(a, mode);
            c2_run run = {0};
            refused = C2_STOPPED;
            CHECK_EQ(c2_async_run(a, &run), C2_STOPPED);
            CHECK_EQ(run.op, 1);
            refused = C2_OK;
            c2_async_free(a);
        }
    close_net(&w, &e);
}

int main(void) {
    c2_run run = {0};
    c2_net *net = c2_net_new(1);
    c2_net_set(net, 0, NULL, NULL, 0, NULL, 0, NULL, NULL, 0);
    if (c2_net_run(net, &run) != C2_SYSTEM) return 1; /* there is no Python side yet */
    c2_net_free(net);
    c2_set_python(enter, call, leave);
    RUN(one_worker_enters_once_for_all_that_follow_each_other);
    RUN(the_first_runs_and_watched_ones_are_batches_too);
    RUN(workers_that_need_each_other);
    RUN(random_graphs_in_every_way);
    RUN(what_ends_a_run_ends_a_batch);
    RUN(a_stop_comes_through);
    RUN(who_may_not_enter_fails_the_run);
    if (load_rlx(&wrong)) printf("%lld wrong\n", (long long)load_rlx(&wrong));
    return report() | (load_rlx(&wrong) != 0);
}
