/* Bulk operations on the caller's memory: scatter-add, dense add, gather.
 *
 * Guarantees. Every element is added to, or read, by one relaxed atomic operation (scalar.h), so
 * nothing is lost or torn whoever else works on the array with atomics. Nothing is promised
 * between elements: other threads see the adds in any order and may see half of a call. A caller
 * who hands the array on does it through something that releases and acquires.
 *
 * Who may call what: any function by any number of threads and processes on the same array. None
 * blocks; integer adds and gathers are wait-free, float adds lock-free (a compare-exchange loop).
 *
 * Indices are checked twice. A first pass over all of them, plain and without branches so that
 * it vectorizes, runs before the first write: a bad index changes nothing. But the GIL is
 * released, and somebody may write the index array between the passes. So the second pass reads
 * each index once, atomically, and looks at that very value again before it uses it: memory
 * outside the array is never touched. A call that meets such an index stops there, with the adds
 * before it made. (Values that change meanwhile are merely values.)
 */
#include "scalar.h"

/* Above this many bytes a table does not stay in the second-level cache, and asking for an
 * element some iterations early hides most of the miss; below it the request only costs. */
#define LARGE_TABLE ((int64_t)1 << 20)
#define AHEAD       24

#define C2_INDEX_TYPES(X)                                                                          \
    X(i32, int32_t, C2_INT32, uint32_t, INT32_MAX)                                                 \
    X(i64, int64_t, C2_INT64, uint64_t, INT64_MAX)

/* The first pass reads plainly, because an atomic load does not vectorize. Where somebody writes
 * the indices meanwhile, what it read does not matter: the second pass decides. */
#define RACY __attribute__((no_sanitize("thread")))

/* -slots <= k < slots for all, or the position of the first k that is not (n if none). With
 * slots in the index type's range, k + slots and slots - 1 - k are both non-negative exactly
 * when k is fine: where one of the two wraps, the other one is negative and does not wrap. So
 * one "or" over both collects the sign bits, 16 bytes at a time. */
#define DEFINE_CHECK(i, I, icode, U, MAX)                                                          \
    RACY static int64_t first_bad_##i(const I *indices, int64_t n, int64_t slots) {                \
        if (slots > MAX) return n; /* every value of the type is an index */                       \
        const U s = (U)slots, top = (U)1 << (8 * sizeof(U) - 1);                                   \
        U signs = 0;                                                                               \
        for (int64_t k = 0; k < n; k++) {                                                          \
            const U index = (U)indices[k];                                                         \
            signs |= (U)(index + s) | (U)(s - 1 - index);                                          \
        }                                                                                          \
        if (!(signs & top)) return n;                                                              \
        for (int64_t k = 0; k < n; k++)                                                            \
            if (indices[k] < -slots || indices[k] >= slots) return k;                              \
        return n; /* it was bad a moment ago: the second pass looks again */                       \
    }
C2_INDEX_TYPES(DEFINE_CHECK)

/* Index k of the second pass: read once, and `slots` or more when it is out of range. */
#define DEFINE_SLOT(i, I, icode, U, MAX)                                                           \
    static inline uint64_t slot_##i(const I *indices, int64_t k, int64_t slots) {                  \
        const int64_t index = c2_##i##_load(indices + k, C2_RELAXED);                              \
        return (uint64_t)index + (index < 0 ? (uint64_t)slots : 0);                                \
    }
C2_INDEX_TYPES(DEFINE_SLOT)

/* Only a request to the memory system: a wild address does no harm, hence the integer sums. */
#define REQUEST(base, slot, size, write)                                                           \
    __builtin_prefetch((const void *)((uintptr_t)(base) + (slot) * (size)), write, 3)

/* The loops of the second pass. `ahead` is a constant 0 or AHEAD, so that small tables pay
 * nothing for it. */
#define DEFINE_SCATTER(t, T, code, W, i, I)                                                        \
    static inline int64_t scatter_loop_##t##_##i(T *base, int64_t slots, const I *indices,         \
                                                 const T *values, int step, int64_t n, T *before,  \
                                                 const int64_t ahead) {                            \
        for (int64_t k = 0; k < n; k++) {                                                          \
            if (ahead && k + ahead < n)                                                            \
                REQUEST(base, slot_##i(indices, k + ahead, slots), sizeof(T), 1);                  \
            const uint64_t slot = slot_##i(indices, k, slots);                                     \
            if (slot >= (uint64_t)slots) return k;                                                 \
            const T old = c2_##t##_fetch_add(base + slot, values[step ? k : 0], C2_RELAXED);       \
            if (before) before[k] = old;                                                           \
        }                                                                                          \
        return n;                                                                                  \
    }                                                                                              \
    static int64_t scatter_##t##_##i(void *base, int64_t slots, const void *indices,               \
                                     const void *values, int step, int64_t n, void *before) {      \
        return slots * (int64_t)sizeof(T) > LARGE_TABLE                                            \
                   ? scatter_loop_##t##_##i(base, slots, indices, values, step, n, before, AHEAD)  \
                   : scatter_loop_##t##_##i(base, slots, indices, values, step, n, before, 0);     \
    }

