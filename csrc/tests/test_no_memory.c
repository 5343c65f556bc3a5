/* Every request for memory of blobs, graphs, nets, plans, AsyncNets and scatter-adds, refused: the
 * status says so or the work is done another way, nothing is lost or leaked, and what was there
 * before still works. */
#define _GNU_SOURCE
#include "refusing.h"

#include "operators.h"
#include "platform.h"
#include "pool.h"
#include "scatter.h"
#include "watched.h"

#define TRY(call)                                                                                  \
    if (!status) status = (call)

/* ---- threads: first, before there are any that can be used again ---- */

static int count_up(c2_context *c) {
    add_rlx((_Atomic int64_t *)c->handle, 1);
    return C2_OK;
}

static c2_net *net_of(c2_kernel kernel, void *handle) {
    c2_net *net = c2_net_new(1);
    if (net && c2_net_set(net, 0, kernel, handle, 0, NULL, 0, NULL, NULL, 0)) {
        c2_net_free(net);
        return NULL;
    }
    return net;
}

/* The status of a step with three substeps at the same time, each of which runs the net. */
static int run_three(c2_net *net, int waits, int64_t report_every_ms) {
    c2_step *outer = c2_step_new(), *step = c2_step_new(), *report = c2_step_new();
    c2_run run = {0};
    int status = outer && step && report ? C2_OK : C2_NO_MEMORY;
    TRY(c2_step_add_net(step, net, NULL));
    for (int k = 0; k < 3; k++)
        TRY(c2_step_add_substep(outer, step));
    if (!status && report_every_ms) {
        TRY(c2_step_set(report, 1, NULL, 0, 0, 0, report_every_ms));
        TRY(c2_step_add_substep(outer, report));
    }
    TRY(c2_step_set(outer, 1, NULL, 0, 1, waits, 0));
    TRY(c2_step_run(outer, &run));
    c2_step_free(outer), c2_step_free(step), c2_step_free(report);
    return status;
}

TEST(without_threads_the_caller_does_it_or_says_so) {
    _Atomic int64_t ran = 0;
    c2_net *net = net_of(count_up, (void *)&ran);
    store_rlx(&no_threads, 1);
    CHECK_EQ(run_three(net, 0, 0), C2_OK);
    CHECK_EQ(load_rlx(&ran), 3);
    CHECK_EQ(run_three(net, 1, 0), C2_SYSTEM); /* each needs one of its own */
    CHECK_EQ(run_three(net, 0, 1), C2_SYSTEM); /* so does a reporter */
    CHECK_EQ(load_rlx(&ran), 3);
    CHECK_EQ(c2_pool_threads(), 0);
    c2_net_free(net);

    edges e = stencil(4, 50);
    watched w;
    open_net(&w, &e, 100, 1);
    for (int mode = C2_MODE_SERIAL; mode <= C2_MODE_DYNAMIC; mode++) {
        c2_async *a = c2_async_new(w.net, w.graph, 3);
        c2_async_mode(a, mode);
        c2_run run = {0};
        store_rlx(&w.ran, 0);
        CHECK_EQ(c2_async_run(a, &run), C2_OK);
        CHECK_EQ(load_rlx(&w.ran), e.n);
        c2_async_free(a);
    }
    int32_t lane[200] = {0}, workers[] = {1, 1}, flags[] = {C2_LANE_CALLER, 0};
    lane[7] = 1;
    c2_async *a = c2_async_new(w.net, w.graph, 2);
    CHECK_EQ(c2_async_lanes(a, lane, 2, workers, flags), C2_OK);
    c2_run run = {0};
    store_rlx(&w.ran, 0);
    CHECK_EQ(c2_async_run(a, &run), C2_SYSTEM); /* a device needs its thread */
    CHECK_EQ(load_rlx(&w.ran), 0);
    c2_async_free(a);
    CHECK_EQ(load_rlx(&w.early), 0);
    close_net(&w, &e);
    store_rlx(&no_threads, 0);
}

/* ---- blobs, nets, graphs ---- */

