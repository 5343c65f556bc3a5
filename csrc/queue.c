/* The queue of queue.h: a ring under a mutex, and two words to sleep on.
 *
 * Words that threads share:
 *
 *     lock      c2_mutex. Guards all that is not said to be atomic; held for a few loads and
 *               stores, never while elements are copied or anybody sleeps.
 *     changed_for[TAKERS], changed_for[PUTTERS]
 *               counts the changes that those who wait to take, or to put, wait for. Raised
 *               only under the lock, by whoever made the change, while somebody waits; read
 *               without it by the sleepers' c2_os_wait only. It may wrap: a sleeper that misses
 *               exactly 2^32 changes sleeps to the end of its slice.
 *     waiting[TAKERS], waiting[PUTTERS]
 *               threads between "I saw nothing for me" and "I look again"; under the lock. Zero
 *               saves the waker the system call.
 *
 * No wake is lost. A waiter reads changed_for under the same lock that it saw the queue empty (or
 * full) under, and counts itself in waiting there. A change comes after that in the order of the
 * lock, so the changer finds waiting > 0, raises changed_for, and only then wakes: a waiter that
 * sleeps is woken, and one that does not sleep yet finds another value and does not begin. One
 * change wakes one waiter. That waiter cannot leave with the change unused: it looks again under
 * the lock, and gives up (stop, deadline) only where it saw nothing for itself there.
 *
 *     users     who holds the queue. The drop that makes it 0 has the acquire that meets the
 *               release of every other drop: all they did is over before the memory goes.
 *
 * The lock's release meets the lock's acquire: that is what hands a tuple's memory over.
 */
#include <stdlib.h>
#include <string.h>
#include "atomic.h"
#include "dtype.h"
#include "platform.h"
#include "queue.h"

/* A sleeper looks this often whether it is to stop. No constant, so that a test can make slices
 * so long that a lost wake shows. */
static int64_t slice_ns = 20000000;

enum { TAKERS, PUTTERS };

struct c2_tuple {
    char *memory; /* of all the tensors, one behind the other */
    c2_tensor tensors[];
};

struct c2_queue {
    uint64_t lock;
    _Atomic int64_t users;
    int64_t capacity;
    int64_t first;  /* position in the ring of the oldest tuple */
    int64_t count;  /* tuples in the ring */
    int64_t out;    /* taken, and neither done nor given back: their places stay theirs */
    int32_t width;  /* constant */
    int32_t closed; /* from 0 to 1, once */
    int32_t waiting[2];
    _Atomic uint32_t changed_for[2];
    c2_tuple *ring[];
};

c2_queue *c2_queue_new(int64_t capacity, int32_t width) {
    if ((uint64_t)capacity > (SIZE_MAX - sizeof(c2_queue)) / sizeof(c2_tuple *)) return NULL;
    c2_queue *q = calloc(1, sizeof *q + (size_t)capacity * sizeof q->ring[0]);
    if (!q) return NULL;
    q->capacity = capacity;
    q->width = width;
    atomic_init(&q->users, 1);
    return q;
}

static void tuple_free(c2_tuple *tuple) {
    free(tuple->memory);
    free(tuple);
}

void c2_queue_keep(c2_queue *q) {
    add_rlx(&q->users, 1);
} /* who calls holds it already */

void c2_queue_drop(c2_queue *q) {
    if (sub_acq_rel(&q->users, 1) > 1) return;
    for (int64_t k = 0; k < q->count; k++)
        tuple_free(q->ring[(q->first + k) % q->capacity]);
    free(q);
}

int32_t c2_queue_width(const c2_queue *q) {
    return q->width;
}

const c2_tensor *c2_tuple_tensor(const c2_tuple *tuple, int32_t index) {
    return &tuple->tensors[index];
}

/* Each tensor starts on a cache line, so that a vector loop over it is aligned. */
static size_t room(const c2_tensor *t) {
    return ((size_t)t->size * (size_t)c2_itemsize(t->dtype) + 63) & ~(size_t)63;
}

static c2_tuple *tuple_copy(const c2_tensor *const *tensors, int32_t width) {
    size_t total = 64;
    for (int32_t k = 0; k < width; k++)
        total += room(tensors[k]);
    c2_tuple *tuple = malloc(sizeof *tuple + (size_t)width * sizeof tuple->tensors[0]);
    if (!tuple) return NULL;
    tuple->memory = aligned_alloc(64, total);
    if (!tuple->memory) {
        free(tuple);
        return NULL;
    }
    char *at = tuple->memory;
    for (int32_t k = 0; k < width; k++) {
        const c2_tensor *from = tensors[k];
        tuple->tensors[k] = *from;
        tuple->tensors[k].data = at;
        if (from->size) memcpy(at, from->data, (size_t)from->size * c2_itemsize(from->dtype));
        at += room(from);
    }
    return tuple;
}

