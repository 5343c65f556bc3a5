/* AsyncNet: runs a net in dependency order, in the way that measures fastest.
 *
 * Nobody can tell beforehand whether a second core gains anything: it depends on what operators
 * cost, and below some 100 ns each it does not. So the first runs are serial and timed; then the
 * ways that should gain by these costs are tried, and the fastest stays. The serial loop is
 * always among the candidates, which is why a net is not slower than it but for the trials: few
 * at first, later at most one run in a hundred.
 *
 *   run 0         serial, timed in blocks; goes over to `dynamic` on the way when operators turn
 *                 out to be long, so that a single long run uses all cores at once
 *   run 1         serial, long operators timed one by one
 *   then          `static` and `dynamic`, where their estimate beats serial, thrice each
 *   then          the fastest; now and then another candidate, in case the costs have changed
 */
#include <stdlib.h>
#include <string.h>

#include "async.h"
#include "atomic.h"
#include "dynamic_run.h"
#include "machine.h"
#include "team.h"
#include "platform.h"
#include "reclaim.h"
#include "static_run.h"

enum {
    BLOCK = 16,           /* operators timed together while they are short */
    LONG_NS = 300,        /* an operator that is worth a look at the clock of its own */
    WORTH_A_TEAM = 20000, /* ns: less work in all does not repay a wake-up */
    WORTH_SHARING = 2000, /* ns: a mean operator that repays the dynamic way's locks */
    SURE_AFTER = 200000,  /* ns into run 0 */
    TRIALS = 3,
    LONG_RUN_NS = 1000 * 1000,
    TRY_EVERY = 128,
};

/* What is shared:
 *
 * | word                       | meaning                            | changed by               |
 * |----------------------------|------------------------------------|--------------------------|
 * | running                    | 1: somebody runs it, or changes    | CAS 0 -> 1 (acquire) by  |
 * |                            | what only a run may look at        | whoever does; 0 (release)|
 * | forced                     | the mode that was asked for        | c2_async_mode, any time  |
 * | mode, runs, took           | what the last runs were and took   | the one that is running  |
 * | serial_ns, critical_ns,    | what the costs promise             | the one that is running  |
 * | planned_ns                 |                                    |                          |
 *
 * All but `running` are relaxed: each is a figure by itself, for people. A report that is made
 * during a run may have some of before it and some of after. The rest of the struct belongs to
 * whoever has `running`. */
struct c2_async {
    c2_net *net;
    const c2_graph *graph;
    int32_t workers;
    _Atomic int32_t running;
    _Atomic int32_t forced, mode;
    _Atomic int64_t runs;
    _Atomic double serial_ns, critical_ns, planned_ns;
    _Atomic double took[4];
    float *costs;
    int32_t *rank;
    c2_schedule *schedule;
    c2_static *fixed;
    c2_dynamic *shared;
    c2_lanes lanes;
    int32_t *lane_arrays; /* of_op and of_helper, when there are devices */
    c2_watch *watch;
    int32_t profiling;
    int64_t capacity;
    double estimate[4];
    int32_t trials[4];
};

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

/* ---- watching ---- */

static int begin_change(c2_async *a) {
    int32_t idle = 0;
    return cas_acq(&a->running, &idle, 1) ? C2_OK : C2_BUSY;
}

static int end_change(c2_async *a, int status) {
    store_rel(&a->running, 0); /* meets cas_acq: the next caller sees all that this one changed */
    return status;
}

/* A new watch with what is wanted now; the old figures go. */
static int renew_watch(c2_async *a) {
    c2_watch *watch = NULL;
    const int32_t workers = a->workers + 1; /* number 0 is the caller's, also where it only waits */
    if (a->profiling || a->capacity) {
        watch = c2_watch_new(a->graph->n, workers, a->capacity, a->profiling);
        if (!watch) return C2_NO_MEMORY;
    }
    c2_watch_free(a->watch);
    a->watch = watch;
    return C2_OK;
}

int c2_async_profile(c2_async *a, int on) {
    if (begin_change(a)) return C2_BUSY;
    a->profiling = on;
    return end_change(a, on ? renew_watch(a) : C2_OK);
}

int c2_async_trace(c2_async *a, int64_t capacity) {
    if (capacity < 0 || capacity > INT32_MAX) return C2_VALUE;
    if (begin_change(a)) return C2_BUSY;
    a->capacity = capacity;
    return end_change(a, renew_watch(a));
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
    for (int m = 0; m < 4; m++)
        r->took_ns[m] = load_rlx(&a->took[m]);
}

/* ---- what the operators cost ---- */

static int32_t ensure_dynamic(c2_async *a) {
    if (!a->shared) a->shared = c2_dynamic_new(a->net, a->graph, &a->lanes);
    return a->shared != NULL;
}

