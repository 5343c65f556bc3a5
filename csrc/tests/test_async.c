/* graph.c, schedule.c and the ways to run a net: every operator once, after its predecessors,
 * whatever the graph, the way, the workers and the failures.
 */
#include "check.h"
#include "platform.h"
#include "watched.h"

static void run_all_ways(edges e, int64_t most_turns, int runs) {
    watched w;
    open_net(&w, &e, most_turns, 5);
    for (int workers = 1; workers <= 4; workers++)
        for (int mode = C2_MODE_AUTO; mode <= C2_MODE_DYNAMIC; mode++) {
            c2_async *a = c2_async_new(w.net, w.graph, workers);
            c2_async_mode(a, mode);
            for (int k = 0; k < runs; k++) {
                c2_run run = {0};
                store_rlx(&w.ran, 0);
                CHECK_EQ(c2_async_run(a, &run), C2_OK);
                CHECK_EQ(load_rlx(&w.ran), e.n);
            }
            c2_async_free(a);
        }
    CHECK_EQ(load_rlx(&w.early), 0);
    close_net(&w, &e);
}

TEST(empty_and_single) {
    run_all_ways(independent(0), 0, 3);
    run_all_ways(independent(1), 0, 3);
}

TEST(known_shapes) {
    const int64_t n = SANITIZED ? 256 : 2048;
    run_all_ways(independent(n), 50, 8);
    run_all_ways(chain(n), 50, 8);
    run_all_ways(stencil(16, n / 16), 200, 8);
    run_all_ways(butterflies(16, n / 16), 50, 8);
    run_all_ways(tree(n / 2), 50, 8);
}

TEST(random_graphs) {
    uint64_t seed = 99;
    for (int k = 0; k < (SANITIZED ? 20 : 100); k++) {
        const int64_t n = 1 + (int64_t)(next_random(&seed) % 200);
        run_all_ways(random_graph(n, 1 + (int64_t)(next_random(&seed) % 30), seed), 2000, 4);
    }
}

TEST(long_operators_are_shared_in_the_first_run) {
    run_all_ways(random_graph(300, 20, 3), SANITIZED ? 2000 : 60000, 3);
}

TEST(a_failure_stops_the_run_and_the_net_runs_again) {
    edges e = stencil(8, 40);
    watched w;
    open_net(&w, &e, 100, 1);
    for (int mode = C2_MODE_AUTO; mode <= C2_MODE_DYNAMIC; mode++) {
        c2_async *a = c2_async_new(w.net, w.graph, 3);
        c2_async_mode(a, mode);
        for (int k = 0; k < 10; k++) {
            c2_run run = {0};
            w.bad = 100;
            memset(w.stamp, 0, (size_t)e.n * sizeof *w.stamp);
            store_rlx(&w.ran, 0);
            CHECK_EQ(c2_async_run(a, &run), C2_VALUE);
            CHECK_EQ(run.op, 100);
            CHECK(run.net == w.net && strcmp(run.message, "operator 100") == 0);
            CHECK(load_rlx(&w.ran) < e.n && load_rlx(&w.ran) >= 100 / 8);
            w.bad = -1;
            memset(w.stamp, 0, (size_t)e.n * sizeof *w.stamp);
            store_rlx(&w.ran, 0);
            c2_run again = {0};
            CHECK_EQ(c2_async_run(a, &again), C2_OK);
            CHECK_EQ(load_rlx(&w.ran), e.n);
        }
        c2_async_free(a);
    }
    CHECK_EQ(load_rlx(&w.early), 0);
    close_net(&w, &e);
}

static c2_async *busy_one;
static int run_itself(c2_context *c) {
    c2_run run = {0};
    (void)c;
    int64_t count;
    double ns[2];
    c2_event event;
    CHECK_EQ(c2_async_events(busy_one, &event, 1, &count), C2_BUSY);
    CHECK_EQ(c2_async_costs(busy_one, &count, ns, ns + 1), C2_BUSY);
    CHECK_EQ(c2_async_trace(busy_one, 1), C2_BUSY);
    CHECK_EQ(c2_async_profile(busy_one, 1), C2_BUSY);
    return c2_async_run(busy_one, &run) == C2_BUSY ? C2_OK : C2_FAILED;
}

TEST(one_run_at_a_time) {
    edges e = independent(2);
    c2_graph *g;
    c2_graph_of_edges(2, 0, e.from, e.to, &g);
    c2_net *net = c2_net_new(2);
    for (int v = 0; v < 2; v++)
        c2_net_set(net, v, run_itself, NULL, 0, NULL, 0, NULL, NULL, 0);
    busy_one = c2_async_new(net, g, 2);
    c2_run run = {0};
    CHECK_EQ(c2_async_run(busy_one, &run), C2_OK);
    c2_async_free(busy_one);
    c2_net_free(net);
    c2_graph_free(g);
}

