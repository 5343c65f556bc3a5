/* Whoever is free takes what is ready: for operators of microseconds and more, or of uneven cost.
 *
 * An operator whose last predecessor has run is ready. The one who made it ready keeps the most
 * urgent of its new ones for itself and puts the others on a heap, ordered by rank (the critical
 * path first), under a spin lock: at microseconds an operator that lock is hardly contended, and
 * a heap keeps the order that lock-free deques cannot.
 *
 * Python operators lie on a heap of their own, since who has the GIL should go on with them
 * (batch.h) and leave the others to those who have not; these, in turn, should not wait for the GIL
 * while there is something else to do. Only where that leaves a choice does the rank decide.
 *
 * Each device (lane) has a heap and workers of its own; an operator of another lane is never
 * kept, but goes to that lane's heap. The calling thread belongs to one lane or to none; then it
 * only waits.
 *
 * | word       | meaning                                     | changed by                         |
 * |------------|---------------------------------------------|------------------------------------|
 * | pending[v] | predecessors of v that have not run         | each of them: fetch_sub (acq_rel)  |
 * | remaining  | operators that have not run                 | after each: fetch_sub (acq_rel)    |
 * | at_gil     | workers that have the GIL or wait for it;   | themselves, relaxed                |
 * |            | a hint                                      |                                    |
 * | lane: lock | 0 free, 1 held: heaps and sizes             | swap (acquire), 0 (release)        |
 * | ready      | what lies on each heap, to look at without  | under the lock; those of both      |
 * |            | a lock                                      | (`any`) seq_cst                    |
 * | sleepers   | workers that sleep, or are about to         | themselves, seq_cst                |
 * | bell       | counts rings; sleepers wait on it           | who has work for them: fetch_add   |
 *
 * pending's fetch_sub releases an operator's writes; the one that brings it to 0 acquires those
 * of all predecessors, and hands them on through the lock where another worker takes the operator.
 * remaining likewise: who sees 0 (acquire) sees all.
 *
 * No lost wake-up: a sleeper adds itself to `sleepers`, then reads `any`; a pusher changes
 * `any`, then reads `sleepers`; all four are seq_cst, so one of them sees the other (Dekker).
 * The bell was read before `any`, so a ring after that keeps the sleeper from sleeping.
 *
 * The end (remaining = 0, or a stop) is told by a ring too. `remaining` and `stop` are not written
 * in seq_cst, so who rings the end looks at `sleepers` by a read-modify-write: of that and the
 * sleeper's own, one comes first. The sleeper's: the ring sees it. The ringer's: the sleeper's
 * acquires from it, and so it sees the end before it sleeps. A sleeper looks every 50 ms in any
 * case.
 */
#include <stdlib.h>
#include <string.h>

#include "dynamic_run.h"
#include "platform.h"
#include "team.h"

enum { SPINS = 1000 }; /* 10-40 us of looking before a sleep that costs as much */

enum { NATIVE, PYTHON, KINDS };

typedef struct heap {
    int32_t size;
    int32_t *ops;
} heap;

typedef struct lane {
    _Alignas(64) _Atomic int32_t lock;
    heap heaps[KINDS];
    _Atomic int32_t any, ready[KINDS];
    _Alignas(64) _Atomic int32_t sleepers;
    _Atomic uint32_t bell;
} lane;

struct c2_dynamic {
    c2_net *net;
    const c2_graph *graph;
    const int32_t *rank;
    c2_lanes lanes;
    lane *lane;
    _Atomic int32_t *pending;
    c2_run *run;
    c2_watch *watch;
    _Atomic int32_t next_helper, at_gil;
    _Alignas(64) _Atomic int32_t remaining;
    c2_team team;
};

/* The calling thread of a worker's functions. */
typedef struct self {
    int32_t number;
    lane *lane;
    c2_ticker *ticker;
    c2_batch *batch;
    int32_t *counted; /* 1: in at_gil */
} self;

static int32_t lane_of(const c2_dynamic *d, int32_t op) {
    return d->lanes.of_op ? d->lanes.of_op[op] : 0;
}

