/* Dense add: base[k] += scale * values[k], exactly or in stripes.
 *
 * Exact: no update is lost, whoever else adds. An atomic instruction costs 5 ns whatever its
 * width, and the processor's plain add of a float less than a tenth of one, so the only lever is
 * elements per instruction: elements narrower than 8 bytes go in words of 8, one compare-exchange
 * each. (16 bytes were tried: twice the cost of 8 on Zen 5, a gain of 1.5 on Sapphire Rapids.)
 * An exchange of 8 bytes and operations on its halves by others exclude each other: cache
 * coherence is by line, and an aligned word lies in one. The C standard speaks of objects of one
 * size only; x86-64 and AArch64 promise it for overlapping aligned accesses.
 *
 * In stripes: plain vector adds, a mutex for each stretch of STRIPE bytes. As fast as the memory,
 * and atomic towards the others who add in this way with the same locks, and nobody else: an
 * atomic instruction of another thread between our load and our store would be lost. So the
 * caller has to ask for it.
 *
 *   locks       who is excluded                        which lock
 *   NULL        calls with NULL in this process, on    by the element's address
 *               the same addresses
 *   given       calls with the same locks, of any      by the distance from base: the same base
 *               process                                for all of them
 *
 * At most one lock is held at a time, for a few microseconds of work, and nothing is called
 * meanwhile; so no deadlock, except for a caller who holds one of the given locks himself: he
 * gets C2_DEADLOCK. The mutex is robust: a process that died in its stripe leaves it half added,
 * who comes next adds his own in full and reports C2_OWNER_DIED at the end.
 */
#include "dense.h"

#include <pthread.h>
#include <string.h>

#include "chunks.h"
#include "mutex.h"

/* ---- exact ------------------------------------------------------------------------------ */

/* The product of integers wraps like their sum: it is formed in 64 bits without sign, because
 * 16-bit operands would be promoted to int and overflow. */
#define PRODUCT_INT(T, W, x, s)   ((T)(W)((uint64_t)(s) * (uint64_t)(x)))
#define PRODUCT_FLOAT(T, W, x, s) ((T)((s) * (x)))
#define SUM_INT(T, W, x, y)       ((T)(W)((W)(x) + (W)(y)))
#define SUM_FLOAT(T, W, x, y)     ((T)((x) + (y)))

#define DEFINE_EXACT(t, T, W, PRODUCT, SUM)                                                        \
    static inline void add_word_##t(void *at, const T *delta) {                                    \
        enum { LANES = 8 / sizeof(T) };                                                            \
        _Atomic uint64_t *word = at;                                                               \
        uint64_t seen = load_rlx(word), next;                                                      \
        do {                                                                                       \
            T lanes[LANES];                                                                        \
            memcpy(lanes, &seen, 8);                                                               \
            for (int k = 0; k < LANES; k++)                                                        \
                lanes[k] = SUM(T, W, lanes[k], delta[k]);                                          \
            memcpy(&next, lanes, 8);                                                               \
        } while (!cas_rlx(word, &seen, next));                                                     \
    }                                                                                              \
    static inline void exact_##t(T *base, const T *values, T scale, int64_t n,                     \
                                 const bool sparse) {                                              \
        enum { LANES = 8 / sizeof(T) };                                                            \
        for (int64_t k = 0; k < n;) {                                                              \
            T delta[LANES];                                                                        \
            if (LANES == 1 || n - k < LANES || (uintptr_t)(base + k) % 8) {                        \
                delta[0] = PRODUCT(T, W, values[k], scale);                                        \
                if (!sparse || c2_##t##_bits(delta[0]))                                            \
                    c2_##t##_fetch_add(base + k, delta[0], C2_RELAXED);                            \
                k++;                                                                               \
                continue;                                                                          \
            }                                                                                      \
            for (int j = 0; j < LANES; j++)                                                        \
                delta[j] = PRODUCT(T, W, values[k + j], scale);                                    \
            uint64_t bits;                                                                         \
            memcpy(&bits, delta, 8);                                                               \
            if (!sparse || bits) add_word_##t(base + k, delta);                                    \
            k += LANES;                                                                            \
        }                                                                                          \
    }                                                                                              \
    static void plain_##t(T *restrict base, const T *restrict values, T scale, int64_t n) {        \
        for (int64_t k = 0; k < n; k++)                                                            \
            base[k] = SUM(T, W, base[k], PRODUCT(T, W, values[k], scale));                         \
    }
#define DEFINE_INT(t, T, code, W)   DEFINE_EXACT(t, T, W, PRODUCT_INT, SUM_INT)
#define DEFINE_FLOAT(t, T, code, W) DEFINE_EXACT(t, T, W, PRODUCT_FLOAT, SUM_FLOAT)
C2_INT_TYPES(DEFINE_INT)
C2_FLOAT_TYPES(DEFINE_FLOAT)

void c2_dense_exact(int dtype, void *base, const void *values, int64_t n, bool sparse) {
    switch (dtype) {
#define CALL(t, T, code, W)                                                                        \
    case code:                                                                                     \
        if (sparse)                                                                                \
            exact_##t(base, values, 1, n, true);                                                   \
        else                                                                                       \
            exact_##t(base, values, 1, n, false);                                                  \
        break;
        C2_NUMBER_TYPES(CALL)
#undef CALL
    default: break;
    }
}

