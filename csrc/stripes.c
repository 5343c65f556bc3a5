/* See stripes.h. */
#include "stripes.h"

#include <pthread.h>

/* Long enough that a lock and an unlock, with the stores before them drained, are nothing beside
 * its adds; short enough that two workers on one parameter seldom wait for each other. */
#define STRIPE ((uintptr_t)32768)

/* By the address, each in a cache line of its own. Words: mutex.h. Stretches that share a lock wait
 * for each other, and nothing else, as nobody holds two. */
enum { LOCKS = 256 };
static struct {
    _Alignas(64) _Atomic uint64_t word;
} locks[LOCKS];

/* A forked child has one thread, and no one's stripe is half written by it. What another thread of
 * the parent was at stays as it was at that moment, as everything does that a fork catches. */
static void free_all(void) {
    for (int k = 0; k < LOCKS; k++)
        store_rlx(&locks[k].word, 0);
}
static void watch_forks(void) {
    pthread_atfork(NULL, NULL, free_all);
}

static _Atomic uint64_t *lock_of(uintptr_t stripe) {
    return &locks[stripe % LOCKS].word;
}

/* mutex_lock's acquire meets mutex_give's release: all that the last holder wrote is seen. Held for
 * microseconds, so a signal can wait. Who died in a stripe is a thread that was ended from outside:
 * the elements are what they are. */
static void take(_Atomic uint64_t *lock) {
    int status;
    do
        status = mutex_lock(lock, -1);
    while (status != C2_OK && status != C2_OWNER_DIED);
}

_Atomic uint64_t *c2_stripe_take(c2_memory *memory, const void *at, int64_t *bytes) {
    if (!memory || load_acq(&memory->access) == C2_MEMORY_OPEN)
        return NULL; /* meets the store_rel below */
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    const uintptr_t place = (uintptr_t)at;
    _Atomic uint64_t *const lock = lock_of(place / STRIPE);
    take(lock);
    if (load_rlx(&memory->access) != C2_MEMORY_CLOSED) { /* under the lock, as stripes.h has it */
        mutex_give(lock);
        c2_memory_open(memory); /* other stripes may have plain adds on */
        return NULL;
    }
    const int64_t left = (int64_t)(STRIPE - place % STRIPE);
    if (*bytes > left) *bytes = left;
    return lock;
}

void c2_memory_open_slow(c2_memory *memory) {
    int32_t seen = C2_MEMORY_CLOSED;
    cas_rlx(&memory->access, &seen, C2_MEMORY_OPENING);
    const uintptr_t begin = (uintptr_t)memory->data, end = begin + (uintptr_t)memory->capacity;
    uintptr_t stripe = begin / STRIPE;
    for (int k = 0; k < LOCKS && stripe * STRIPE < end; k++, stripe++) {
        take(lock_of(stripe));
        mutex_give(lock_of(stripe));
    }
    store_rel(&memory->access, C2_MEMORY_OPEN); /* met by the load_acq of both */
}