static int kind_of(const c2_dynamic *d, int32_t op) {
    return d->net->python && c2_is_python(d->net, op) ? PYTHON : NATIVE;
}

void c2_dynamic_free(c2_dynamic *d) {
    if (!d) return;
    for (int32_t k = 0; d->lane && k < d->lanes.count; k++)
        for (int kind = 0; kind < KINDS; kind++)
            free(d->lane[k].heaps[kind].ops);
    free(d->lane);
    free((void *)d->pending);
    free(d);
}

c2_dynamic *c2_dynamic_new(c2_net *net, const c2_graph *graph, const c2_lanes *lanes) {
    c2_dynamic *d = aligned_alloc(64, (sizeof *d + 63) / 64 * 64);
    if (!d) return NULL;
    memset(d, 0, sizeof *d);
    d->net = net;
    d->graph = graph;
    d->lanes = *lanes;
    const size_t n_lanes = (size_t)lanes->count;
    d->pending = malloc(((size_t)graph->n + 1) * sizeof *d->pending);
    d->lane = aligned_alloc(64, n_lanes * sizeof *d->lane);
    int32_t (*count)[KINDS] = calloc(n_lanes, sizeof *count);
    int ok = d->pending && d->lane && count;
    if (d->lane) memset(d->lane, 0, n_lanes * sizeof *d->lane);
    for (int32_t v = 0; ok && v < graph->n; v++)
        count[lane_of(d, v)][kind_of(d, v)]++;
    for (size_t k = 0; ok && k < n_lanes * KINDS; k++) {
        heap *const h = &d->lane[k / KINDS].heaps[k % KINDS];
        const size_t most = (size_t)count[k / KINDS][k % KINDS];
        ok = (h->ops = malloc((most + 1) * sizeof *h->ops)) != NULL;
    }
    free(count);
    if (ok) return d;
    c2_dynamic_free(d);
    return NULL;
}

void c2_dynamic_rank(c2_dynamic *d, const int32_t *rank) {
    d->rank = rank;
}

static int sooner(const c2_dynamic *d, int32_t a, int32_t b) {
    return d->rank ? d->rank[a] < d->rank[b] : a < b;
}

/* ---- a lane's heaps ---- */

static void lock(lane *l) {
    while (swap_acq(&l->lock, 1))
        for (int spin = 0; load_rlx(&l->lock); spin++)
            if (spin < 200)
                c2_os_relax();
            else
                c2_os_yield();
}

static void show_sizes(lane *l) {
    for (int kind = 0; kind < KINDS; kind++)
        store_rlx(&l->ready[kind], l->heaps[kind].size);
    store_sc(&l->any, l->heaps[NATIVE].size + l->heaps[PYTHON].size);
}

static void unlock(lane *l) {
    show_sizes(l);
    store_rel(&l->lock, 0); /* meets lock's swap_acq */
}

static void push_locked(const c2_dynamic *d, lane *l, int32_t op) {
    heap *const h = &l->heaps[kind_of(d, op)];
    int32_t i = h->size++;
    for (; i > 0 && sooner(d, op, h->ops[(i - 1) / 2]); i = (i - 1) / 2)
        h->ops[i] = h->ops[(i - 1) / 2];
    h->ops[i] = op;
}

static int32_t pop_locked(const c2_dynamic *d, heap *h) {
    const int32_t op = h->ops[0];
    const int32_t moved = h->ops[--h->size];
    int32_t i = 0;
    for (int32_t child; (child = 2 * i + 1) < h->size; i = child) {
        if (child + 1 < h->size && sooner(d, h->ops[child + 1], h->ops[child])) child++;
        if (!sooner(d, h->ops[child], moved)) break;
        h->ops[i] = h->ops[child];
    }
    h->ops[i] = moved;
    return op;
}

static void push(const c2_dynamic *d, lane *l, int32_t op) {
    lock(l);
    push_locked(d, l, op);
    unlock(l);
}

/* The kind that suits a worker, where it is there: PYTHON who is at it, NATIVE while others are;
 * KINDS: either. */
static int suits(const c2_dynamic *d, self me) {
    if (me.batch->inside) return PYTHON;
    return load_rlx(&d->at_gil) > 0 ? NATIVE : KINDS;
}

