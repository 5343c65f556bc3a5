/* The thread cache; the idea is told in pool.h.
 *
 * worker->word, on which the thread sleeps, is a ticket number in the upper bits and a state in
 * the lower two:
 *
 * | state   | meaning                        | who changes it                                  |
 * |---------|--------------------------------|-------------------------------------------------|
 * | IDLE    | on the idle list or about to;  | c2_pool_start, which took it off the list: JOB; |
 * |         | the thread is awake, or a wake | the thread: ASLEEP                              |
 * |         | is under way to it             |                                                 |
 * | ASLEEP  | likewise, but must be woken    | c2_pool_start: JOB, and then it wakes it        |
 * | JOB     | body and arg are set           | the thread: RUNNING; c2_pool_revoke: IDLE, and  |
 * |         |                                | then it puts the worker back on the list        |
 * | RUNNING | the thread runs body           | the thread: IDLE when done, then on the list    |
 *
 * After a job the thread looks out for the next one for SPIN_NS before it sleeps: to run a net
 * again and again costs no wake-ups, and an idle program no processor. A wake takes 20-40 us to
 * arrive, so where the last job came within GAP_NS of the one before, which is about what jobs that
 * short are worth, it looks out for half as long again as that took; beyond SPIN_NS it lets others
 * run in between. A job that does not come in that time costs it 1.5 * GAP_NS, once.
 *
 * Every job has the next ticket, so a late revoke cannot take back somebody else's job. A worker
 * is never freed while it is off the list; a revoke that comes after its thread has ended would
 * read freed memory, so workers are never freed at all: those whose thread has ended are kept on
 * a list of spares, and used again.
 *
 * start's release of JOB meets the thread's acquire CAS: it sees body and arg. The lists are
 * under a spin lock, held for a few instructions.
 */
#include "pool.h"

#include <pthread.h>
#include <stdlib.h>

#include "atomic.h"
#include "platform.h"

enum { IDLE = 0, JOB = 1, RUNNING = 2, ASLEEP = 3, STATE = 3, NEXT_TICKET = 4 };
static const int64_t SPIN_NS = 20 * 1000, GAP_NS = 128 * 1000, KEEP_NS = 10LL * 1000 * 1000 * 1000;

struct c2_worker {
    _Atomic uint32_t word;
    void (*body)(void *);
    void *arg;
    c2_worker *next;  /* on either list */
    int64_t patience; /* how long it looks out, SPIN_NS or more; its own thread's */
};

static _Atomic int lists_lock;
static c2_worker *idle, *spare;
static _Atomic int64_t threads;

static void lock_lists(void) {
    while (swap_acq(&lists_lock, 1))
        c2_os_yield();
}
static void unlock_lists(void) {
    store_rel(&lists_lock, 0);
} /* meets swap_acq above */

static void push(c2_worker **list, c2_worker *w) {
    lock_lists();
    w->next = *list;
    *list = w;
    unlock_lists();
}

static c2_worker *pop(c2_worker **list) {
    lock_lists();
    c2_worker *w = *list;
    if (w) *list = w->next;
    unlock_lists();
    return w;
}

/* Take w off the idle list and make it a spare; 0 when somebody else has taken it off. */
static int retire(c2_worker *w) {
    int found = 0;
    lock_lists();
    for (c2_worker **link = &idle; *link; link = &(*link)->next)
        if (*link == w) {
            *link = w->next;
            w->next = spare;
            spare = w;
            found = 1;
            break;
        }
    if (found) add_rlx(&threads, -1);
    unlock_lists();
    return found;
}

/* The word once it shows something else than IDLE, or as it was when patience had come to an end.
 */
static uint32_t look_out(c2_worker *w, int64_t since) {
    uint32_t word = load_acq(&w->word);
    int64_t waited = 0;
    for (int k = 0; (word & STATE) == IDLE; word = load_acq(&w->word)) {
        if (++k % 16 == 0 && (waited = c2_os_now() - since) > w->patience) break;
        if (k % 16 == 0 && waited > SPIN_NS)
            c2_os_yield();
        else
            c2_os_relax();
    }
    return word;
}

/* Somebody wanted this thread, after it had been idle since then. */
static void learn(c2_worker *w, int64_t since) {
    const int64_t gap = c2_os_now() - since, longer = gap + gap / 2;
    w->patience = gap > GAP_NS || longer < SPIN_NS ? SPIN_NS : longer;
}

static void thread_body(void *arg) {
    c2_worker *w = arg;
    w->patience = SPIN_NS;
    int64_t since = c2_os_now();
    for (;;) {
        uint32_t word = look_out(w, since);
        if ((word & STATE) == JOB) {
            if (!cas_acq(&w->word, &word, (word & ~STATE) | RUNNING)) continue; /* revoked */
            learn(w, since);
            w->body(w->arg);
            since = c2_os_now();
            store_rlx(&w->word, word & ~STATE); /* IDLE; the list's lock publishes it */
            push(&idle, w);
            continue;
        }
        if ((word & STATE) == IDLE && !cas_rlx(&w->word, &word, word | ASLEEP)) continue;
        word |= ASLEEP;
        const int status = c2_os_wait(&w->word, 4, word, c2_os_now() + KEEP_NS);
        if (status == C2_TIMEOUT && load_rlx(&w->word) == word && retire(w)) return;
        if (status == C2_OK && (load_rlx(&w->word) & STATE) == IDLE) { /* revoked before it came */
            learn(w, since);
            since = c2_os_now();
        }
    }
}

/* A forked child has none of the parent's threads. */
static void after_fork(void) {
    idle = spare = NULL; /* leaks the parent's: another thread may have been changing the lists */
    store_rlx(&lists_lock, 0);
    store_rlx(&threads, 0);
}
static void register_fork_handler(void) {
    pthread_atfork(NULL, NULL, after_fork);
}

c2_worker *c2_pool_start(void (*body)(void *), void *arg, uint32_t *ticket) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, register_fork_handler);

    c2_worker *w = pop(&idle);
    const int has_thread = w != NULL;
    if (!w) w = pop(&spare);
    if (!w && !(w = calloc(1, sizeof *w))) return NULL;
    w->body = body;
    w->arg = arg;
    const uint32_t word = (load_rlx(&w->word) & ~(uint32_t)STATE) + NEXT_TICKET;
    *ticket = word;
    const uint32_t before = swap_rel(&w->word, word | JOB);
    if (has_thread) {
        if ((before & STATE) == ASLEEP) c2_os_wake(&w->word, 4, 1);
        return w;
    }
    add_rlx(&threads, 1);
    if (c2_os_thread(thread_body, w) == C2_OK) return w;
    add_rlx(&threads, -1);
    store_rlx(&w->word, word);
    push(&spare, w);
    return NULL;
}

int c2_pool_revoke(c2_worker *w, uint32_t ticket) {
    uint32_t job = ticket | JOB;
    if (!cas_rlx(&w->word, &job, ticket)) return 0;
    push(&idle, w); /* its thread wakes, finds no job, and sleeps again */
    return 1;
}

int64_t c2_pool_threads(void) {
    return load_rlx(&threads);
}
