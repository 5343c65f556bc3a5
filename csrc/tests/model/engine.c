/* Threads as fibers, and who goes on.
 *
 * Before each step that others can see (an atomic operation, a call of the seam) a thread stops
 * at model_point, and one of those that can go on is chosen. What it does up to its next stop is
 * its own affair: heap.c checks that plain memory is. A path is the list of the choices; an
 * execution follows the path as far as it goes and then takes the first branch everywhere. The
 * search is depth first: the last choice that has a branch left takes the next one.
 *
 * A state is left at once if it was met before with at least as many preemptions left. Its name
 * is a hash of what each thread has done and read (each store's hash is its thread's at that
 * time) and of every modification order, so that executions which differ only in the order of
 * independent steps meet (Musuvathi and Qadeer, "Partial-order reduction for context-bounded
 * state exploration", 2007). Preemptions are bounded where a test says so (the same, "Iterative
 * context bounding", PLDI 2007).
 *
 * Spin loops (c2_os_relax, c2_os_yield): a thread there goes on when one of the objects that it
 * read in this round has another value now. Or it "runs out": it keeps looping with nobody else
 * going on, until it does something else than load. When nobody at all can go on, that happens
 * to the spinners; if still nothing changes, it is a livelock. When all sleep, it is a lost wake.
 */
#include "engine.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

model *M;

/* All thread-locals of the sources (-D_Thread_local) lie in this section: each fiber's copy is
 * put there when it goes on. */
static char tls_anchor __attribute__((section("model_tls"), used));
extern char __start_model_tls[], __stop_model_tls[];
static char *tls; /* THREADS copies, and the first values */
static size_t tls_size;

/* ---- fibers ---- */

static int booting;

static void thread_end(enum state state) {
    self()->state = state;
    model_schedule();
}

static void fiber_main(void) {
    const int t = booting;
    if (_setjmp(M->fiber[t].top) == 0) _longjmp(M->boot, 1);
    fiber *f = &M->fiber[M->current]; /* here again in each execution */
    model_note(0, 0, 0);              /* it has begun: every choice must lead to another state */
    f->body(f->arg);
    thread_end(FINISHED);
}