/* Before a worker is at an operator of this kind, or KINDS: at none. */
static void count_me(c2_dynamic *d, self me, int kind) {
    const int32_t counts = kind == PYTHON;
    if (counts == *me.counted) return;
    add_rlx(&d->at_gil, counts ? 1 : -1);
    *me.counted = counts;
}

/* Who takes a Python operator counts before the lock is free, so that two workers do not take one
 * each while native ones are left. */
static int32_t pop(c2_dynamic *d, self me) {
    lane *const l = me.lane;
    if (load_rlx(&l->any) == 0) return -1;
    lock(l);
    const heap *const native = &l->heaps[NATIVE], *const python = &l->heaps[PYTHON];
    int kind = suits(d, me);
    if (!native->size || !python->size)
        kind = native->size ? NATIVE : PYTHON;
    else if (kind == KINDS)
        kind = sooner(d, native->ops[0], python->ops[0]) ? NATIVE : PYTHON;
    const int32_t op = l->heaps[kind].size ? pop_locked(d, &l->heaps[kind]) : -1;
    if (op >= 0) count_me(d, me, kind);
    unlock(l);
    return op;
}

static void ring_for(lane *l, int32_t work, int32_t asleep) {
    if (asleep == 0 || work == 0) return;
    add_rlx(&l->bell, 1);
    c2_os_wake(&l->bell, 4, work < asleep ? work : asleep);
}

static void ring(lane *l, int32_t work) {
    ring_for(l, work, load_sc(&l->sleepers));
}

/* All is done, or stopped: nobody need sleep on. */
static void ring_the_end(c2_dynamic *d) {
    for (int32_t k = 0; k < d->lanes.count; k++)
        ring_for(&d->lane[k], INT32_MAX, atomic_fetch_add(&d->lane[k].sleepers, 0));
}

/* ---- workers ---- */

static int is_over(c2_dynamic *d) {
    return !load_acq(&d->remaining) || c2_run_stopped(d->run);
}

/* Sleep until there may be something to do. */
static void sleep_until_rung(c2_dynamic *d, lane *l, const c2_ticker *ticker) {
    for (int spin = 0; spin < SPINS; spin++) {
        if (load_rlx(&l->any) || is_over(d)) return;
        c2_os_relax();
    }
    const uint32_t bell = load_acq(&l->bell);
    atomic_fetch_add(&l->sleepers, 1);
    if (!load_sc(&l->any) && load_sc(&d->remaining) && !c2_run_stopped(d->run))
        c2_os_wait(&l->bell, 4, bell, c2_os_now() + 50 * 1000000);
    atomic_fetch_sub(&l->sleepers, 1);
    if (ticker) c2_run_stopping(d->run);
}

/* After `op`: its successors that became ready. Returns the most urgent of this lane, or -1. */
static int32_t release_successors(c2_dynamic *d, lane *mine, int32_t op) {
    const c2_graph *g = d->graph;
    int32_t kept = -1, pushed = 0;
    for (int32_t k = g->succ_at[op]; k < g->succ_at[op + 1]; k++) {
        int32_t v = g->succs[k];
        if (sub_acq_rel(&d->pending[v], 1) != 1) continue;
        lane *theirs = &d->lane[lane_of(d, v)];
        if (theirs != mine) {
            push(d, theirs, v);
            ring(theirs, 1);
            continue;
        }
        if (kept < 0) {
            kept = v;
            continue;
        }
        if (sooner(d, v, kept)) {
            const int32_t other = kept;
            kept = v;
            v = other;
        }
        push(d, mine, v);
        pushed++;
    }
    ring(mine, pushed);
    return kept;
}

/* Before an operator of this kind, or KINDS: before a wait. */
static void turn_to(c2_dynamic *d, self me, int kind) {
    count_me(d, me, kind);
    if (kind != PYTHON) c2_batch_end(me.batch);
}