TEST(edges_must_go_forward) {
    c2_graph *g;
    const int32_t from[] = {0, 1}, to[] = {1, 1}, back[] = {1, 0}, far[] = {1, 9};
    CHECK_EQ(c2_graph_of_edges(2, 2, from, to, &g), C2_INDEX);
    CHECK_EQ(c2_graph_of_edges(2, 2, from, back, &g), C2_INDEX);
    CHECK_EQ(c2_graph_of_edges(2, 2, from, far, &g), C2_INDEX);
    const int32_t twice_from[] = {0, 0, 1, 0}, twice_to[] = {2, 1, 2, 2};
    CHECK_EQ(c2_graph_of_edges(3, 4, twice_from, twice_to, &g), C2_OK);
    CHECK_EQ(c2_graph_edges(g), 3);
    CHECK(g->preds[g->pred_at[2]] == 0 && g->preds[g->pred_at[2] + 1] == 1);
    CHECK(g->succs[g->succ_at[0]] == 1 && g->succs[g->succ_at[0] + 1] == 2);
    c2_graph_free(g);
}

/* Whatever the order in which they are given, and however often. */
TEST(many_predecessors_are_sorted_and_once_each) {
    enum { N = 60 };
    int32_t from[2 * N], to[2 * N];
    for (int k = 0; k < 2 * N; k++) {
        from[k] = (k * 37 + 11) % N;
        to[k] = N;
    }
    c2_graph *g;
    CHECK_EQ(c2_graph_of_edges(N + 1, 2 * N, from, to, &g), C2_OK);
    CHECK_EQ(c2_graph_edges(g), N);
    for (int k = 0; k < N; k++)
        CHECK_EQ(g->preds[g->pred_at[N] + k], k);
    c2_graph_free(g);
    CHECK_EQ(c2_graph_of_edges(-1, 0, from, to, &g), C2_NO_MEMORY);
    CHECK_EQ(c2_graph_of_edges(INT32_MAX, 0, from, to, &g), C2_NO_MEMORY);
    CHECK(g == NULL);
}

/* 0 writes a; 1 and 2 read a; 3 writes a (after both readers); 4 reads and writes a. */
TEST(blobs_make_the_edges) {
    const int64_t in_at[] = {0, 0, 1, 2, 2, 3}, out_at[] = {0, 1, 2, 3, 4, 5};
    const int32_t in[] = {0, 0, 0}, out[] = {0, 1, 2, 0, 0};
    c2_graph *g = c2_graph_of_blobs(5, in_at, in, out_at, out, 3);
    const int32_t from[] = {0, 0, 1, 2, 3}, to[] = {1, 2, 3, 3, 4};
    c2_graph *want;
    c2_graph_of_edges(5, 5, from, to, &want);
    CHECK_EQ(c2_graph_edges(g), 5);
    CHECK(memcmp(g->pred_at, want->pred_at, 6 * sizeof(int32_t)) == 0);
    CHECK(memcmp(g->preds, want->preds, 5 * sizeof(int32_t)) == 0);
    CHECK(memcmp(g->succs, want->succs, 5 * sizeof(int32_t)) == 0);
    c2_graph_free(g);
    c2_graph_free(want);
}

/* Each operator notes on which thread it ran. */
typedef struct noted {
    watched *w;
    uint64_t *thread;
} noted;
static noted notes;
static int note(c2_context *c) {
    const place *p = c->handle;
    notes.thread[p->v] = c2_os_self();
    return watch(c);
}