/* One serial run with the clock beside it. */
static void run_timed(c2_async *a, int first, c2_run *run, c2_ticker *ticker) {
    const int32_t n = a->graph->n;
    const int64_t begin = c2_os_now();
    int64_t before = begin;
    int32_t block = first ? 1 : BLOCK; /* nothing is known yet: the first may take seconds */
    for (int32_t v = 0; v < n;) {
        if (!first && a->costs) block = a->costs[v] >= LONG_NS ? 1 : BLOCK;
        const int32_t end = v + block < n ? v + block : n;
        for (int32_t k = v; k < end; k++) {
            if (c2_run_stopped(run)) return;
            if (c2_run_watched(a->watch, 0, a->net, k, run) != C2_OK) return;
            c2_tick(ticker, run);
        }
        const int64_t now = c2_os_now();
        const float each = (float)(now - before) / (float)(end - v);
        for (int32_t k = v; k < end; k++)
            a->costs[k] = each;
        before = now;
        v = end;
        if (first) {
            block = each >= LONG_NS ? 1 : 2 * block < BLOCK ? 2 * block : BLOCK;
            if (a->workers > 1 && now - begin > SURE_AFTER && (now - begin) / v > WORTH_SHARING &&
                n - v > 1 && ensure_dynamic(a)) {
                /* What is left is unknown, and likely long: share it. */
                for (int32_t k = v; k < n; k++)
                    a->costs[k] = (float)(now - begin) / (float)v;
                c2_dynamic_rank(a->shared, NULL);
                c2_dynamic_run(a->shared, v, run, ticker, a->watch);
                return;
            }
        }
    }
}

/* ---- which way promises what ---- */

typedef struct urgency {
    float path;
    int32_t op;
} urgency;

static int most_urgent_first(const void *x, const void *y) {
    const urgency *a = x, *b = y;
    if (a->path != b->path) return a->path < b->path ? 1 : -1;
    return (a->op > b->op) - (a->op < b->op);
}

/* The longest path from each operator to the end, and the order that follows from it. */
static int find_critical_path(c2_async *a) {
    const c2_graph *g = a->graph;
    urgency *u = malloc(((size_t)g->n + 1) * sizeof *u);
    if (!a->rank) a->rank = malloc(((size_t)g->n + 1) * sizeof *a->rank);
    if (!u || !a->rank) {
        free(u);
        return 0;
    }
    double serial = 0, critical = 0;
    for (int32_t v = g->n - 1; v >= 0; v--) {
        float longest = 0;
        for (int32_t k = g->succ_at[v]; k < g->succ_at[v + 1]; k++)
            if (u[g->succs[k]].path > longest) longest = u[g->succs[k]].path;
        u[v] = (urgency){longest + a->costs[v], v};
        serial += a->costs[v];
        if (u[v].path > critical) critical = u[v].path;
    }
    store_rlx(&a->serial_ns, serial);
    store_rlx(&a->critical_ns, critical);
    qsort(u, (size_t)g->n, sizeof *u, most_urgent_first);
    for (int32_t k = 0; k < g->n; k++)
        a->rank[u[k].op] = k;
    free(u);
    return 1;
}

static int ensure_static(c2_async *a) {
    if (a->fixed) return 1;
    const c2_machine machine = c2_machine_measured();
    if (!a->schedule) a->schedule = c2_schedule_new(a->graph, a->workers, a->costs, &machine);
    if (a->schedule) {
        store_rlx(&a->planned_ns, a->schedule->makespan_ns);
        a->fixed = c2_static_new(a->net, a->schedule);
    }
    return a->fixed != NULL;
}

/* After the timed runs: an estimate for each way; 0: not worth a trial. */
static void plan(c2_async *a) {
    const int32_t n = a->graph->n;
    store_rlx(&a->mode, C2_MODE_SERIAL);
    if (!a->costs || a->workers < 2 || n < 2 || !find_critical_path(a)) return;
    const double serial = load_rlx(&a->serial_ns), critical = load_rlx(&a->critical_ns);
    a->estimate[C2_MODE_SERIAL] = serial;
    if (serial / n >= WORTH_SHARING) { /* the clock's share in run 1 was nothing: a trial */
        store_rlx(&a->took[C2_MODE_SERIAL], serial);
        a->trials[C2_MODE_SERIAL] = 1;
    }
    if (serial < WORTH_A_TEAM) return;
    const double worth = 0.9 * serial;
    if (critical > worth) return; /* a chain: nothing to share */
    if (ensure_static(a) && a->schedule->makespan_ns < worth)
        a->estimate[C2_MODE_STATIC] = a->schedule->makespan_ns;
    if (serial / n >= WORTH_SHARING / 2 && ensure_dynamic(a)) {
        c2_dynamic_rank(a->shared, a->rank);
        const double shared = serial / a->workers;
        a->estimate[C2_MODE_DYNAMIC] = shared > critical ? shared : critical;
    }
}

/* ---- a run ---- */

static void run_serial(c2_async *a, c2_run *run, c2_ticker *ticker) {
    if (!a->watch) {
        c2_net_execute(a->net, run, ticker);
        return;
    }
    for (int32_t v = 0; v < a->graph->n && !c2_run_stopped(run); v++) {
        c2_run_watched(a->watch, 0, a->net, v, run);
        c2_tick(ticker, run);
    }
}

