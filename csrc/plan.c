/* Plans: steps that run nets or substeps, in order or at the same time, a number of times or
 * until a blob says stop.
 *
 * A step's tree is constant once built. One run of it is a walk: the calling thread is the first
 * worker and takes part in every concurrent group; helpers come from the pool. When the substeps
 * of a group may wait for each other, each gets a thread of its own; else they are taken one by
 * one by as many threads as there are processors, since a hundred threads on two processors
 * would only wait for each other's locks.
 *
 * | who            | c2_step_add_*, c2_step_set | c2_step_run                                  |
 * |----------------|----------------------------|----------------------------------------------|
 * | one thread     | before the first run       |                                              |
 * | any threads    |                            | yes, at the same time too; blocks until done |
 *
 * Failure: the first in time is recorded in the run and raises `stop`, which every worker looks
 * at after each operator. A group is always joined before its step returns.
 */
#include <stdlib.h>
#include <string.h>

#include "async.h"
#include "blob.h"
#include "net.h"
#include "platform.h"
#include "pool.h"
#include "reclaim.h"

typedef struct list {
    void **items;
    int64_t count;
} list;

struct c2_step {
    list nets, asyncs; /* asyncs: for each net its c2_async, or NULL: program order */
    list substeps, reporters, locals;
    int64_t num_iter;
    int64_t every_ms;
    c2_blob *should_stop;
    int32_t only_once, concurrent, waits;
};

static int append(list *l, void *item) {
    void **items = realloc(l->items, (size_t)(l->count + 1) * sizeof *items);
    if (!items) return C2_NO_MEMORY;
    l->items = items;
    l->items[l->count++] = item;
    return C2_OK;
}

c2_step *c2_step_new(void) {
    c2_step *s = calloc(1, sizeof *s);
    if (s) s->num_iter = 1;
    return s;
}

void c2_step_free(c2_step *s) {
    if (!s) return;
    free(s->nets.items);
    free(s->asyncs.items);
    free(s->substeps.items);
    free(s->reporters.items);
    free(s->locals.items);
    free(s);
}

int c2_step_add_net(c2_step *s, c2_net *net, c2_async *async) {
    int status = append(&s->asyncs, async);
    if (!status && (status = append(&s->nets, net))) s->asyncs.count--; /* side by side */
    return status;
}

int c2_step_add_local(c2_step *s, c2_blob *blob) {
    return append(&s->locals, blob);
}
int c2_step_add_substep(c2_step *s, c2_step *substep) {
    return append(substep->every_ms > 0 ? &s->reporters : &s->substeps, substep);
}

int c2_step_set(c2_step *s, int64_t num_iter, c2_blob *should_stop, int only_once, int concurrent,
                int waits, int64_t every_ms) {
    s->num_iter = num_iter;
    s->should_stop = should_stop;
    s->only_once = only_once;
    s->concurrent = concurrent;
    s->waits = waits;
    s->every_ms = every_ms;
    return C2_OK;
}

/* ---- running ---- */

static void run_step(c2_step *step, c2_run *run, c2_ticker *ticker);

/* 1 when the step's stop blob holds a true bool. Anything but one bool is an error. */
static int told_to_stop(const c2_step *step, c2_run *run) {
    if (!step->should_stop) return 0;
    const c2_tensor *t = c2_blob_tensor(step->should_stop);
    if (t && t->dtype == C2_BOOL && t->size == 1)
        return load_acq((const _Atomic uint8_t *)t->data) != 0;
    c2_run_fail(run, C2_TYPE, NULL, -1, "should_stop_blob must hold one bool");
    return 1;
}

/* A group of substeps that run at the same time; lives on the stack of the step that runs it.
 *
 * | word      | meaning                                       | changed by                      |
 * |-----------|-----------------------------------------------|---------------------------------|
 * | next      | the next substep that nobody has taken        | every worker: fetch_add         |
 * | helpers,  | threads of that sort that may still touch the | hire: + 1; the last thing such  |
 * | reporters | group; the caller sleeps on it                | a thread does, or revoke: - 1   |
 * | over      | 0 -> 1: the substeps are done                 | the caller                      |
 *
 * A thread's last fetch_sub releases all that it did; the caller's acquire load of 0 meets it.
 * The thread wakes the caller after that, by address only: the group may be gone by then, and a
 * wake at such an address is harmless (a spurious one for somebody at most).
 */
typedef struct group {
    c2_step *step;
    c2_run *run;
    _Atomic int64_t next;
    _Atomic uint32_t helpers, reporters, over;
} group;

static void take_substeps(group *g, c2_ticker *ticker) {
    while (!c2_run_stopped(g->run)) {
        const int64_t k = add_rlx(&g->next, 1);
        if (k >= g->step->substeps.count) return;
        run_step(g->step->substeps.items[k], g->run, ticker);
        if (told_to_stop(g->step, g->run)) return;
    }
}

static void leave_group(_Atomic uint32_t *count) {
    if (sub_acq_rel(count, 1) == 1) c2_os_wake((void *)count, 4, 1);
}

static void help(void *arg) {
    group *g = arg;
    c2_guard_enter();
    take_substeps(g, NULL);
    c2_guard_leave();
    leave_group(&g->helpers);
}

typedef struct reporter {
    group *group;
    c2_step *step;
} reporter;

static int is_over(const group *g) {
    return load_acq(&g->over) || c2_run_stopped(g->run);
}

