/* Dense add in stripes: base[k] += scale * values[k] by plain vector adds, a mutex for each stretch
 * of STRIPE bytes. As fast as the memory, and atomic towards the others who add in this way with
 * the same locks, and nobody else: an atomic instruction of another thread between our load and our
 * store would be lost. So the caller has to ask for it.
 *
 *   locks       who is excluded                        which lock
 *   NULL        calls with NULL in this process, on    by the element's address
 *               the same addresses
 *   given       calls with the same locks, of any      by the distance from base: the same base
 *               process                                for all of them
 *
 * A call holds the locks of a few neighbouring stripes at a time, for some microseconds of work,
 * and calls nothing meanwhile. Who holds any does not wait for another; so no deadlock, except for
 * a caller who holds one of the given locks himself: he gets C2_DEADLOCK. The mutex is robust: a
 * process that died in its stripe leaves it half added, who comes next adds his own in full and
 * reports C2_OWNER_DIED at the end.
 *
 * Calls that meet on an array do not follow each other from stripe to stripe: each begins where it
 * is far from those that are at work now, and goes on at the beginning after the end; and a stripe
 * that is held is put off until the others are done, and only then waited for. Each element gets
 * one sum in each call, so the order of the stripes changes no result.
 */
#include "dense.h"

#include <pthread.h>

#include "chunks.h"
#include "mutex.h"

/* A stripe takes 1 us from the third-level cache; a lock and an unlock 10 ns, and whatever the
 * stores before them still have to wait for. */
#define STRIPE ((int64_t)65536)

/* Stripes that are added at once where all their locks are free: the stores before a lock or an
 * unlock drain once for all of them. 5 % of the time; 8 would give half a per cent more, and keep
 * others waiting for twice as long. */
enum { TOGETHER = 4 };

/* No thread is woken for fewer stripes than this, which take 17 us: to wake one that sleeps costs
 * the caller 5-7 us, and it comes after 20-40. */
enum { EACH = 16 };

/* Base and values together: up to here they are taken to come from a cache. */
#define NEAR ((int64_t)12 << 20)

/* The locks of this process, each in a cache line of its own. Words: mutex.h. */
enum { OWN_LOCKS = 512 };
static struct {
    _Alignas(64) _Atomic uint64_t word;
} own_locks[OWN_LOCKS];

/* Bit j: a call of this process that began at beginning(j) is at work. Set and cleared by that
 * call; a hint, hence relaxed. Calls beyond the 32nd begin at the front. */
static _Atomic uint32_t at_work;

/* A forked child has locks of its own, which nobody there holds. */
static void after_fork(void) {
    for (int k = 0; k < OWN_LOCKS; k++)
        store_rlx(&own_locks[k].word, 0);
    store_rlx(&at_work, 0);
}
static void register_fork_handler(void) {
    pthread_atfork(NULL, NULL, after_fork);
}

/* Stripes that were held when a part came by. */
enum { PUT_OFF = 64 };
typedef struct list {
    int n;
    int64_t stripe[PUT_OFF];
} list;

typedef struct striped {
    int dtype;
    int64_t size; /* of an element */
    char *base;
    const char *values;
    const void *scale;
    int64_t bytes;
    uintptr_t place;         /* of base: its address, or 0 where distances from it count */
    _Atomic uint64_t *locks; /* NULL: own_locks */
    int64_t n_locks, stripes;
    int64_t runs, begin; /* how many runs of TOGETHER stripes; which of them is the first to do */
    bool near;
    _Atomic int died, refused; /* C2_OWNER_DIED was met; any other failure */
} striped;

static _Atomic uint64_t *lock_of(const striped *s, int64_t k) {
    const uintptr_t stripe = s->place / STRIPE + (uintptr_t)k;
    return s->locks ? s->locks + stripe % (uintptr_t)s->n_locks
                    : &own_locks[stripe % OWN_LOCKS].word;
}

/* The adds of stripes k .. k + n - 1, whose locks are held. base is aligned to its size and STRIPE
 * a multiple of it, so no element crosses. mutex_give's release meets the acquire of whoever takes
 * the stripe next: it sees our adds. */