static void run_in(c2_async *a, int mode, c2_run *run, c2_ticker *ticker) {
    switch (mode) {
    case C2_MODE_STATIC: c2_static_run(a->fixed, run, ticker, a->watch); break;
    case C2_MODE_DYNAMIC: c2_dynamic_run(a->shared, 0, run, ticker, a->watch); break;
    default: run_serial(a, run, ticker); break;
    }
}

static int is_candidate(const c2_async *a, int m) {
    return a->estimate[m] != 0;
}

static double took(const c2_async *a, int m) {
    return load_rlx(&a->took[m]);
}

/* The fastest candidate so far; one that has not been tried counts as slower. */
static int fastest(const c2_async *a) {
    int best = C2_MODE_SERIAL;
    for (int m = C2_MODE_SERIAL; m <= C2_MODE_DYNAMIC; m++)
        if (is_candidate(a, m) && took(a, m) != 0 &&
            (took(a, best) == 0 || took(a, m) < took(a, best)))
            best = m;
    return best;
}

/* Of the candidates that have had fewer than TRIALS the one with the fewest, and of these the
 * one that promises most: a long run is not done serially again to learn what is known. One that
 * lost clearly gets no second trial. Then the fastest, and once in TRY_EVERY runs another. */
static int choose(const c2_async *a) {
    const int best = fastest(a);
    int next = 0;
    for (int m = C2_MODE_SERIAL; m <= C2_MODE_DYNAMIC; m++) {
        if (!is_candidate(a, m) || a->trials[m] >= TRIALS) continue;
        if (a->trials[m] && took(a, best) > LONG_RUN_NS && took(a, m) > 1.5 * took(a, best))
            continue;
        if (!next || a->trials[m] < a->trials[next] ||
            (a->trials[m] == a->trials[next] && a->estimate[m] < a->estimate[next]))
            next = m;
    }
    if (next) return next;
    const int64_t runs = load_rlx(&a->runs);
    if (runs % TRY_EVERY == 0) {
        const int other = C2_MODE_SERIAL + (int)(runs / TRY_EVERY % 3);
        if (is_candidate(a, other) && took(a, other) < 2 * took(a, best)) return other;
    }
    return best;
}

static void run_auto(c2_async *a, c2_run *run, c2_ticker *ticker) {
    const int64_t runs = load_rlx(&a->runs);
    if (runs < 2) {
        if (!a->costs) a->costs = calloc((size_t)a->graph->n + 1, sizeof *a->costs);
        if (a->costs)
            run_timed(a, runs == 0, run, ticker);
        else
            run_serial(a, run, ticker);
        if (runs == 1 && !c2_run_stopped(run)) plan(a);
        return;
    }
    if (a->estimate[C2_MODE_STATIC] == 0 && a->estimate[C2_MODE_DYNAMIC] == 0) {
        run_serial(a, run, ticker); /* no other way promises anything: no clock either */
        return;
    }
    const int mode = choose(a);
    const int64_t begin = c2_os_now();
    run_in(a, mode, run, ticker);
    const double now = (double)(c2_os_now() - begin);
    if (c2_run_stopped(run)) return;
    a->trials[mode]++;
    store_rlx(&a->mode, mode);
    /* The quickest run counts, since noise only adds; but it fades, since costs change. */
    const double faded = took(a, mode) * 1.03;
    store_rlx(&a->took[mode], faded == 0 || now < faded ? now : faded);
}

int c2_async_execute(c2_async *a, c2_run *run, c2_ticker *ticker) {
    if (begin_change(a)) return C2_BUSY;
    int mode = a->lane_arrays ? C2_MODE_DYNAMIC : load_rlx(&a->forced);
    if (a->watch) c2_watch_begin(a->watch);
    if (mode == C2_MODE_STATIC && !ensure_static(a)) mode = C2_MODE_SERIAL;
    if (mode == C2_MODE_DYNAMIC && !ensure_dynamic(a)) {
        if (a->lane_arrays) c2_run_fail(run, C2_NO_MEMORY, NULL, -1, "no memory for a run");
        mode = C2_MODE_SERIAL;
    }
    if (mode == C2_MODE_AUTO)
        run_auto(a, run, ticker);
    else
        run_in(a, mode, run, ticker);
    store_rlx(&a->runs, load_rlx(&a->runs) + 1);
    if (a->watch) c2_watch_end(a->watch);
    return end_change(a, c2_run_stopped(run) ? C2_STOPPED : C2_OK);
}

int c2_async_run(c2_async *a, c2_run *run) {
    c2_ticker ticker = {0};
    run->caller = c2_os_self();
    c2_guard_enter();
    const int status = c2_async_execute(a, run, run->poll ? &ticker : NULL);
    c2_guard_leave();
    return status == C2_BUSY ? C2_BUSY : run->status;
}
