/* The seam to the operating system where there is no futex: POSIX threads only.
 *
 * A sleeper waits on a condition variable of its own process, in a table hashed by address; a
 * wake finds the sleepers of its process there. Another process cannot be told, so every sleep
 * ends after SLICE_NS at the latest, and the caller looks again: that is how fast a change made
 * by another process is seen. The same slice covers one word mapped at two addresses.
 *
 * Weaker than platform_linux.c in this:
 *   - c2_os_wait never returns C2_INTERRUPTED (a condition variable does not tell of signals);
 *   - c2_os_alive knows the threads of its own process, but of another process only whether it
 *     exists. A zombie exists until its parent waits for it, and a new process that was given
 *     the number of a dead one is taken for it.
 *
 * Source: POSIX.1-2017, pthread_cond_timedwait, pthread_atfork, kill.
 */
#define _GNU_SOURCE
#ifdef __APPLE__
#define _DARWIN_C_SOURCE
#endif
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "atomic.h"
#include "cpu.h"
#include "platform.h"

#define SLICE_NS 10000000

int c2_os_stay_on(const uint64_t *mask, uint64_t *before) {
    (void)mask, (void)before;
    return C2_SYSTEM;
}

int c2_os_cpus(void) {
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 && online < INT_MAX ? (int)online : 1;
}

/* ---- the process's own tables ------------------------------------------------------------- */

typedef struct sleeper {
    const void *word;
    int size;
    bool woken;
    struct sleeper *next;
} sleeper;

/* All but the lock is guarded by it. */
typedef struct bucket {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    sleeper *sleepers;
} bucket;

/* A thread that has asked for its name, until it ends. */
typedef struct member {
    uint32_t number;
    struct member *next;
} member;

enum { BUCKETS = 64, NUMBER_BITS = 20, STAMP_BITS = 12 };
#define NUMBER_MASK ((1u << NUMBER_BITS) - 1)

static bucket buckets[BUCKETS];

/* `members`, `last_number` and `stamp` are guarded by this. */
static pthread_mutex_t members_lock;
static member *members;
static uint32_t last_number;
static uint32_t stamp; /* 0: not made yet */

static pthread_key_t at_thread_end;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Thread_local uint64_t cached_self;

static void leave(void *arg) {
    member *gone = arg;
    pthread_mutex_lock(&members_lock);
    member **at = &members;
    while (*at && *at != gone)
        at = &(*at)->next;
    if (*at) *at = gone->next;
    pthread_mutex_unlock(&members_lock);
    free(gone);
}

static void make_tables(void) {
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
#ifndef __APPLE__
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
#endif
    for (int k = 0; k < BUCKETS; k++) {
        pthread_mutex_init(&buckets[k].lock, NULL);
        pthread_cond_init(&buckets[k].changed, &attr);
        buckets[k].sleepers = NULL;
    }
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&members_lock, NULL);
    members = NULL;
    last_number = 0;
    stamp = 0;
}

/* In the child one thread is left, and a lock may be held by one that is gone: all is made new.
 * The members of the parent leak, a few bytes for each fork. */
static void in_child(void) {
    make_tables();
    pthread_setspecific(at_thread_end, NULL);
    cached_self = 0;
}

static void begin(void) {
    make_tables();
    pthread_key_create(&at_thread_end, leave);
    pthread_atfork(NULL, NULL, in_child);
}

/* ---- wait and wake ------------------------------------------------------------------------ */

static uint64_t value_at(const void *word, int size) {
    switch (size) {
    case 1: return load_rlx((const _Atomic uint8_t *)word);
    case 2: return load_rlx((const _Atomic uint16_t *)word);
    case 4: return load_rlx((const _Atomic uint32_t *)word);
    default: return load_rlx((const _Atomic uint64_t *)word);
    }
}

static bucket *bucket_of(const void *word) {
    pthread_once(&once, begin);
    return &buckets[mix64((uintptr_t)word) % BUCKETS];
}

