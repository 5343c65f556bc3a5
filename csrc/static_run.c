/* Running a compiled schedule (schedule.h).
 *
 * A worker runs its program, tells its progress with one release-store after an item that
 * somebody elsewhere needs, and waits only where a predecessor ran elsewhere. The caller is
 * worker 0. A helper may come late, or never: whoever needs a program's progress while nobody
 * executes it, executes it up to there itself, and leaves it where the helper can go on.
 *
 * Words of each program, on a cache line of their own:
 *
 * | word  | meaning                                  | changed by                               |
 * |-------|------------------------------------------|------------------------------------------|
 * | done  | items done and told; grows within a run  | who holds the lease: store, release      |
 * | lease | 0: nobody executes this program; 1: one  | CAS 0 -> 1 (acquire); the holder: 0      |
 * |       | thread does                              | (release), or keeps it to the end        |
 * | at    | the next item (plain)                    | who holds the lease                      |
 *
 * Pairs: `done` is released after the item's writes and acquired before the item that waits for
 * it. `lease` hands `at`, and all writes of the items so far, from one holder to the next.
 *
 * No deadlock: the programs are cut out of one order with predecessors first. Take the earliest
 * item that has not run. Its predecessors have, so its waits hold. If its program's lease is
 * free, a thread that needs it takes it; if not, the holder is at this very item, or is just
 * executing another program up to something that this holder's own next item needs, all of it
 * earlier in the order than that item: a contradiction to "earliest" unless it is about to run.
 * It may have to wait for the GIL; whoever has that gives it up before it waits (batch.h).
 */
#include <stdlib.h>

#include "static_run.h"
#include "platform.h"
#include "team.h"

enum { SPINS = 2000 };
static const int64_t DOZE_AFTER_NS = 2 * 1000 * 1000, DOZE_MOST_NS = 1000 * 1000;

typedef struct program {
    _Alignas(64) _Atomic uint32_t done;
    _Atomic uint32_t lease;
    uint32_t at;
} program;

struct c2_static {
    c2_net *net;
    const c2_schedule *schedule;
    c2_run *run;
    c2_watch *watch;
    program *programs;
    _Atomic int32_t next_helper; /* gives each helper its number and the program to look at first */
    c2_team team;
};

void c2_static_free(c2_static *s) {
    if (!s) return;
    free(s->programs);
    free(s);
}

c2_static *c2_static_new(c2_net *net, const c2_schedule *schedule) {
    c2_static *s = aligned_alloc(64, (sizeof *s + 63) / 64 * 64);
    if (!s) return NULL;
    *s = (c2_static){.net = net, .schedule = schedule};
    s->programs = aligned_alloc(64, (size_t)schedule->workers * sizeof *s->programs);
    if (s->programs) return s;
    free(s);
    return NULL;
}

static uint32_t length(const c2_static *s, int32_t w) {
    return (uint32_t)(s->schedule->start[w + 1] - s->schedule->start[w]);
}

static int take(program *p) {
    uint32_t nobody = 0;
    return load_rlx(&p->lease) == 0 && cas_acq(&p->lease, &nobody, 1);
}

/* The thread that calls: its number among the workers (for who watches), the ticker where it is
 * the calling one, and its Python operators. */
typedef struct self {
    int32_t number;
    c2_ticker *ticker;
    c2_batch *batch;
} self;

static void execute(c2_static *s, int32_t w, uint32_t upto, self me);

/* Whoever has the lease is at a long operator: leave the processor to others, and after a while
 * look only now and then. Nobody rings, as that would cost each item that is told a fence. */
static void look_later(program *p, uint32_t done, int64_t *since) {
    const int64_t now = c2_os_now();
    if (*since == 0) *since = now;
    const int64_t waited = now - *since, pause = waited / 16;
    if (waited < DOZE_AFTER_NS)
        c2_os_yield();
    else
        c2_os_wait(&p->done, 4, done, now + (pause < DOZE_MOST_NS ? pause : DOZE_MOST_NS));
}

static void wait_for_slow(c2_static *s, int32_t w, uint32_t count, self me) {
    program *p = &s->programs[w];
    int64_t since = 0;
    uint32_t done;
    for (int spin = 0; (done = load_acq(&p->done)) < count; spin++) {
        c2_batch_end(me.batch);
        if (c2_run_stopped(s->run)) return;
        if (take(p)) {
            execute(s, w, count, me);
            store_rel(&p->lease, 0); /* meets take's cas_acq */
            continue;
        }
        /* Its holder is on it. Fine-grained work comes within a microsecond or so; a holder that
         * lost its processor needs ours. */
        if (spin < SPINS)
            c2_os_relax();
        else {
            look_later(p, done, &since);
            if (me.ticker) c2_run_stopping(s->run);
        }
    }
}

/* The lease is ours: run the program's items up to, not with, `upto`. */
static void execute(c2_static *s, int32_t w, uint32_t upto, self me) {
    program *p = &s->programs[w];
    const c2_item *items = s->schedule->items + s->schedule->start[w];
    c2_run *const run = s->run;
    uint32_t i = p->at;
    for (; i < upto; i++) {
        const c2_item item = items[i];
        for (uint32_t k = item.waits, end = items[i + 1].waits; k < end; k++) {
            const c2_wait_for wait = s->schedule->waits[k];
            if (load_acq(&s->programs[wait.worker].done) < (uint32_t)wait.count)
                wait_for_slow(s, wait.worker, (uint32_t)wait.count, me);
        }
        if (c2_run_stopped(run)) break;
        if (c2_run_watched(s->watch, me.number, s->net, item.op, run, me.batch) != C2_OK) break;
        if (item.publish) store_rel(&p->done, i + 1);
        c2_tick(me.ticker, run);
    }
    p->at = i;
    if (i == length(s, w)) store_rel(&p->done, i);
}

/* Whatever program nobody executes, to its end; w first. */
static void execute_all(c2_static *s, int32_t w, self me) {
    for (int32_t k = 0; k < s->schedule->workers; k++) {
        const int32_t v = (w + k) % s->schedule->workers;
        program *p = &s->programs[v];
        if (load_acq(&p->done) < length(s, v) && take(p)) {
            execute(s, v, length(s, v), me);
            store_rel(&p->lease, 0);
        }
    }
}

/* A helper that comes late finds its program in the hands of who waited for it, who gives it back
 * within an item or two: it stays until then, or the caller would do all the rest alone. */
static void help(void *arg) {
    c2_static *s = arg;
    const int32_t number = 1 + add_rlx(&s->next_helper, 1);
    const int32_t w = number % s->schedule->workers;
    c2_batch batch = {0};
    const self me = {number, NULL, &batch};
    wait_for_slow(s, w, length(s, w), me);
    execute_all(s, w, me);
    c2_batch_end(&batch);
}

void c2_static_run(c2_static *s, c2_run *run, c2_ticker *ticker, c2_watch *watch) {
    c2_batch batch = {0};
    const self me = {0, ticker, &batch};
    const int32_t workers = s->schedule->workers;
    s->run = run;
    s->watch = watch;
    for (int32_t w = 0; w < workers; w++) {
        s->programs[w].at = 0;
        store_rlx(&s->programs[w].done, 0);
        store_rlx(&s->programs[w].lease, 0);
    }
    store_rlx(&s->next_helper, 0);
    c2_team_begin(&s->team, workers - 1, help, s); /* hiring releases the words above */
    execute_all(s, 0, me);
    for (int32_t w = 0; w < workers; w++)
        wait_for_slow(s, w, length(s, w), me);
    c2_batch_end(&batch);
    c2_team_end(&s->team, run, ticker);
}
