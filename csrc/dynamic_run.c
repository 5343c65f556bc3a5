/* Whoever is free takes what is ready: for operators of microseconds and more, or of uneven cost.
 *
 * An operator whose last predecessor has run is ready. The one who made it ready keeps the most
 * urgent of its new ones for itself and puts the others on a heap, ordered by rank (the critical
 * path first), under a spin lock: at microseconds an operator that lock is hardly contended, and
 * a heap keeps the order that lock-free deques cannot.
 *
 * | word       | meaning                                     | changed by                         |
 * |------------|---------------------------------------------|------------------------------------|
 * | pending[v] | predecessors of v that have not run         | each of them: fetch_sub (acq_rel)  |
 * | remaining  | operators that have not run                 | after each: fetch_sub (acq_rel)    |
 * | lock       | 0 free, 1 held: heap and size               | swap (acquire), 0 (release)        |
 * | ready      | the heap's size, to look at without a lock  | under the lock, seq_cst            |
 * | sleepers   | workers that sleep, or are about to         | themselves, seq_cst                |
 * | bell       | counts rings; sleepers wait on it           | who has work for them: fetch_add   |
 *
 * pending's fetch_sub releases an operator's writes; the one that brings it to 0 acquires those
 * of all predecessors, and hands them on through the lock where another worker takes the operator.
 * remaining likewise: who sees 0 (acquire) sees all.
 *
 * No lost wake-up: a sleeper adds itself to `sleepers`, then reads `ready`; a pusher changes
 * `ready`, then reads `sleepers`; all four are seq_cst, so one of them sees the other (Dekker).
 * The bell was read before `ready`, so a ring after that keeps the sleeper from sleeping.
 */
#include <stdlib.h>
#include <string.h>

#include "async.h"
#include "platform.h"
#include "team.h"

enum { SPINS = 1000 }; /* 10-40 us of looking before a sleep that costs as much */

struct c2_dynamic {
    c2_net *net;
    const c2_graph *graph;
    const int32_t *rank;
    int32_t workers;
    _Atomic int32_t *pending;
    int32_t *heap;
    c2_run *run;
    _Alignas(64) _Atomic int32_t lock;
    int32_t size;
    _Atomic int32_t ready;
    _Alignas(64) _Atomic int32_t remaining;
    _Alignas(64) _Atomic int32_t sleepers;
    _Atomic uint32_t bell;
    c2_team team;
};

c2_dynamic *c2_dynamic_new(c2_net *net, const c2_graph *graph, int32_t workers) {
    c2_dynamic *d = aligned_alloc(64, (sizeof *d + 63) / 64 * 64);
    if (!d) return NULL;
    memset(d, 0, sizeof *d);
    d->net = net;
    d->graph = graph;
    d->workers = workers;
    d->pending = malloc(((size_t)graph->n + 1) * sizeof *d->pending);
    d->heap = malloc(((size_t)graph->n + 1) * sizeof *d->heap);
    if (d->pending && d->heap) return d;
    c2_dynamic_free(d);
    return NULL;
}

void c2_dynamic_free(c2_dynamic *d) {
    if (!d) return;
    free((void *)d->pending);
    free(d->heap);
    free(d);
}

void c2_dynamic_rank(c2_dynamic *d, const int32_t *rank) { d->rank = rank; }

static int sooner(const c2_dynamic *d, int32_t a, int32_t b) {
    return d->rank ? d->rank[a] < d->rank[b] : a < b;
}

/* ---- the heap ---- */

static void lock(c2_dynamic *d) {
    while (swap_acq(&d->lock, 1))
        for (int spin = 0; load_rlx(&d->lock); spin++)
            if (spin < 200) c2_os_relax();
            else c2_os_yield();
}

static void unlock(c2_dynamic *d) {
    store_sc(&d->ready, d->size);
    store_rel(&d->lock, 0); /* meets lock's swap_acq */
}

static void push_locked(c2_dynamic *d, int32_t op) {
    int32_t i = d->size++;
    for (; i > 0 && sooner(d, op, d->heap[(i - 1) / 2]); i = (i - 1) / 2)
        d->heap[i] = d->heap[(i - 1) / 2];
    d->heap[i] = op;
}