#define DEFINE_GATHER(t, T, i, I)                                                                  \
    static inline int64_t gather_loop_##t##_##i(const T *base, int64_t slots, const I *indices,    \
                                                int64_t n, T *out, const int64_t ahead) {          \
        for (int64_t k = 0; k < n; k++) {                                                          \
            if (ahead && k + ahead < n)                                                            \
                REQUEST(base, slot_##i(indices, k + ahead, slots), sizeof(T), 0);                  \
            const uint64_t slot = slot_##i(indices, k, slots);                                     \
            if (slot >= (uint64_t)slots) return k;                                                 \
            out[k] = c2_##t##_load(base + slot, C2_RELAXED);                                       \
        }                                                                                          \
        return n;                                                                                  \
    }                                                                                              \
    static int64_t gather_##t##_##i(const void *base, int64_t slots, const void *indices,          \
                                    int64_t n, void *out) {                                        \
        return slots * (int64_t)sizeof(T) > LARGE_TABLE                                            \
                   ? gather_loop_##t##_##i(base, slots, indices, n, out, AHEAD)                    \
                   : gather_loop_##t##_##i(base, slots, indices, n, out, 0);                       \
    }

#define DEFINE_SCATTERS(t, T, code, W)                                                             \
    DEFINE_SCATTER(t, T, code, W, i32, int32_t)                                                    \
    DEFINE_SCATTER(t, T, code, W, i64, int64_t)
C2_NUMBER_TYPES(DEFINE_SCATTERS)

/* A gather moves bits, so one loop for each element size is enough. */
#define WORD_TYPES(X) X(u8, uint8_t) X(u16, uint16_t) X(u32, uint32_t) X(u64, uint64_t)
#define DEFINE_GATHERS(t, T)                                                                       \
    DEFINE_GATHER(t, T, i32, int32_t)                                                              \
    DEFINE_GATHER(t, T, i64, int64_t)
WORD_TYPES(DEFINE_GATHERS)

/* The product of integers wraps like their sum: it is formed in 64 bits without sign, because
 * 16-bit operands would be promoted to int and overflow. */
#define DEFINE_DENSE_INT(t, T, code, W)                                                            \
    static void dense_##t(T *base, const T *values, T scale, int64_t n) {                          \
        for (int64_t k = 0; k < n; k++)                                                            \
            c2_##t##_fetch_add(base + k, (T)(W)((uint64_t)scale * (uint64_t)values[k]),            \
                               C2_RELAXED);                                                        \
    }
#define DEFINE_DENSE_FLOAT(t, T, code, W)                                                          \
    static void dense_##t(T *base, const T *values, T scale, int64_t n) {                          \
        for (int64_t k = 0; k < n; k++)                                                            \
            c2_##t##_fetch_add(base + k, scale * values[k], C2_RELAXED);                           \
    }
C2_INT_TYPES(DEFINE_DENSE_INT)
C2_FLOAT_TYPES(DEFINE_DENSE_FLOAT)

/* The first pass for either index type; n when all are fine, -1 for no index type at all. */
static int64_t first_bad(const void *indices, int index_dtype, int64_t n, int64_t slots) {
    switch (index_dtype) {
    case C2_INT32: return first_bad_i32(indices, n, slots);
    case C2_INT64: return first_bad_i64(indices, n, slots);
    default: return -1;
    }
}

static int finish(int64_t done, int64_t n, int64_t *bad) {
    if (done == n) return C2_OK;
    if (bad) *bad = done;
    return C2_INDEX;
}

int c2_scatter_add(int dtype, void *base, int64_t slots, const void *indices, int index_dtype,
                   const void *values, int value_step, int64_t n, void *before, int64_t *bad) {
    if (dtype == C2_BOOL || !c2_itemsize(dtype)) return C2_TYPE;
    int64_t done = first_bad(indices, index_dtype, n, slots);
    if (done < 0) return C2_TYPE;
    if (done < n) return finish(done, n, bad);
    switch (dtype) {
#define CALL(t, T, code, W)                                                                        \
    case code:                                                                                     \
        done = index_dtype == C2_INT32                                                             \
                   ? scatter_##t##_i32(base, slots, indices, values, value_step, n, before)        \
                   : scatter_##t##_i64(base, slots, indices, values, value_step, n, before);       \
        break;
        C2_NUMBER_TYPES(CALL)
#undef CALL
    default: return C2_TYPE;
    }
    return finish(done, n, bad);
}

int c2_dense_add(int dtype, void *base, const void *values, const void *scale, int64_t n) {
    switch (dtype) {
#define CALL(t, T, code, W)                                                                        \
    case code: dense_##t(base, values, *(const T *)scale, n); return C2_OK;
        C2_NUMBER_TYPES(CALL)
#undef CALL
    default: return C2_TYPE;
    }
}

int c2_gather(int dtype, const void *base, int64_t slots, const void *indices, int index_dtype,
              int64_t n, void *out, int64_t *bad) {
    const int64_t size = c2_itemsize(dtype);
    if (!size) return C2_TYPE;
    int64_t done = first_bad(indices, index_dtype, n, slots);
    if (done < 0) return C2_TYPE;
    if (done < n) return finish(done, n, bad);
#define CALL(t, T)                                                                                 \
    if (size == sizeof(T))                                                                         \
        done = index_dtype == C2_INT32 ? gather_##t##_i32(base, slots, indices, n, out)            \
                                       : gather_##t##_i64(base, slots, indices, n, out);
    WORD_TYPES(CALL)
#undef CALL
    return finish(done, n, bad);
}
