/* AsyncNet: runs a net in dependency order, in the way that measures fastest.
 *
 * Nobody can tell beforehand whether a second core gains anything: it depends on what operators
 * cost, and below some 100 ns each it does not. So the first runs are serial and timed; then the
 * ways that should gain by these costs are tried, and the fastest stays. The serial loop is
 * always among the candidates, which is why a net is not slower than it but for the trials.
 *
 *   run 0         serial, timed in blocks; goes over to `dynamic` on the way when operators turn
 *                 out to be long, so that a single long run uses all cores at once
 *   run 1         serial, long operators timed one by one; of two times the shorter counts, so
 *                 that what disturbed one of the runs does not
 *   then          choice.c chooses between `serial`, `static` and `dynamic`
 *   run 64, 256,  both again, where that costs little: the costs may have changed
 *   1024, ...
 *
 * Where nothing promises to gain, what is left is the serial loop without a clock: `plain` runs.
 */
#include <stdlib.h>
#include <string.h>

#include "async.h"
#include "async_state.h"
#include "platform.h"
#include "reclaim.h"
#include "team.h"

enum { LONG_RUN_NS = 1000 * 1000 };

c2_async *c2_async_new(c2_net *net, const c2_graph *graph, int workers) {
    c2_async *a = calloc(1, sizeof *a);
    if (!a) return NULL;
    a->net = net;
    a->graph = graph;
    a->workers = workers < 1 ? 1 : workers > C2_TEAM_MOST ? C2_TEAM_MOST : workers;
    store_rlx(&a->mode, C2_MODE_SERIAL);
    a->lanes = (c2_lanes){.count = 1, .workers = a->workers};
    return a;
}

void c2_async_free(c2_async *a) {
    if (!a) return;
    c2_static_free(a->fixed);
    c2_dynamic_free(a->shared);
    c2_schedule_free(a->schedule);
    c2_watch_free(a->watch);
    free(a->lane_arrays);
    free(a->lane_cpus);
    free(a->costs);
    free(a->rank);
    free(a);
}

void c2_async_mode(c2_async *a, int mode) {
    store_rlx(&a->forced, mode);
}

int c2_async_lanes(c2_async *a, const int32_t *lane_of_op, int n_lanes, const int32_t *lane_workers,
                   const int32_t *lane_flags) {
    const int32_t n = a->graph->n;
    c2_lanes lanes = {.count = n_lanes, .of_caller = -1};
    if (n_lanes < 1 || load_rlx(&a->runs) || a->lane_arrays) return C2_VALUE;
    for (int32_t k = 0; k < n_lanes; k++) {
        if (lane_workers[k] < 1 || lane_workers[k] > C2_TEAM_MOST) return C2_VALUE;
        if ((lanes.workers += lane_workers[k]) > C2_TEAM_MOST) return C2_VALUE;
        if (!(lane_flags[k] & C2_LANE_CALLER)) continue;
        if (lanes.of_caller >= 0) return C2_VALUE;
        lanes.of_caller = k;
    }
    for (int32_t v = 0; v < n; v++)
        if (lane_of_op[v] < 0 || lane_of_op[v] >= n_lanes) return C2_VALUE;
    int32_t *of_op = malloc(((size_t)n + (size_t)lanes.workers + 1) * sizeof *of_op);
    if (!of_op) return C2_NO_MEMORY;
    int32_t *of_helper = of_op + n, helpers = 0;
    memcpy(of_op, lane_of_op, (size_t)n * sizeof *of_op);
    for (int32_t k = 0; k < n_lanes; k++)
        for (int32_t w = lanes.of_caller == k; w < lane_workers[k]; w++)
            of_helper[helpers++] = k;
    lanes.of_op = of_op;
    lanes.of_helper = of_helper;
    a->lane_arrays = of_op;
    a->lanes = lanes;
    a->workers = lanes.workers;
    store_rlx(&a->mode, C2_MODE_DYNAMIC);
    return C2_OK;
}