static void lock(c2_queue *q) {
    /* Only signals end the wait early: a holder runs no code of anybody else's. */
    int status;
    do
        status = c2_mutex_lock(&q->lock, -1);
    while (status != C2_OK && status != C2_OWNER_DIED);
}

static void unlock(c2_queue *q) {
    c2_mutex_unlock(&q->lock);
}

/* Under the lock: something changed for `side`. Whether anybody waits for that, and is to be woken
 * once the lock is free. The relaxed add is ordered by the lock, and for a sleeper that looks
 * without it by the system, inside c2_os_wait and c2_os_wake. */
static int change(c2_queue *q, int side) {
    if (q->waiting[side] == 0) return 0;
    add_rlx(&q->changed_for[side], 1);
    return 1;
}

static void unlock_and_wake(c2_queue *q, int side, int n) {
    const int somebody = change(q, side);
    unlock(q);
    if (somebody) c2_os_wake(&q->changed_for[side], 4, n);
}

/* Under the lock, having seen nothing for `side`: sleeps until something may have changed, and
 * has the lock again. C2_OK, C2_TIMEOUT or C2_STOPPED: the caller looks again in any case. */
static int sleep_on(c2_queue *q, int side, int64_t deadline, c2_queue_stop stop, void *who) {
    const int64_t now = c2_os_now();
    if (now >= deadline) return C2_TIMEOUT;
    const int64_t slice = deadline - now < slice_ns ? deadline : now + slice_ns;
    const uint32_t seen = load_rlx(&q->changed_for[side]);
    q->waiting[side]++;
    unlock(q);
    c2_os_wait(&q->changed_for[side], 4, seen, slice);
    const int status = stop && stop(who) ? C2_STOPPED : C2_OK;
    lock(q);
    q->waiting[side]--;
    return status;
}

int c2_queue_put(c2_queue *q, const c2_tensor *const *tensors, c2_queue_stop stop, void *who) {
    c2_tuple *tuple = tuple_copy(tensors, q->width);
    if (!tuple) return C2_NO_MEMORY;
    int status = C2_OK;
    lock(q);
    while (!q->closed && q->count + q->out == q->capacity && status == C2_OK)
        status = sleep_on(q, PUTTERS, C2_FOREVER, stop, who);
    if (q->closed) {
        status = C2_CLOSED;
    } else if (q->count + q->out < q->capacity) {
        q->ring[(q->first + q->count) % q->capacity] = tuple;
        q->count++;
        unlock_and_wake(q, TAKERS, 1);
        return C2_OK;
    }
    unlock(q);
    tuple_free(tuple);
    return status;
}

int c2_queue_take(c2_queue *q, int64_t deadline, c2_queue_stop stop, void *who, c2_tuple **tuple) {
    int status = C2_OK;
    lock(q);
    /* A closed queue is at its end only when nothing can be given back any more. */
    while (q->count == 0 && !(q->closed && q->out == 0) && status == C2_OK)
        status = sleep_on(q, TAKERS, deadline, stop, who);
    if (q->count > 0) {
        *tuple = q->ring[q->first];
        q->first = (q->first + 1) % q->capacity;
        q->count--;
        q->out++;
        status = C2_OK;
    } else if (q->closed && q->out == 0) {
        status = C2_CLOSED;
    }
    unlock(q);
    return status;
}

void c2_queue_done(c2_queue *q, c2_tuple *tuple) {
    tuple_free(tuple);
    lock(q);
    q->out--;
    const int ended = q->closed && q->count == 0 && q->out == 0;
    /* A free place for one putter; or the end, for every taker. */
    if (ended)
        unlock_and_wake(q, TAKERS, INT32_MAX);
    else
        unlock_and_wake(q, PUTTERS, 1);
}

void c2_queue_give_back(c2_queue *q, c2_tuple *tuple) {
    lock(q);
    q->first = (q->first + q->capacity - 1) % q->capacity;
    q->ring[q->first] = tuple;
    q->count++;
    q->out--;
    unlock_and_wake(q, TAKERS, 1);
}

void c2_queue_close(c2_queue *q) {
    lock(q);
    q->closed = 1;
    const int putters = change(q, PUTTERS), takers = change(q, TAKERS);
    unlock(q);
    if (putters) c2_os_wake(&q->changed_for[PUTTERS], 4, INT32_MAX);
    if (takers) c2_os_wake(&q->changed_for[TAKERS], 4, INT32_MAX);
}

int64_t c2_queue_count(c2_queue *q) {
    lock(q);
    const int64_t count = q->count;
    unlock(q);
    return count;
}