static int blobs(void) {
    const int64_t small = 3, large = 1000;
    const float data[3] = {1, 2, 3};
    float shared[3];
    c2_blob *b = c2_blob_new();
    if (!b) return C2_NO_MEMORY;
    int status = c2_blob_feed(b, C2_FLOAT32, 1, &small, data);
    if (!status) { /* larger: refused, it stays what it was */
        const c2_tensor *t;
        c2_guard_enter();
        status = c2_blob_resize(b, C2_FLOAT32, 1, &large, &t);
        t = c2_blob_tensor(b);
        CHECK_EQ(t->size, status ? small : large);
        if (status) CHECK(!memcmp(t->data, data, sizeof data));
        c2_guard_leave();
    }
    TRY(c2_blob_object(b, 7));
    TRY(c2_blob_share(b, C2_FLOAT32, 1, &small, shared));
    c2_blob_free(b);
    return status;
}

static int graphs(void) {
    const int64_t in_at[] = {0, 0, 1, 2, 2, 3}, out_at[] = {0, 1, 2, 3, 4, 5};
    const int32_t in[] = {0, 0, 0}, out[] = {0, 1, 2, 0, 0}, from[] = {0, 1}, to[] = {2, 2};
    c2_graph *g = c2_graph_of_blobs(5, in_at, in, out_at, out, 3);
    if (!g) return C2_NO_MEMORY;
    c2_graph_free(g);
    const int status = c2_graph_of_edges(3, 2, from, to, &g);
    CHECK_EQ(g == NULL, status != C2_OK);
    c2_graph_free(g);
    return status;
}

static int nets(void) {
    int status = C2_OK;
    c2_net *net = c2_net_new(1);
    c2_blob *b[] = {c2_blob_new(), c2_blob_new()};
    if (!net || !b[0] || !b[1]) status = C2_NO_MEMORY;
    TRY(c2_net_set(net, 0, count_up, NULL, 1, b, 1, b + 1, NULL, 0));
    drop(b, 2);
    c2_net_free(net);
    return status;
}

TEST(blobs_graphs_and_nets) {
    runs_out(blobs, ALONE);
    runs_out(graphs, ALONE);
    runs_out(nets, ALONE);
}

/* ---- plans ---- */

static int plans(void) {
    _Atomic int64_t ran = 0;
    c2_net *net = net_of(count_up, (void *)&ran);
    const int status = net ? run_three(net, 0, 0) : C2_NO_MEMORY;
    CHECK(status ? load_rlx(&ran) == 0 : load_rlx(&ran) == 3);
    c2_net_free(net);
    return status;
}

/* A substep that cannot have a thread of its own is C2_SYSTEM: the request was refused in there. */
static int plans_that_wait(void) {
    _Atomic int64_t ran = 0;
    c2_net *net = net_of(count_up, (void *)&ran);
    const int status = net ? run_three(net, 1, 1) : C2_NO_MEMORY;
    c2_net_free(net);
    return status == C2_SYSTEM ? C2_NO_MEMORY : status;
}

/* Nets and how they run stay side by side when one of the two lists cannot grow. */
static int a_net_is_added_or_not(void) {
    _Atomic int64_t ran[2] = {0, 0};
    c2_net *nets[] = {net_of(count_up, (void *)&ran[0]), net_of(count_up, (void *)&ran[1])};
    c2_step *step = c2_step_new();
    c2_graph *g = NULL;
    c2_async *a = NULL;
    int status = step && nets[0] && nets[1] ? C2_OK : C2_NO_MEMORY, added = 0;
    TRY(c2_graph_of_edges(1, 0, NULL, NULL, &g));
    if (!status && !(a = c2_async_new(nets[1], g, 1))) status = C2_NO_MEMORY;
    if (!status) {
        added = !(status = c2_step_add_net(step, nets[0], NULL));
        const int next = c2_step_add_net(step, nets[1], a); /* whatever became of the other */
        c2_run run = {0};
        CHECK_EQ(c2_step_run(step, &run), C2_OK);
        CHECK_EQ(load_rlx(&ran[0]), added);
        CHECK_EQ(load_rlx(&ran[1]), !next);
        c2_async_report r;
        c2_async_report_now(a, &r);
        CHECK_EQ(r.runs, !next);
        if (next) status = next;
    }
    c2_step_free(step);
    c2_async_free(a);
    c2_graph_free(g);
    c2_net_free(nets[0]), c2_net_free(nets[1]);
    return status;
}