int c2_async_pin(c2_async *a, int lane, const int32_t *cpus, int n) {
    const size_t words = (size_t)a->lanes.count * C2_CPU_WORDS;
    if (!a->lane_arrays || load_rlx(&a->runs) || lane < 0 || lane >= a->lanes.count)
        return C2_VALUE;
    if (lane == a->lanes.of_caller || n < 1) return C2_VALUE;
    for (int k = 0; k < n; k++)
        if (cpus[k] < 0 || cpus[k] >= 64 * C2_CPU_WORDS) return C2_VALUE;
    if (!a->lane_cpus && !(a->lane_cpus = calloc(words, sizeof *a->lane_cpus))) return C2_NO_MEMORY;
    for (int k = 0; k < n; k++)
        a->lane_cpus[lane * C2_CPU_WORDS + cpus[k] / 64] |= (uint64_t)1 << cpus[k] % 64;
    a->lanes.cpus = a->lane_cpus;
    return C2_OK;
}

/* ---- watching ---- */

static int begin_change(c2_async *a) {
    int32_t idle = 0;
    if (!cas_acq(&a->running, &idle, 1)) return C2_BUSY;
    store_rlx(&a->plain, 0);
    return C2_OK;
}

static int end_change(c2_async *a, int status) {
    store_rel(&a->running, 0); /* meets cas_acq: the next caller sees all that this one changed */
    return status;
}

/* A new watch; the old figures go. Without memory for it all stays as it is. */
static int renew_watch(c2_async *a, int32_t profiling, int64_t capacity) {
    c2_watch *watch = NULL;
    const int32_t workers = a->workers + 1; /* number 0 is the caller's, also where it only waits */
    if (profiling || capacity) {
        watch = c2_watch_new(a->graph->n, workers, capacity, profiling);
        if (!watch) return C2_NO_MEMORY;
    }
    c2_watch_free(a->watch);
    a->watch = watch;
    a->profiling = profiling;
    a->capacity = capacity;
    return C2_OK;
}

int c2_async_profile(c2_async *a, int on) {
    if (begin_change(a)) return C2_BUSY;
    if (on) return end_change(a, renew_watch(a, 1, a->capacity));
    a->profiling = 0; /* the figures stay as they are */
    if (a->watch) a->watch->measures = 0;
    return end_change(a, C2_OK);
}

int c2_async_trace(c2_async *a, int64_t capacity) {
    if (capacity < 0 || capacity > INT32_MAX) return C2_VALUE;
    if (begin_change(a)) return C2_BUSY;
    return end_change(a, renew_watch(a, a->profiling, capacity));
}

int c2_async_costs(c2_async *a, int64_t *counts, double *mean, double *deviation) {
    if (begin_change(a)) return C2_BUSY;
    const int kept = a->watch && a->watch->figures;
    if (kept) c2_watch_costs(a->watch, a->graph->n, counts, mean, deviation);
    return end_change(a, kept ? C2_OK : C2_VALUE);
}

int c2_async_events(c2_async *a, c2_event *out, int64_t most, int64_t *count) {
    if (begin_change(a)) return C2_BUSY;
    *count = a->watch ? c2_watch_events(a->watch, out, most) : 0;
    return end_change(a, C2_OK);
}

void c2_async_report_now(const c2_async *a, c2_async_report *r) {
    const int32_t forced = load_rlx(&a->forced);
    *r = (c2_async_report){.mode = forced ? forced : load_rlx(&a->mode),
                           .workers = a->workers,
                           .runs = load_rlx(&a->runs),
                           .serial_ns = load_rlx(&a->serial_ns),
                           .critical_ns = load_rlx(&a->critical_ns),
                           .planned_ns = load_rlx(&a->planned_ns)};
    for (int m = 0; m < C2_MODES; m++)
        r->took_ns[m] = load_rlx(&a->choice.took[m]);
}

/* ---- a run ---- */

static void run_serial(c2_async *a, c2_run *run, c2_ticker *ticker) {
    if (!a->watch) {
        c2_net_execute(a->net, run, ticker);
        return;
    }
    c2_batch batch = {0};
    for (int32_t v = 0; v < a->graph->n && !c2_run_stopped(run); v++) {
        c2_run_watched(a->watch, 0, a->net, v, run, &batch);
        c2_tick(ticker, run);
    }
    c2_batch_end(&batch);
}