/* base[k] += scale * values[k] in one of the two ways. */
static void add_range(int dtype, void *base, const void *values, const void *scale, int64_t n,
                      bool exact) {
    switch (dtype) {
#define CALL(t, T, code, W)                                                                        \
    case code:                                                                                     \
        if (exact)                                                                                 \
            exact_##t(base, values, *(const T *)scale, n, false);                                  \
        else                                                                                       \
            plain_##t(base, values, *(const T *)scale, n);                                         \
        break;
        C2_NUMBER_TYPES(CALL)
#undef CALL
    default: break;
    }
}

void c2_dense_plain(int dtype, void *into, const void *from, int64_t n) {
    static const union {
        int64_t i;
        double d;
        float f;
    } one = {.i = 1}, one_f64 = {.d = 1}, one_f32 = {.f = 1};
    add_range(dtype, into, from,
              dtype == C2_FLOAT64   ? &one_f64
              : dtype == C2_FLOAT32 ? &one_f32
                                    : &one,
              n, false);
}

/* ---- in stripes ------------------------------------------------------------------------- */

/* The adds of a stripe take 1.5 us from the third-level cache. A lock and an unlock take 10 ns, but
 * each lets the stores before it drain: with stripes of 16 KiB that was a quarter of the time. */
#define STRIPE ((int64_t)65536)

/* The locks of this process, each in a cache line of its own. Words: mutex.h. */
enum { OWN_LOCKS = 512 };
static struct {
    _Alignas(64) _Atomic uint64_t word;
} own_locks[OWN_LOCKS];

/* A forked child has locks of its own, which nobody there holds. */
static void after_fork(void) {
    for (int k = 0; k < OWN_LOCKS; k++)
        store_rlx(&own_locks[k].word, 0);
}
static void register_fork_handler(void) {
    pthread_atfork(NULL, NULL, after_fork);
}

typedef struct dense {
    int dtype;
    int64_t size; /* of an element */
    char *base;
    const char *values;
    const void *scale;
    _Atomic uint64_t *locks; /* NULL: own_locks */
    int64_t n_locks;
    bool exact;
    _Atomic int died, refused; /* C2_OWNER_DIED was met; any other failure */
} dense;

static _Atomic uint64_t *lock_of(const dense *d, const char *at, int64_t *left) {
    const uintptr_t place = d->locks ? (uintptr_t)(at - d->base) : (uintptr_t)at;
    *left = STRIPE - (int64_t)(place % STRIPE);
    const uintptr_t stripe = place / STRIPE;
    return d->locks ? d->locks + stripe % (uintptr_t)d->n_locks
                    : &own_locks[stripe % OWN_LOCKS].word;
}

static int lock(dense *d, _Atomic uint64_t *word) {
    int status;
    while ((status = mutex_lock(word, -1)) == C2_INTERRUPTED) {
    } /* held for microseconds: the signal can wait */
    if (status == C2_OWNER_DIED)
        store_rlx(&d->died, 1);
    else if (status)
        store_rlx(&d->refused, status);
    return status != C2_OK && status != C2_OWNER_DIED;
}

/* mutex_give's release meets the acquire of whoever takes the stripe next: it sees our adds. */
static int add_chunk(void *job, int part, int64_t from, int64_t to) {
    dense *d = job;
    if (d->exact) {
        add_range(d->dtype, d->base + from * d->size, d->values + from * d->size, d->scale,
                  to - from, true);
        return 0;
    }
    while (from < to) {
        char *at = d->base + from * d->size;
        int64_t left;
        _Atomic uint64_t *const word = lock_of(d, at, &left);
        /* base is aligned to its size and STRIPE a multiple of it, so no element crosses */
        const int64_t n = left / d->size < to - from ? left / d->size : to - from;
        if (lock(d, word)) return 1;
        add_range(d->dtype, at, d->values + from * d->size, d->scale, n, false);
        mutex_give(word);
        from += n;
    }
    return 0;
}

int c2_dense_add(int dtype, void *base, const void *values, const void *scale, int64_t n,
                 int threads) {
    if (dtype == C2_BOOL || !c2_itemsize(dtype)) return C2_TYPE;
    dense d = {.dtype = dtype,
               .size = c2_itemsize(dtype),
               .base = base,
               .values = values,
               .scale = scale,
               .exact = true};
    c2_in_chunks(n, 8192, threads, add_chunk, &d);
    return C2_OK;
}

int c2_dense_add_striped(int dtype, void *base, const void *values, const void *scale, int64_t n,
                         int threads, void *locks, int64_t n_locks) {
    if (dtype == C2_BOOL || !c2_itemsize(dtype)) return C2_TYPE;
    if (locks && n_locks < 1) return C2_VALUE;
    if (!locks) {
        static pthread_once_t once = PTHREAD_ONCE_INIT;
        pthread_once(&once, register_fork_handler);
    }
    dense d = {.dtype = dtype,
               .size = c2_itemsize(dtype),
               .base = base,
               .values = values,
               .scale = scale,
               .locks = locks,
               .n_locks = n_locks};
    c2_in_chunks(n, 2 * STRIPE / d.size, threads, add_chunk, &d);
    const int refused = load_rlx(&d.refused);
    return refused ? refused : load_rlx(&d.died) ? C2_OWNER_DIED : C2_OK;
}