TEST(steps_and_plans) {
    runs_out(a_net_is_added_or_not, ALONE);
    runs_out(plans, HELPED);
    runs_out(plans_that_wait, HELPED);
}

/* ---- AsyncNets ---- */

static struct {
    watched w;
    int mode, workers, lanes, unwatched;
} given;

/* Made, watched, run three times, asked. Runs need no memory to end well, except for devices: whose
 * operators run on no other thread, so none of them has run then. */
static int asyncs(void) {
    watched *const w = &given.w;
    const int32_t n = w->graph->n;
    static int32_t lane[200];
    static int64_t counts[200];
    static double mean[200], deviation[200];
    c2_async *a = c2_async_new(w->net, w->graph, given.workers);
    if (!a) return C2_NO_MEMORY;
    int status = C2_OK;
    c2_async_mode(a, given.mode);
    if (given.lanes) {
        const int32_t workers[] = {1, 1}, flags[] = {C2_LANE_CALLER, 0};
        for (int32_t v = 0; v < n; v++)
            lane[v] = given.lanes > 1 ? v % 2 : 0;
        TRY(c2_async_lanes(a, lane, given.lanes, workers, flags));
#ifdef C2_PLATFORM_linux /* elsewhere nobody is kept on a processor */
        if (given.lanes > 1) TRY(c2_async_pin(a, 1, (const int32_t[]){0}, 1));
#endif
    }
    if (!given.unwatched) {
        TRY(c2_async_profile(a, 1));
        TRY(c2_async_trace(a, 10));
    }
    for (int k = 0; k < 3 && !status; k++) {
        c2_run run = {0};
        memset(w->stamp, 0, (size_t)n * sizeof *w->stamp);
        store_rlx(&w->ran, 0);
        status = c2_async_run(a, &run);
        CHECK_EQ(load_rlx(&w->ran), status ? 0 : n);
    }
    if (!status && !given.unwatched && c2_async_costs(a, counts, mean, deviation) == C2_OK)
        CHECK_EQ(counts[0], 3);
    c2_async_free(a);
    return status;
}

TEST(asyncs_in_every_way) {
    edges e = stencil(4, 50);
    open_net(&given.w, &e, 20000, 1); /* so long that every way is tried */
    for (given.mode = C2_MODE_AUTO; given.mode <= C2_MODE_DYNAMIC; given.mode++) {
        given.workers = 1;
        runs_out(asyncs, ALONE);
        given.workers = 2;
        runs_out(asyncs, HELPED);
    }
    for (given.unwatched = 0; given.unwatched < 2; given.unwatched++)
        for (given.lanes = 1; given.lanes < 3; given.lanes++)
            runs_out(asyncs, given.lanes > 1 ? HELPED : ALONE);
    CHECK_EQ(load_rlx(&given.w.early), 0);
    close_net(&given.w, &e);
}

/* What is watched after a refusal is what was watched before it. */
static int watched_on(void) {
    c2_async *a = c2_async_new(given.w.net, given.w.graph, 1);
    if (!a) return C2_NO_MEMORY;
    int status = c2_async_trace(a, 5);
    if (!status) {
        const int more = c2_async_profile(a, 1);
        c2_run run = {0};
        c2_event events[20];
        int64_t count, counts[20];
        double mean[20], deviation[20];
        CHECK_EQ(c2_async_run(a, &run), C2_OK);
        CHECK_EQ(c2_async_events(a, events, 20, &count), C2_OK);
        CHECK_EQ(count, 5);
        CHECK_EQ(c2_async_costs(a, counts, mean, deviation), more ? C2_VALUE : C2_OK);
        status = c2_async_trace(a, 6); /* which does not bring back what was refused */
        if (!status) CHECK_EQ(c2_async_costs(a, counts, mean, deviation), more ? C2_VALUE : C2_OK);
        if (more) status = more;
    }
    c2_async_free(a);
    return status;
}