/* Runs its step every so often until the group is over. */
static void report(void *arg) {
    const reporter *r = arg;
    group *g = r->group;
    int64_t due = c2_os_now();
    while (!is_over(g)) {
        due += r->step->every_ms * 1000000;
        while (!is_over(g) && c2_os_now() < due)
            c2_os_wait(&g->over, 4, 0, due);
        if (is_over(g)) break;
        c2_guard_enter();
        run_step(r->step, g->run, NULL);
        c2_guard_leave();
    }
    leave_group(&g->reporters);
}

/* Sleep until the count is 0; poll for signals meanwhile where this thread may. The guard is
 * closed during the sleep: what waits to be freed need not wait for us. */
static void join(_Atomic uint32_t *count, c2_run *run, const c2_ticker *ticker) {
    uint32_t left;
    if (!load_acq(count)) return;
    c2_guard_leave();
    while ((left = load_acq(count)) != 0) {
        c2_os_wait(count, 4, left, ticker ? c2_os_now() + 50 * 1000000 : C2_FOREVER);
        if (ticker) c2_run_stopping(run);
    }
    c2_guard_enter();
}

typedef struct hired {
    c2_worker *worker;
    uint32_t ticket;
} hired;

/* 1 when a thread will run body(arg) and then leave `count`. */
static int hire(_Atomic uint32_t *count, void (*body)(void *), void *arg, hired *h) {
    add_rlx(count, 1);
    h->worker = c2_pool_start(body, arg, &h->ticket);
    if (!h->worker) add_rlx(count, -1);
    return h->worker != NULL;
}

static void run_substeps_together(c2_step *step, c2_run *run, c2_ticker *ticker) {
    group g = {.step = step, .run = run};
    const int64_t n = step->substeps.count, n_reporters = step->reporters.count;
    const int64_t cpus = c2_os_cpus();
    const int64_t workers = !step->concurrent ? 1 : step->waits || n < cpus ? n : cpus;
    hired *helpers = calloc((size_t)(n + 1), sizeof *helpers);
    reporter *reporters = calloc((size_t)(n_reporters + 1), sizeof *reporters);
    int64_t started = 0;
    if (!helpers || !reporters) c2_run_fail(run, C2_NO_MEMORY, NULL, -1, "no memory for a step");

    for (int64_t k = 0; k < n_reporters && !c2_run_stopped(run); k++) {
        hired h; /* not to be revoked: told by `over` */
        reporters[k] = (reporter){&g, step->reporters.items[k]};
        if (!hire(&g.reporters, report, &reporters[k], &h))
            c2_run_fail(run, C2_SYSTEM, NULL, -1, "the system gives no thread for a reporter");
    }
    while (started < workers - 1 && !c2_run_stopped(run)) {
        if (hire(&g.helpers, help, &g, &helpers[started]))
            started++;
        else if (!step->waits)
            break; /* fewer hands do the same work */
        else
            c2_run_fail(run, C2_SYSTEM, NULL, -1,
                        "the system gives no thread for each of the concurrent substeps");
    }

    take_substeps(&g, ticker);

    for (int64_t k = 0; k < started; k++) /* all is taken: who still sleeps need not come */
        if (c2_pool_revoke(helpers[k].worker, helpers[k].ticket)) sub_acq_rel(&g.helpers, 1);
    join(&g.helpers, run, ticker);
    store_rel(&g.over, 1); /* meets is_over's load_acq */
    if (n_reporters) c2_os_wake(&g.over, 4, (int)n_reporters);
    join(&g.reporters, run, ticker);
    free(helpers);
    free(reporters);
}

/* A guard that stays open for a whole loop would keep every retired body: once a while, and
 * whenever something waits, close and open it. Nothing is held across iterations. */
static void breathe(void) {
    if (c2_retired_pending()) {
        c2_guard_leave();
        c2_guard_enter();
    }
}

/* A c2_async does one run at a time: when a sibling step is in this one, program order gives the
 * same result. */
static int run_net(const c2_step *step, int64_t k, c2_run *run, c2_ticker *ticker) {
    c2_async *async = step->asyncs.items[k];
    const int status = async ? c2_async_execute(async, run, ticker) : C2_BUSY;
    return status == C2_BUSY ? c2_net_execute(step->nets.items[k], run, ticker) : status;
}

static void run_step(c2_step *step, c2_run *run, c2_ticker *ticker) {
    const int together = step->concurrent || step->reporters.count;
    for (int64_t k = 0; k < step->locals.count; k++)
        c2_blob_clear(step->locals.items[k]);
    const int64_t iterations = step->only_once ? 1 : step->num_iter;
    for (int64_t i = 0; iterations < 0 || i < iterations; i++) {
        if (c2_run_stopped(run)) return;
        if (together) {
            run_substeps_together(step, run, ticker);
            if (told_to_stop(step, run)) return;
        } else {
            for (int64_t k = 0; k < step->substeps.count; k++) {
                run_step(step->substeps.items[k], run, ticker);
                if (c2_run_stopped(run) || told_to_stop(step, run)) return;
            }
        }
        for (int64_t k = 0; k < step->nets.count; k++) {
            if (run_net(step, k, run, ticker) != C2_OK) return;
            if (step->should_stop && told_to_stop(step, run)) return;
        }
        breathe();
        /* An empty body must still be able to stop. */
        if (!step->nets.count && !step->substeps.count) c2_tick(ticker, run);
    }
}

int c2_step_run(c2_step *step, c2_run *run) {
    c2_ticker ticker = {0};
    run->caller = c2_os_self();
    c2_guard_enter();
    run_step(step, run, run->poll ? &ticker : NULL);
    c2_guard_leave();
    return run->status;
}
