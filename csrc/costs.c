/* What the operators of a net cost, and what each way to run it promises by that. */
#include <float.h>
#include <stdlib.h>

#include "async_state.h"
#include "machine.h"

enum {
    BLOCK = 16,           /* operators timed together while they are short */
    LONG_NS = 300,        /* an operator that is worth a look at the clock of its own */
    WORTH_A_TEAM = 20000, /* ns: less work in all does not repay a wake-up */
    WORTH_SHARING = 2000, /* ns: a mean operator that repays the dynamic way's locks */
    SURE_AFTER = 200000,  /* ns into run 0 */
    SHORT_PYTHON_NS = 50000,
    MEASURE_AGAIN = 64,
    MEASURE_LAST = 1 << 24,
};

int c2_async_ensure_dynamic(c2_async *a) {
    if (!a->shared) a->shared = c2_dynamic_new(a->net, a->graph, &a->lanes);
    return a->shared != NULL;
}

static void note_cost(c2_async *a, int32_t v, float ns, int fresh) {
    if (fresh || ns < a->costs[v]) a->costs[v] = ns;
}

/* What is left is unknown, and likely long: operators from v on are shared, and timed as they
 * run, unless the user's watch is on them. */
static void run_shared(c2_async *a, int32_t v, c2_run *run, c2_ticker *ticker) {
    const int32_t n = a->graph->n;
    c2_watch *own = a->watch ? NULL : c2_watch_new(n, a->workers + 1, 0, 1);
    if (own) c2_watch_begin(own);
    c2_dynamic_rank(a->shared, NULL);
    c2_dynamic_run(a->shared, v, run, ticker, own ? own : a->watch);
    if (!own) return;
    c2_watch_end(own);
    for (; v < n; v++)
        if (own->figures[v].count)
            note_cost(a, v, (float)(own->figures[v].mean * own->ns_per_tick), 1);
    c2_watch_free(own);
}

/* One serial run with the clock beside it, or its first part: returns the operator from which on
 * the rest is to be shared. fresh: forget the costs that were known; first: and there were none. */
static int32_t run_timed(c2_async *a, int first, int fresh, c2_run *run, c2_ticker *ticker,
                         c2_batch *batch) {
    const int32_t n = a->graph->n;
    const int64_t begin = c2_os_now();
    int64_t before = begin;
    for (int32_t v = 0; first && v < n; v++)
        a->costs[v] = FLT_MAX;         /* of an operator that does not run now, or not timed */
    int32_t block = first ? 1 : BLOCK; /* nothing is known yet: the first may take seconds */
    for (int32_t v = 0; v < n;) {
        if (!first) block = a->costs[v] >= LONG_NS ? 1 : BLOCK;
        const int32_t end = v + block < n ? v + block : n;
        for (int32_t k = v; k < end; k++) {
            if (c2_run_stopped(run)) return n;
            if (c2_run_watched(a->watch, 0, a->net, k, run, batch) != C2_OK) return n;
            c2_tick(ticker, run);
        }
        const int64_t now = c2_os_now();
        const float each = (float)(now - before) / (float)(end - v);
        for (int32_t k = v; k < end; k++)
            note_cost(a, k, each, fresh);
        before = now;
        v = end;
        if (first) {
            block = each >= LONG_NS ? 1 : 2 * block < BLOCK ? 2 * block : BLOCK;
            if (a->workers > 1 && now - begin > SURE_AFTER && (now - begin) / v > WORTH_SHARING &&
                n - v > 1 && c2_async_ensure_dynamic(a))
                return v;
        }
    }
    return n;
}

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
    float critical = 0;
    double sum = 0;
    for (int32_t v = g->n - 1; v >= 0; v--) {
        float longest = 0;
        for (int32_t k = g->succ_at[v]; k < g->succ_at[v + 1]; k++)
            if (u[g->succs[k]].path > longest) longest = u[g->succs[k]].path;
        u[v] = (urgency){longest + a->costs[v], v};
        sum += a->costs[v];
        if (u[v].path > critical) critical = u[v].path;
    }
    qsort(u, (size_t)g->n, sizeof *u, most_urgent_first);
    for (int32_t k = 0; k < g->n; k++)
        a->rank[u[k].op] = k;
    free(u);
    store_rlx(&a->serial_ns, sum);
    store_rlx(&a->critical_ns, critical);
    return 1;
}

/* Short Python operators stay on the caller: the GIL goes from one thread to another in no less
 * than a sleeper's wake takes. Longer ones may release it, so they are anybody's, as are those of
 * which nothing is known. 0 when out of memory. */
static int find_held(const c2_async *a, uint8_t **held) {
    *held = NULL;
    if (!a->net->python || !a->costs) return 1;
    const int32_t n = a->graph->n;
    if (!(*held = malloc((size_t)n + 1))) return 0;
    for (int32_t v = 0; v < n; v++)
        (*held)[v] = c2_is_python(a->net, v) && a->costs[v] < SHORT_PYTHON_NS;
    return 1;
}

int c2_async_ensure_static(c2_async *a) {
    if (a->fixed) return 1;
    uint8_t *held;
    if (!a->schedule && find_held(a, &held)) {
        const c2_machine machine = c2_machine_measured();
        a->schedule = c2_schedule_new(a->graph, a->workers, a->costs, held, &machine);
        free(held);
    }
    if (!a->schedule) return 0;
    store_rlx(&a->planned_ns, a->schedule->makespan_ns);
    a->fixed = c2_static_new(a->net, a->schedule);
    return a->fixed != NULL;
}

static void forget_static(c2_async *a) {
    c2_static_free(a->fixed);
    c2_schedule_free(a->schedule);
    a->fixed = NULL;
    a->schedule = NULL;
}

/* After the timed runs: what each way promises. */
static void plan(c2_async *a) {
    const int32_t n = a->graph->n;
    c2_choice *const choice = &a->choice;
    store_rlx(&a->mode, C2_MODE_SERIAL);
    c2_choice_begin(choice, 1);
    if (a->workers < 2 || n < 2 || !find_critical_path(a)) return;
    const double serial = load_rlx(&a->serial_ns), critical = load_rlx(&a->critical_ns);
    c2_choice_begin(choice, serial);
    if (serial / n >= WORTH_SHARING) /* the clock's share in the timed run was nothing: a trial */
        c2_choice_took(choice, C2_MODE_SERIAL, serial);
    const double worth = 0.9 * serial;
    if (serial < WORTH_A_TEAM || critical > worth) return; /* too little; a chain */
    forget_static(a);
    if (c2_async_ensure_static(a) && a->schedule->makespan_ns < worth)
        choice->estimate[C2_MODE_STATIC] = a->schedule->makespan_ns;
    if (serial / n >= WORTH_SHARING / 2 && c2_async_ensure_dynamic(a)) {
        c2_dynamic_rank(a->shared, a->rank);
        const double shared = serial / a->workers;
        choice->estimate[C2_MODE_DYNAMIC] = shared > critical ? shared : critical;
    }
}

void c2_async_measure(c2_async *a, int64_t number, c2_run *run, c2_ticker *ticker) {
    c2_batch batch = {0};
    const int fresh = number == a->measure_at;
    const int32_t left = run_timed(a, number == 0, fresh, run, ticker, &batch);
    c2_batch_end(&batch);
    if (left < a->graph->n) run_shared(a, left, run, ticker);
    if (number == a->measure_at || c2_run_stopped(run)) return;
    plan(a);
    a->measure_at = number < MEASURE_AGAIN  ? MEASURE_AGAIN
                    : number < MEASURE_LAST ? 4 * a->measure_at
                                            : INT64_MAX / 2;
}