static void add_and_give(const striped *s, int64_t k, int64_t n) {
    const int64_t first = (int64_t)(s->place % STRIPE), next = (k + n) * STRIPE - first;
    const int64_t from = k ? k * STRIPE - first : 0, to = next < s->bytes ? next : s->bytes;
    c2_dense_plain(s->dtype, s->base + from, s->values + from, s->scale, (to - from) / s->size,
                   s->near);
    for (int64_t j = k; j < k + n; j++)
        mutex_give(lock_of(s, j));
}

static void wait_and_add(striped *s, int64_t k) {
    int status;
    while ((status = mutex_lock(lock_of(s, k), -1)) == C2_INTERRUPTED) {
    } /* held for microseconds: the signal can wait */
    if (status != C2_OK && status != C2_OWNER_DIED) {
        store_rlx(&s->refused, status);
        return;
    }
    if (status == C2_OWNER_DIED) store_rlx(&s->died, 1);
    add_and_give(s, k, 1);
}

/* Stripes k .. end - 1, all those at once whose locks are free. Those that are held come onto the
 * list; the first of them once it is full is waited for, with no other lock in hand. */
static void add_run(striped *s, int64_t k, int64_t end, list *held) {
    while (k < end) {
        int64_t n = 0;
        while (k + n < end && mutex_take(lock_of(s, k + n)))
            n++;
        if (n)
            add_and_give(s, k, n);
        else if (held->n < PUT_OFF)
            held->stripe[held->n++] = k;
        else
            wait_and_add(s, k);
        k += n ? n : 1;
    }
}

static void add_part(void *job, c2_stretches *left, int part) {
    striped *s = job;
    list held = {.n = 0};
    int64_t at;
    while (!load_rlx(&s->refused) && (at = c2_stretches_next(left, part)) >= 0) {
        const int64_t k = (at + s->begin) % s->runs * TOGETHER;
        add_run(s, k, k + TOGETHER < s->stripes ? k + TOGETHER : s->stripes, &held);
    }
    for (int j = 0; j < held.n; j++)
        wait_and_add(s, held.stripe[j]);
}

/* A bit of at_work that was free, or -1. */
static int come(void) {
    uint32_t seen = load_rlx(&at_work);
    while (~seen) {
        const int j = __builtin_ctz(~seen);
        if (cas_rlx(&at_work, &seen, seen | UINT32_C(1) << j)) return j;
    }
    return -1;
}
static void leave(int j) {
    if (j >= 0) and_rlx(&at_work, ~(UINT32_C(1) << j));
}

/* Of 0, 1, 2, 3, ...: 0, a half, a quarter, three quarters, ... (j's bits after the point, in
 * reverse: van der Corput's sequence, in which any first few lie far apart). */
static int64_t beginning(int j, int64_t runs) {
    int64_t part = 0;
    for (int bit = 0; bit < 5 && j > 0; bit++)
        part |= (int64_t)(j >> bit & 1) << (4 - bit);
    return runs * part / 32;
}

int c2_dense_add_striped(int dtype, void *base, const void *values, const void *scale, int64_t n,
                         int threads, void *locks, int64_t n_locks) {
    const int64_t size = c2_itemsize(dtype);
    if (dtype == C2_BOOL || !size) return C2_TYPE;
    if (locks && n_locks < 1) return C2_VALUE;
    if (!locks) {
        static pthread_once_t once = PTHREAD_ONCE_INIT;
        pthread_once(&once, register_fork_handler);
    }
    striped s = {.dtype = dtype,
                 .size = size,
                 .base = base,
                 .values = values,
                 .scale = scale,
                 .bytes = n * size,
                 .place = locks ? 0 : (uintptr_t)base,
                 .locks = locks,
                 .n_locks = n_locks,
                 .near = 2 * n * size <= NEAR};
    s.stripes = ((int64_t)(s.place % STRIPE) + s.bytes + STRIPE - 1) / STRIPE;
    if (threads > s.stripes / EACH) threads = (int)(s.stripes / EACH);
    s.runs = (s.stripes + TOGETHER - 1) / TOGETHER;
    const int j = come();
    s.begin = beginning(j, s.runs);
    c2_in_stretches(s.runs, threads, add_part, &s);
    leave(j);
    const int refused = load_rlx(&s.refused);
    return refused ? refused : load_rlx(&s.died) ? C2_OWNER_DIED : C2_OK;
}