/* The operator that a worker would keep, unless one of the kind that suits it is there. */
static int32_t keep(c2_dynamic *d, self me, int32_t op) {
    if (op < 0 || !d->net->python) return op;
    const int kind = suits(d, me);
    if (kind == KINDS || kind == kind_of(d, op) || !load_rlx(&me.lane->ready[kind])) return op;
    push(d, me.lane, op);
    ring(me.lane, 1);
    return -1;
}

/* A more urgent operator may lie on the heap than the one that a worker keeps: the order is a
 * wish, but what the worker has just written is in its cache. */
static void work(c2_dynamic *d, self me) {
    int32_t next = -1, counted = 0;
    me.counted = &counted;
    while (!c2_run_stopped(d->run)) {
        if (next < 0) next = pop(d, me);
        if (next < 0) {
            turn_to(d, me, KINDS);
            if (is_over(d)) break;
            sleep_until_rung(d, me.lane, me.ticker);
            continue;
        }
        const int32_t op = next;
        turn_to(d, me, kind_of(d, op));
        if (c2_run_watched(d->watch, me.number, d->net, op, d->run, me.batch) != C2_OK) break;
        next = keep(d, me, release_successors(d, me.lane, op));
        if (sub_acq_rel(&d->remaining, 1) == 1) break;
        c2_tick(me.ticker, d->run);
    }
    turn_to(d, me, KINDS);
    ring_the_end(d);
}

static int names_any(const uint64_t *cpus) {
    for (int k = 0; k < C2_CPU_WORDS; k++)
        if (cpus[k]) return 1;
    return 0;
}

static void help(void *arg) {
    c2_dynamic *d = arg;
    const int32_t k = add_rlx(&d->next_helper, 1);
    const int32_t l = d->lanes.of_helper ? d->lanes.of_helper[k] : 0;
    c2_batch batch = {0};
    const self me = {.number = k + 1, .lane = &d->lane[l], .batch = &batch};
    const uint64_t *cpus = d->lanes.cpus ? d->lanes.cpus + (size_t)l * C2_CPU_WORDS : NULL;
    uint64_t before[C2_CPU_WORDS];
    if (!cpus || !names_any(cpus)) {
        work(d, me);
    } else if (c2_os_stay_on(cpus, before) == C2_OK) {
        work(d, me);
        c2_os_stay_on(before, NULL); /* the thread is the pool's */
    } else {
        c2_run_fail(d->run, C2_SYSTEM, NULL, -1, "the system refuses a device's processors");
        ring_the_end(d);
    }
}

void c2_dynamic_run(c2_dynamic *d, int32_t first, c2_run *run, c2_ticker *ticker, c2_watch *watch) {
    const c2_graph *g = d->graph;
    if (first >= g->n) return;
    d->run = run;
    d->watch = watch;
    for (int32_t k = 0; k < d->lanes.count; k++)
        for (int kind = 0; kind < KINDS; kind++)
            d->lane[k].heaps[kind].size = 0;
    for (int32_t v = first; v < g->n; v++) {
        int32_t missing = 0;
        for (int32_t k = g->pred_at[v]; k < g->pred_at[v + 1]; k++)
            missing += g->preds[k] >= first;
        store_rlx(&d->pending[v], missing);
        if (!missing) push_locked(d, &d->lane[lane_of(d, v)], v);
    }
    store_rlx(&d->remaining, g->n - first);
    for (int32_t k = 0; k < d->lanes.count; k++)
        show_sizes(&d->lane[k]);
    store_rlx(&d->next_helper, 0);
    store_rlx(&d->at_gil, 0);

    c2_batch batch = {0};
    const int caller_works = d->lanes.of_caller >= 0;
    const int32_t helpers = d->lanes.workers - caller_works;
    c2_team_begin(&d->team, helpers, help, d); /* hiring releases all of the above */
    if (d->team.count < helpers && d->lanes.count > 1)
        c2_run_fail(run, C2_SYSTEM, NULL, -1,
                    "the system gives no thread for each device's worker");
    lane *mine = &d->lane[caller_works ? d->lanes.of_caller : 0];
    if (caller_works)
        work(d, (self){.lane = mine, .ticker = ticker, .batch = &batch});
    else
        c2_team_wait(&d->team, run, ticker);
    c2_team_end(&d->team, run, ticker);
}