/* Sleep until signalled or `until`; false once that time has come. */
static bool sleep_in(bucket *b, int64_t until) {
#ifdef __APPLE__
    const int64_t left = until - c2_os_now();
    if (left <= 0) return false;
    const struct timespec t = {left / 1000000000, left % 1000000000};
    return pthread_cond_timedwait_relative_np(&b->changed, &b->lock, &t) != ETIMEDOUT;
#else
    const struct timespec t = {until / 1000000000, until % 1000000000};
    return pthread_cond_timedwait(&b->changed, &b->lock, &t) != ETIMEDOUT;
#endif
}

/* The value is compared under the bucket's lock, and a wake takes that lock after the change:
 * either the sleeper sees the change, or the wake sees the sleeper. */
int c2_os_wait(const void *word, int size, uint64_t expected, int64_t deadline) {
    bucket *b = bucket_of(word);
    const int64_t now = c2_os_now();
    const int64_t until = deadline > now + SLICE_NS ? now + SLICE_NS : deadline;
    pthread_mutex_lock(&b->lock);
    if (value_at(word, size) != expected) {
        pthread_mutex_unlock(&b->lock);
        return C2_OK;
    }
    sleeper me = {word, size, false, b->sleepers};
    b->sleepers = &me;
    bool in_time = now < until;
    while (in_time && !me.woken)
        in_time = sleep_in(b, until);
    sleeper **at = &b->sleepers;
    while (*at != &me)
        at = &(*at)->next;
    *at = me.next;
    pthread_mutex_unlock(&b->lock);
    return !me.woken && until == deadline ? C2_TIMEOUT : C2_OK;
}

int c2_os_wake(const void *word, int size, int count) {
    if (count <= 0) return 0;
    bucket *b = bucket_of(word);
    int woken = 0;
    pthread_mutex_lock(&b->lock);
    for (sleeper *s = b->sleepers; s && woken < count; s = s->next) {
        if (s->word != word || s->size != size || s->woken) continue;
        s->woken = true;
        woken++;
    }
    if (woken) pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
    return woken;
}

/* ---- identity ------------------------------------------------------------------------------ */

/* The word that names a thread: bits 0..30 the pid; bit 31 is 0; bits 32..51 the thread's number
 * in its process, never 0 (0: it could not be entered into the members); bits 52..63 a stamp of
 * the process, a hash of when it first asked. */
static uint32_t pid_of(uint64_t self) {
    return (uint32_t)self & INT32_MAX;
}
static uint32_t number_of(uint64_t self) {
    return (uint32_t)(self >> 32) & NUMBER_MASK;
}
static uint32_t stamp_of(uint64_t self) {
    return (uint32_t)(self >> (32 + NUMBER_BITS));
}

static bool is_member(uint32_t number) {
    const member *m = members;
    while (m && m->number != number)
        m = m->next;
    return m != NULL;
}

/* Call with the lock held. */
static uint32_t free_number(void) {
    do
        last_number = (last_number + 1) & NUMBER_MASK;
    while (last_number == 0 || is_member(last_number));
    return last_number;
}

static uint64_t self_slow(void) {
    pthread_once(&once, begin);
    member *me = malloc(sizeof *me);
    if (me && pthread_setspecific(at_thread_end, me)) {
        free(me);
        me = NULL;
    }
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    pthread_mutex_lock(&members_lock);
    if (stamp == 0) {
        const uint64_t when = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
        stamp = (uint32_t)(mix64(when) % ((1u << STAMP_BITS) - 1)) + 1;
    }
    if (me) {
        *me = (member){free_number(), members};
        members = me;
    }
    cached_self = ((uint32_t)getpid() & INT32_MAX) | (uint64_t)(me ? me->number : 0) << 32 |
                  (uint64_t)stamp << (32 + NUMBER_BITS);
    pthread_mutex_unlock(&members_lock);
    return cached_self;
}

uint64_t c2_os_self(void) {
    const uint64_t self = cached_self;
    return self ? self : self_slow();
}

int c2_os_alive(uint64_t self) {
    const uint64_t me = c2_os_self();
    if (pid_of(self) != pid_of(me)) return kill((pid_t)pid_of(self), 0) == 0 || errno != ESRCH;
    if (stamp_of(self) != stamp_of(me)) return 0; /* an earlier process with our number */
    if (number_of(self) == 0) return 1;
    pthread_mutex_lock(&members_lock);
    const bool alive = is_member(number_of(self));
    pthread_mutex_unlock(&members_lock);
    return alive;
}