TEST(a_refused_watch_changes_nothing) {
    edges e = chain(10);
    open_net(&given.w, &e, 0, 1);
    runs_out(watched_on, ALONE);
    close_net(&given.w, &e);
}

/* ---- scatter-adds ---- */

static struct {
    int method, threads;
    int64_t slots, n;
} adds;

/* All are made or none; whoever is not told how to add finds a way without memory. */
static int scatter(void) {
    enum { SLOTS = 1 << 18, N = 1 << 17 };
    static int32_t base[SLOTS], indices[N];
    const int32_t one = 1;
    int64_t bad = -1, sum = 0;
    memset(base, 0, sizeof base);
    for (int64_t k = 0; k < adds.n; k++)
        indices[k] = (int32_t)((k % 2 ? k * 7919 : k % 8) % adds.slots);
    c2_add_report report;
    const int status = c2_add_at(C2_INT32, base, adds.slots, indices, C2_INT32, &one, 0, adds.n,
                                 adds.method, adds.threads, &report, &bad);
    for (int64_t k = 0; k < adds.slots; k++)
        sum += base[k];
    CHECK_EQ(sum, status ? 0 : adds.n);
    CHECK(adds.method == C2_ADD_AUTO ? status == C2_OK : 1);
    return status;
}

TEST(scattered_adds) {
    for (adds.method = C2_ADD_AUTO; adds.method <= C2_ADD_CACHED; adds.method++)
        for (adds.threads = 1; adds.threads <= 2; adds.threads++)
            for (int large = 0; large < 2; large++) {
                adds.slots = large ? 1 << 18 : 1000;
                adds.n = 1 << 17;
                runs_out(scatter, adds.threads > 1 ? HELPED : ALONE);
            }
}

/* The same in a net: slots so hot that the sums want memory, and so many that a copy does not pay.
 */
static operator summed;
static c2_blob *sums;

static int weighted_sum(void) {
    c2_guard_enter();
    float *const base = c2_blob_tensor(sums)->data;
    memset(base, 0, 40000 * sizeof *base);
    const int status = run(&summed);
    double sum = 0;
    for (int k = 0; k < 40000; k++)
        sum += base[k];
    CHECK_EQ(sum, status ? 0 : 8192);
    c2_guard_leave();
    return status;
}

TEST(scattered_adds_of_a_net) {
    enum { SLOTS = 40000, N = 8192 };
    static float zeros[SLOTS], ones[N];
    static int32_t indices[N];
    for (int k = 0; k < N; k++) {
        indices[k] = k % 2 ? k * 3 % SLOTS : 5;
        ones[k] = 1;
    }
    const int64_t slots = SLOTS, one = 1, n = N;
    c2_blob *in[] = {tensor(C2_FLOAT32, 1, &slots, zeros), tensor(C2_FLOAT32, 1, &one, ones),
                     tensor(C2_INT32, 1, &n, indices), tensor(C2_FLOAT32, 1, &n, ones),
                     tensor(C2_FLOAT32, 1, &one, ones)};
    sums = in[0];
    summed = make("ScatterWeightedSum", 5, in, 1, in, NULL, 0);
    runs_out(weighted_sum, ALONE);
    c2_net_free(summed.net);
    drop(in, 5);
}

int main(void) {
    RUN(without_threads_the_caller_does_it_or_says_so);
    RUN(blobs_graphs_and_nets);
    RUN(steps_and_plans);
    RUN(asyncs_in_every_way);
    RUN(a_refused_watch_changes_nothing);
    RUN(scattered_adds);
    RUN(scattered_adds_of_a_net);
    return report();
}