TEST(lanes_keep_their_operators) {
    edges e = random_graph(400, 10, 11);
    watched w;
    open_net(&w, &e, 500, 2);
    int32_t lane[400];
    uint64_t thread[400];
    notes = (noted){&w, thread};
    for (int v = 0; v < 400; v++) {
        lane[v] = v % 3;
        c2_net_set(w.net, v, note, &places[v], 0, NULL, 0, NULL, NULL, 0);
    }
    for (int caller = 0; caller < 2; caller++) {
        const int32_t workers[] = {1, 1, 1}, flags[] = {0, caller ? C2_LANE_CALLER : 0, 0};
        c2_async *a = c2_async_new(w.net, w.graph, 2);
        CHECK_EQ(c2_async_lanes(a, lane, 3, workers, flags), C2_OK);
        for (int k = 0; k < 20; k++) {
            c2_run run = {0};
            memset(w.stamp, 0, (size_t)e.n * sizeof *w.stamp);
            CHECK_EQ(c2_async_run(a, &run), C2_OK);
            /* one worker each: a lane is a thread, and no two lanes are the same one */
            for (int v = 3; v < 400; v++)
                CHECK(thread[v] == thread[v % 3]);
            CHECK(thread[0] != thread[1] && thread[1] != thread[2] && thread[0] != thread[2]);
            CHECK((thread[1] == c2_os_self()) == caller);
        }
        c2_async_free(a);
    }
    CHECK_EQ(load_rlx(&w.early), 0);

    const int32_t good[] = {1, 1, 1}, none[] = {0, 0, 0}, both[] = {1, 1, 0}, zero[] = {1, 0, 1};
    c2_async *a = c2_async_new(w.net, w.graph, 2);
    CHECK_EQ(c2_async_lanes(a, lane, 0, good, none), C2_VALUE);
    CHECK_EQ(c2_async_lanes(a, lane, 2, good, none), C2_VALUE); /* an operator on lane 2 */
    CHECK_EQ(c2_async_lanes(a, lane, 3, zero, none), C2_VALUE);
    CHECK_EQ(c2_async_lanes(a, lane, 3, good, both), C2_VALUE);
    const int32_t many[] = {200, 100, 1}, huge[] = {1, 257, 1}, first[] = {1, 0, 0};
    const int32_t cpus[] = {0, 1024, -1};
    CHECK_EQ(c2_async_lanes(a, lane, 3, many, none), C2_VALUE); /* more than a team */
    CHECK_EQ(c2_async_pin(a, 0, cpus, 1), C2_VALUE);            /* no lanes yet */
    CHECK_EQ(c2_async_lanes(a, lane, 3, huge, none), C2_VALUE);
    CHECK_EQ(c2_async_lanes(a, lane, 3, good, first), C2_OK);
    CHECK_EQ(c2_async_lanes(a, lane, 3, good, none), C2_VALUE); /* there are some */
    CHECK_EQ(c2_async_pin(a, -1, cpus, 1), C2_VALUE);
    CHECK_EQ(c2_async_pin(a, 3, cpus, 1), C2_VALUE);
    CHECK_EQ(c2_async_pin(a, 0, cpus, 1), C2_VALUE); /* the caller's lane */
    CHECK_EQ(c2_async_pin(a, 1, cpus, 0), C2_VALUE);
    CHECK_EQ(c2_async_pin(a, 1, cpus, 2), C2_VALUE);
    CHECK_EQ(c2_async_pin(a, 1, cpus + 2, 1), C2_VALUE);
    CHECK_EQ(c2_async_trace(a, -1), C2_VALUE);
    CHECK_EQ(c2_async_trace(a, (int64_t)INT32_MAX + 1), C2_VALUE);
    c2_async_free(a);
    close_net(&w, &e);
}

TEST(a_trace_has_every_operator_once_and_in_order) {
    edges e = stencil(8, 50);
    watched w;
    open_net(&w, &e, 500, 2);
    for (int mode = C2_MODE_SERIAL; mode <= C2_MODE_DYNAMIC; mode++) {
        c2_async *a = c2_async_new(w.net, w.graph, 3);
        c2_async_mode(a, mode);
        CHECK_EQ(c2_async_trace(a, e.n), C2_OK);
        CHECK_EQ(c2_async_profile(a, 1), C2_OK);
        c2_run run = {0};
        memset(w.stamp, 0, (size_t)e.n * sizeof *w.stamp);
        CHECK_EQ(c2_async_run(a, &run), C2_OK);
        c2_event events[400], at[400] = {{0}};
        int64_t counts[400];
        double mean[400], deviation[400];
        int64_t count = 0;
        CHECK_EQ(c2_async_events(a, events, 400, &count), C2_OK);
        CHECK_EQ(count, e.n);
        for (int k = 0; k < 400; k++) {
            CHECK(events[k].begin_ns <= events[k].end_ns);
            CHECK(at[events[k].op].end_ns == 0);
            at[events[k].op] = events[k];
        }
        for (int v = 0; v < 400; v++)
            for (int32_t p = w.graph->pred_at[v]; p < w.graph->pred_at[v + 1]; p++)
                CHECK(at[w.graph->preds[p]].end_ns <= at[v].begin_ns);
        CHECK_EQ(c2_async_costs(a, counts, mean, deviation), C2_OK);
        for (int v = 0; v < 400; v++)
            CHECK(counts[v] == 1 && mean[v] > 0 && deviation[v] == 0);
        CHECK_EQ(c2_async_trace(a, 0), C2_OK);
        CHECK_EQ(c2_async_profile(a, 0), C2_OK);
        c2_async_free(a);
    }
    close_net(&w, &e);
}

int main(void) {
    RUN(empty_and_single);
    RUN(known_shapes);
    RUN(random_graphs);
    RUN(long_operators_are_shared_in_the_first_run);
    RUN(a_failure_stops_the_run_and_the_net_runs_again);
    RUN(one_run_at_a_time);
    RUN(lanes_keep_their_operators);
    RUN(a_trace_has_every_operator_once_and_in_order);
    RUN(edges_must_go_forward);
    RUN(many_predecessors_are_sorted_and_once_each);
    RUN(blobs_make_the_edges);
    return report();
}