void model_boot(void) {
    tls_size = (size_t)(__stop_model_tls - __start_model_tls);
    tls = malloc((THREADS + 1) * tls_size);
    memcpy(tls + THREADS * tls_size, __start_model_tls, tls_size);
    char *stacks = mmap((void *)0x210000000000, (size_t)THREADS * STACK, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (booting = 0; booting < THREADS; booting++) {
        ucontext_t *c = &M->fiber[booting].context;
        getcontext(c);
        c->uc_stack.ss_sp = stacks + (size_t)booting * STACK;
        c->uc_stack.ss_size = STACK;
        makecontext(c, fiber_main, 0);
        if (_setjmp(M->boot) == 0) setcontext(c);
    }
}

static void go_on(int t) {
    fiber *const me = self();
    if (t == M->current && me->started) return;
    memcpy(tls + (size_t)M->current * tls_size, __start_model_tls, tls_size);
    memcpy(__start_model_tls, tls + (size_t)t * tls_size, tls_size);
    if (_setjmp(me->here)) return;
    M->current = t;
    fiber *const f = self();
    if (f->started) _longjmp(f->here, 1);
    f->started = 1;
    _longjmp(f->top, 1);
}

int model_start(void (*body)(void *), void *arg, int daemon) {
    if (M->threads == THREADS) model_fail(TOO_BIG, "more than %d threads", THREADS);
    const int t = M->threads++;
    fiber *f = &M->fiber[t];
    f->state = RUNNABLE;
    f->body = body;
    f->arg = arg;
    f->daemon = daemon;
    f->view = self()->view;
    self()->view.clock[M->current]++;
    f->view.clock[t] = 1;
    f->clock = self()->clock;
    f->hash = mix(self()->hash, (uint64_t)t);
    return t;
}

/* ---- choices ---- */

void model_leave(enum verdict verdict) {
    M->verdict = verdict;
    _longjmp(M->driver, 1);
}

void model_fail(enum verdict verdict, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(M->message, sizeof M->message, format, args);
    va_end(args);
    model_leave(verdict);
}

int model_choose(int n) {
    if (n < 2) return 0;
    if (M->at == M->depth) {
        if (M->depth == CHOICES) model_fail(TOO_BIG, "more than %d branches", CHOICES);
        M->of[M->depth] = (uint16_t)n;
        M->taken[M->depth++] = 0;
    }
    return M->taken[M->at++];
}

int model_next_path(void) {
    while (M->depth && M->taken[M->depth - 1] + 1 == M->of[M->depth - 1])
        M->depth--;
    if (!M->depth) return 0;
    M->taken[M->depth - 1]++;
    return 1;
}

void model_note(uint64_t what, uint64_t a, uint64_t b) {
    fiber *f = self();
    f->hash = mix(mix(f->hash, what), mix(a, b));
}

static uint64_t state_hash(int current) {
    uint64_t h = mix(M->memory_hash, (uint64_t)current);
    for (int t = 0; t < M->threads; t++) {
        const fiber *f = &M->fiber[t];
        h += mix(mix((uint64_t)t, f->hash),
                 (uint64_t)f->state << 8 | (uint64_t)f->fast << 4 | (uint64_t)f->woken_with);
    }
    const model_bounds *b = &M->left;
    h = mix(h, (uint64_t)(b->stale & 0xff) | (uint64_t)b->spins << 8 | (uint64_t)b->timeouts << 16 |
                   (uint64_t)b->spurious << 24 | (uint64_t)b->interrupts << 32);
    return mix(h, (uint64_t)b->deaths << 8 | (uint64_t)b->refusals);
}

/* ---- the schedule ---- */

enum { GO, OUT, TIMEOUT, SPURIOUS, INTERRUPT, KILL };
enum { C2_OK, C2_TIMEOUT, C2_INTERRUPTED }; /* as in c2_abi.h; platform_model.c checks */

typedef struct option {
    int kind, thread;
} option;

static int ended(const fiber *f) {
    return f->state == FINISHED || f->state == DEAD;
}

static int can_go_on(const fiber *f) {
    return f->state == RUNNABLE || (f->state == SPINNING && model_changed(f));
}

static int dies(int t) {
    return t > 0 && t <= 4 && M->test->mortal >> (t - 1) & 1 && M->left.deaths > 0 &&
           !ended(&M->fiber[t]);
}

/* Everything that may happen next: threads that can go on first, the current one before all. */
static int options(option *o) {
    const model_bounds *left = &M->left;
    const fiber *me = self();
    const int forced = me->state != RUNNABLE, free = forced || !M->bounded || left->preemptions > 0;
    int n = 0;
    if (can_go_on(me)) o[n++] = (option){GO, M->current};
    for (int t = 0; free && t < M->threads; t++)
        if (t != M->current && can_go_on(&M->fiber[t])) o[n++] = (option){GO, t};
    for (int t = 0; free && t < M->threads; t++) {
        const fiber *f = &M->fiber[t];
        if (f->state == SPINNING && left->spins && !model_changed(f)) o[n++] = (option){OUT, t};
        if (f->state != SLEEPING) continue;
        if (left->timeouts && f->deadline != INT64_MAX) o[n++] = (option){TIMEOUT, t};
        if (left->spurious) o[n++] = (option){SPURIOUS, t};
        if (left->interrupts) o[n++] = (option){INTERRUPT, t};
    }
    for (int t = 1; t < M->threads; t++)
        if (dies(t)) o[n++] = (option){KILL, t};
    return n;
}

/* Nobody can go on by itself. */
static int last_options(option *o) {
    int n = 0, living = 0;
    for (int t = 0; t < M->threads; t++)
        if (M->fiber[t].state == SPINNING) o[n++] = (option){OUT, t};
    if (n && M->idle_rounds++ > 50)
        model_fail(LIVELOCK, "%d thread(s) spin, and nobody else can go on", n);
    if (n) return n;
    for (int t = 1; t < M->threads; t++)
        living += !M->fiber[t].daemon && !ended(&M->fiber[t]);
    if (!living) {
        o[0] = (option){GO, 0};
        return 1;
    }
    for (int t = 0; t < M->threads; t++) {
        const fiber *f = &M->fiber[t];
        if (f->state == SLEEPING && f->deadline != INT64_MAX &&
            f->deadline - f->clock <= M->test->patience)
            o[n++] = (option){TIMEOUT, t};
    }
    if (n) return n;
    char who[64] = "";
    for (int t = 1; t < M->threads; t++)
        if (!M->fiber[t].daemon && !ended(&M->fiber[t]))
            snprintf(who + strlen(who), sizeof who - strlen(who), " %d", t);
    model_fail(LOST_WAKE, "all sleep, and nobody will wake thread(s)%s", who);
}

static void wake_up(int t, int status, int *budget) {
    fiber *f = &M->fiber[t];
    f->state = RUNNABLE;
    f->woken_with = status;
    if (*budget > 0) --*budget;
}

void model_schedule(void) {
    for (;;) {
        option o[8 * THREADS];
        const int forced = self()->state != RUNNABLE;
        int n = options(o);
        if (n == 0) n = last_options(o);
        if (n > 1 && M->at == M->depth &&
            model_visited(state_hash(M->bounded && !forced ? M->current : -1), M->left.preemptions))
            model_leave(PRUNED);
        const option chosen = o[model_choose(n)];
        const int t = chosen.thread;
        fiber *f = &M->fiber[t];
        switch (chosen.kind) {
        case OUT:
            f->fast = 1;
            M->fast_steps = 0;
            if (M->left.spins > 0) M->left.spins--;
            break;
        case TIMEOUT:
            wake_up(t, C2_TIMEOUT, &M->left.timeouts);
            model_event("  its sleep times out", f->bed, (uint64_t)t, 0, -1, NULL);
            break;
        case SPURIOUS:
            wake_up(t, C2_OK, &M->left.spurious);
            model_event("  it wakes for no reason", f->bed, (uint64_t)t, 0, -1, NULL);
            break;
        case INTERRUPT:
            wake_up(t, C2_INTERRUPTED, &M->left.interrupts);
            model_event("  a signal ends its sleep", f->bed, (uint64_t)t, 0, -1, NULL);
            break;
        case KILL:
            f->state = DEAD;
            M->left.deaths--;
            M->changes++;
            model_event("  it dies", 0, (uint64_t)t, 0, -1, NULL);
            continue;
        }
        if (!forced && t != M->current && M->bounded) M->left.preemptions--;
        if (f->state == SPINNING) f->reads = 0; /* a new round */
        f->state = RUNNABLE;
        go_on(t);
        return;
    }
}

void model_point(void) {
    fiber *f = self();
    if (M->alone) return;
    if (f->fast) {
        if (++M->fast_steps > 100000)
            model_fail(LIVELOCK, "thread %d loops, and nobody else can change that", M->current);
        return;
    }
    if (++M->steps > STEPS) model_fail(LIVELOCK, "an execution of more than %d steps", STEPS);
    model_schedule();
}

void model_event(const char *what, uintptr_t address, uint64_t value, uint64_t old, int order,
                 void *pc) {
    if (self()->fast && M->fast_steps > 6) return; /* a spin loop's rounds are all alike */
    if (!M->tracing || M->traced == (int)(sizeof M->trace / sizeof M->trace[0])) return;
    const int thread = order < 0 ? (int)value : M->current;
    M->trace[M->traced++] =
        (event){thread, order, what, address, (uintptr_t)pc, order < 0 ? 0 : value, old};
}

/* ---- an execution ---- */

static void run_test_thread(void *arg) {
    M->test->threads[(int)(intptr_t)arg]();
}

static void run_main(void *arg) {
    (void)arg;
    const model_test *test = M->test;
    if (test->setup) test->setup();
    for (int k = 0; k < 4 && test->threads[k]; k++)
        model_start(run_test_thread, (void *)(intptr_t)k, 0);
    M->alone = 0;
    self()->state = JOINING;
    model_schedule();
    M->alone = 1;
    for (int t = 1; t < M->threads; t++)
        model_join(&self()->view, &M->fiber[t].view);
    if (test->end) test->end();
    model_leave(HOLDS);
}

int model_execute(const model_test *test) {
    M->test = test;
    M->at = M->steps = M->idle_rounds = M->traced = M->fast_steps = 0;
    M->changes = 0;
    M->threads = 1;
    M->current = 0;
    M->alone = 1;
    for (int t = 0; t < THREADS; t++) {
        fiber *f = &M->fiber[t];
        f->state = UNUSED;
        f->started = f->daemon = f->fast = f->reads = f->woken_with = 0;
        f->heap_used = 0;
        f->clock = 1000;
        memset(&f->view, 0, sizeof f->view);
        memcpy(tls + (size_t)t * tls_size, tls + THREADS * tls_size, tls_size);
    }
    memcpy(__start_model_tls, tls + THREADS * tls_size, tls_size);
    model_memory_reset();
    model_heap_reset();
    fiber *f = &M->fiber[0];
    f->state = RUNNABLE;
    f->started = 1;
    f->body = run_main;
    f->hash = 1;
    f->view.clock[0] = 1;
    if (_setjmp(M->driver) == 0) _longjmp(f->top, 1);
    return M->verdict;
}

/* ---- what a test may ask ---- */

void model_check(bool holds, const char *file, int line, const char *what) {
    if (!holds) {
        const char *base = strrchr(file, '/');
        model_fail(WRONG, "%s:%d: %s", base ? base + 1 : file, line, what);
    }
}

void model_seen(bool outcome) {
    M->seen |= outcome;
}
int model_self(void) {
    return M->current;
}
int model_size(void) {
    return M->test->size;
}
int model_count(void) {
    int n = 0;
    while (n < 4 && M->test->threads[n])
        n++;
    return n;
}

bool model_died(int thread) {
    return M->fiber[thread + 1].state == DEAD;
}

void model_sleep_forever(void) {
    self()->bed = 0;
    self()->deadline = INT64_MAX;
    thread_end(SLEEPING);
}