static void run_in(c2_async *a, int mode, c2_run *run, c2_ticker *ticker) {
    switch (mode) {
    case C2_MODE_STATIC: c2_static_run(a->fixed, run, ticker, a->watch); break;
    case C2_MODE_DYNAMIC: c2_dynamic_run(a->shared, 0, run, ticker, a->watch); break;
    default: run_serial(a, run, ticker); break;
    }
}

static void run_auto(c2_async *a, c2_run *run, c2_ticker *ticker) {
    const int64_t number = load_rlx(&a->runs);
    c2_choice *const choice = &a->choice;
    if (!a->costs && !(a->costs = calloc((size_t)a->graph->n + 1, sizeof *a->costs))) {
        run_serial(a, run, ticker);
        return;
    }
    const int open = c2_choice_open(choice);
    /* Where another way may be faster, a long run is not done serially just to measure it. */
    if (number >= a->measure_at && !(open && load_rlx(&a->serial_ns) > LONG_RUN_NS)) {
        c2_async_measure(a, number, run, ticker);
        return;
    }
    if (!open) { /* no other way promises anything: no clock either */
        run_serial(a, run, ticker);
        return;
    }
    const int mode = c2_choice_next(choice);
    const int64_t begin = c2_os_now();
    run_in(a, mode, run, ticker);
    const double took = (double)(c2_os_now() - begin);
    if (c2_run_stopped(run)) return;
    c2_choice_took(choice, mode, took);
    store_rlx(&a->mode, mode);
}

/* After a run, whether and until when the next may be plain. */
static void permit_plain(c2_async *a) {
    const int32_t forced = load_rlx(&a->forced);
    if (a->watch || a->lane_arrays) return;
    if (forced == C2_MODE_AUTO && !c2_choice_open(&a->choice))
        store_rlx(&a->until, a->measure_at);
    else if (forced == C2_MODE_SERIAL)
        store_rlx(&a->until, INT64_MAX);
    else
        return;
    store_rlx(&a->plain, forced + 1);
}

static void count(c2_async *a, int64_t runs) {
    store_rlx(&a->runs, runs + 1);
}

static int take_plain(c2_async *a) {
    const int64_t runs = load_rlx(&a->runs);
    if (load_rlx(&a->plain) != load_rlx(&a->forced) + 1 || runs >= load_rlx(&a->until)) return 0;
    count(a, runs);
    return 1;
}

int c2_async_execute(c2_async *a, c2_run *run, c2_ticker *ticker) {
    if (take_plain(a)) {
        c2_net_execute(a->net, run, ticker);
        return c2_run_stopped(run) ? C2_STOPPED : C2_OK;
    }
    if (begin_change(a)) return C2_BUSY;
    int mode = a->lane_arrays ? C2_MODE_DYNAMIC : load_rlx(&a->forced);
    if (a->watch) c2_watch_begin(a->watch);
    if (mode == C2_MODE_STATIC && !c2_async_ensure_static(a)) mode = C2_MODE_SERIAL;
    if (mode == C2_MODE_DYNAMIC && !c2_async_ensure_dynamic(a)) {
        if (a->lane_arrays) /* what is on a device's threads must not run here */
            return end_change(a, c2_run_fail(run, C2_NO_MEMORY, NULL, -1, "no memory for a run"));
        mode = C2_MODE_SERIAL;
    }
    if (mode == C2_MODE_AUTO)
        run_auto(a, run, ticker);
    else
        run_in(a, mode, run, ticker);
    if (a->watch) c2_watch_end(a->watch);
    count(a, load_rlx(&a->runs));
    permit_plain(a);
    return end_change(a, c2_run_stopped(run) ? C2_STOPPED : C2_OK);
}

int c2_async_run(c2_async *a, c2_run *run) {
    if (take_plain(a)) return c2_net_run(a->net, run);
    c2_ticker ticker = {0};
    run->caller = c2_os_self();
    c2_guard_enter();
    const int status = c2_async_execute(a, run, run->poll ? &ticker : NULL);
    c2_guard_leave();
    return status == C2_BUSY ? C2_BUSY : run->status;
}
