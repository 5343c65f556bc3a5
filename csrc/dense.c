/* Dense add: base[k] += scale * values[k], and no update is lost, whoever else adds.
 *
 * An atomic instruction costs 5 ns whatever its width, and the processor's plain add of a float
 * less than a tenth of one, so the only lever is elements per instruction: elements narrower than 8
 * bytes go in words of 8, one compare-exchange each, and floats in words of 16 where the processor
 * has an exchange of those (wide.h). An exchange of 8 bytes and operations on its halves by
 * others exclude each other: cache coherence is by line, and an aligned word lies in one. The C
 * standard speaks of objects of one size only; x86-64 and AArch64 promise it for overlapping
 * aligned accesses.
 *
 * As fast as the memory, and atomic towards fewer: dense_stripes.c.
 */
#include "dense.h"

#include <string.h>

#include "chunks.h"
#include "wide.h"

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
    }
#define DEFINE_INT(t, T, code, W)   DEFINE_EXACT(t, T, W, PRODUCT_INT, SUM_INT)
#define DEFINE_FLOAT(t, T, code, W) DEFINE_EXACT(t, T, W, PRODUCT_FLOAT, SUM_FLOAT)
C2_INT_TYPES(DEFINE_INT)
C2_FLOAT_TYPES(DEFINE_FLOAT)

#define ALL_INT(t, T, code, W)                                                                     \
    static inline void all_##t(T *base, const T *values, T scale, int64_t n) {                     \
        exact_##t(base, values, scale, n, false);                                                  \
    }
#define ALL_FLOAT(t, T, code, W)                                                                   \
    static inline void all_##t(T *base, const T *values, T scale, int64_t n) {                     \
        const int64_t odd = (int64_t)(-(uintptr_t)base % 16 / sizeof(T));                          \
        int64_t k = odd < n ? odd : n;                                                             \
        exact_##t(base, values, scale, k, false);                                                  \
        k += c2_wide_add_##t(base + k, values + k, scale, n - k);                                  \
        exact_##t(base + k, values + k, scale, n - k, false);                                      \
    }
C2_INT_TYPES(ALL_INT)
C2_FLOAT_TYPES(ALL_FLOAT)

void c2_dense_add_sparse(int dtype, void *base, const void *values, int64_t n) {
    switch (dtype) {
#define CALL(t, T, code, W)                                                                        \
    case code: exact_##t(base, values, 1, n, true); break;
        C2_NUMBER_TYPES(CALL)
#undef CALL
    }
}

static inline void all(int dtype, void *base, const void *values, const void *scale, int64_t from,
                       int64_t to) {
    switch (dtype) {
#define CALL(t, T, code, W)                                                                        \
    case code:                                                                                     \
        all_##t((T *)base + from, (const T *)values + from, *(const T *)scale, to - from);         \
        break;
        C2_NUMBER_TYPES(CALL)
#undef CALL
    }
}

typedef struct dense {
    int dtype;
    void *base;
    const void *values;
    const void *scale;
} dense;

static int add_chunk(void *job, int part, int64_t from, int64_t to) {
    const dense *d = job;
    all(d->dtype, d->base, d->values, d->scale, from, to);
    return 0;
}

int c2_dense_add(int dtype, void *base, const void *values, const void *scale, int64_t n,
                 int threads) {
    if (dtype == C2_BOOL || !c2_itemsize(dtype)) return C2_TYPE;
    if (n <= 0) return C2_OK;
    if (threads <= 1) { /* rows of a table are short: no call more than needed */
        all(dtype, base, values, scale, 0, n);
        return C2_OK;
    }
    dense d = {.dtype = dtype, .base = base, .values = values, .scale = scale};
    c2_in_chunks(n, 8192, threads, add_chunk, &d);
    return C2_OK;
}