static int32_t pop(c2_dynamic *d) {
    if (load_rlx(&d->ready) == 0) return -1;
    int32_t op = -1;
    lock(d);
    if (d->size > 0) {
        op = d->heap[0];
        const int32_t moved = d->heap[--d->size];
        int32_t i = 0;
        for (int32_t child; (child = 2 * i + 1) < d->size; i = child) {
            if (child + 1 < d->size && sooner(d, d->heap[child + 1], d->heap[child])) child++;
            if (!sooner(d, d->heap[child], moved)) break;
            d->heap[i] = d->heap[child];
        }
        d->heap[i] = moved;
    }
    unlock(d);
    return op;
}

static void ring(c2_dynamic *d, int32_t work) {
    const int32_t asleep = load_sc(&d->sleepers);
    if (asleep == 0 || work == 0) return;
    add_rlx(&d->bell, 1);
    c2_os_wake(&d->bell, 4, work < asleep ? work : asleep);
}

/* ---- workers ---- */

/* Sleep until there may be something to do. */
static void sleep_until_rung(c2_dynamic *d, c2_ticker *ticker) {
    for (int spin = 0; spin < SPINS; spin++) {
        if (load_rlx(&d->ready) || !load_acq(&d->remaining) || c2_run_stopped(d->run)) return;
        c2_os_relax();
    }
    const uint32_t bell = load_acq(&d->bell);
    atomic_fetch_add(&d->sleepers, 1);
    if (!load_sc(&d->ready) && load_sc(&d->remaining) && !c2_run_stopped(d->run))
        c2_os_wait(&d->bell, 4, bell, c2_os_now() + 50 * 1000000);
    atomic_fetch_sub(&d->sleepers, 1);
    if (ticker) c2_run_stopping(d->run);
}

/* After `op`: its successors that became ready. Returns the most urgent, or -1. */
static int32_t release_successors(c2_dynamic *d, int32_t op) {
    const c2_graph *g = d->graph;
    int32_t mine = -1, pushed = 0;
    for (int32_t k = g->succ_at[op]; k < g->succ_at[op + 1]; k++) {
        int32_t v = g->succs[k];
        if (sub_acq_rel(&d->pending[v], 1) != 1) continue;
        if (mine < 0) {
            mine = v;
            continue;
        }
        if (sooner(d, v, mine)) {
            const int32_t other = mine;
            mine = v;
            v = other;
        }
        if (!pushed++) lock(d);
        push_locked(d, v);
    }
    if (pushed) {
        unlock(d);
        ring(d, pushed);
    }
    return mine;
}

static void work(c2_dynamic *d, c2_ticker *ticker) {
    int32_t next = -1;
    while (!c2_run_stopped(d->run)) {
        if (next < 0) next = pop(d);
        if (next < 0) {
            if (!load_acq(&d->remaining)) break;
            sleep_until_rung(d, ticker);
            continue;
        }
        const int32_t op = next;
        if (c2_run_op(d->net, op, d->run) != C2_OK) break;
        next = release_successors(d, op);
        if (sub_acq_rel(&d->remaining, 1) == 1) break;
        c2_tick(ticker, d->run);
        /* Somebody pushed a more urgent one than what we kept? The heap's order is a wish, the
         * data that this worker just wrote is in its cache: keep ours. */
    }
    ring(d, d->workers); /* all is done, or stopped: nobody need sleep on */
}

static void help(void *arg) { work(arg, NULL); }

void c2_dynamic_run(c2_dynamic *d, int32_t first, c2_run *run, c2_ticker *ticker) {
    const c2_graph *g = d->graph;
    d->run = run;
    d->size = 0;
    for (int32_t v = first; v < g->n; v++) {
        int32_t missing = 0;
        for (int32_t k = g->pred_at[v]; k < g->pred_at[v + 1]; k++) missing += g->preds[k] >= first;
        store_rlx(&d->pending[v], missing);
        if (!missing) push_locked(d, v);
    }
    store_rlx(&d->remaining, g->n - first);
    store_rlx(&d->ready, d->size);
    if (first >= g->n) return;
    c2_team_begin(&d->team, d->workers - 1, help, d); /* hiring releases all of the above */
    work(d, ticker);
    c2_team_end(&d->team, run, ticker);
}
