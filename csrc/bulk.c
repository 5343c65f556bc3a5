/* Many elements in one call, one after the other: gather, scatter-add with the values before,
 * and the check of the indices. (scatter.c has the scatter-add that chooses its own way, dense.c
 * the one without indices.)
 *
 * Guarantees. Every element is added to, or read, by one relaxed atomic operation (scalar.h), so
 * nothing is lost or torn whoever else works on the array with atomics. Nothing is promised
 * between elements: other threads see the adds in any order and may see half of a call. A caller
 * who hands the array on does it through something that releases and acquires.
 *
 * Who may call what: any function by any number of threads and processes on the same array. None
 * blocks; integer adds and gathers are wait-free, float adds lock-free (a compare-exchange loop).
 *
 * A call that meets an index that went bad after the first pass (indices.h) stops there, with the
 * adds before it made. (Values that change meanwhile are merely values.)
 */
#include "indices.h"

/* The first pass reads plainly, because an atomic load does not vectorize. Where somebody writes
 * the indices meanwhile, what it read does not matter: the second pass decides. */
#define RACY __attribute__((no_sanitize("thread")))

/* With slots in the index type's range, k + slots and slots - 1 - k are both non-negative exactly
 * when k is fine: where one of the two wraps, the other one is negative and does not wrap. So
 * one "or" over both collects the sign bits, 16 bytes at a time. */
#define DEFINE_CHECK(i, I, icode, U, MAX)                                                          \
    RACY static int64_t first_bad_##i(const I *indices, int64_t from, int64_t to, int64_t slots) { \
        if (slots > MAX) return to; /* every value of the type is an index */                      \
        const U s = (U)slots, top = (U)1 << (8 * sizeof(U) - 1);                                   \
        U signs = 0;                                                                               \
        for (int64_t k = from; k < to; k++) {                                                      \
            const U index = (U)indices[k];                                                         \
            signs |= (U)(index + s) | (U)(s - 1 - index);                                          \
        }                                                                                          \
        if (!(signs & top)) return to;                                                             \
        for (int64_t k = from; k < to; k++)                                                        \
            if (indices[k] < -slots || indices[k] >= slots) return k;                              \
        return to; /* it was bad a moment ago: the second pass looks again */                      \
    }
C2_INDEX_TYPES(DEFINE_CHECK)

int64_t c2_first_bad(const void *indices, int index_dtype, int64_t from, int64_t to,
                     int64_t slots) {
    switch (index_dtype) {
    case C2_INT32: return first_bad_i32(indices, from, to, slots);
    case C2_INT64: return first_bad_i64(indices, from, to, slots);
    default: return -1;
    }
}

/* The loops of the second pass. `ahead` is a constant 0 or C2_AHEAD, so that small tables pay
 * nothing for it. */
#define DEFINE_ADDS(t, T, code, W, i, I)                                                           \
    C2_FOR_WRITING static inline int64_t add_loop_##t##_##i(                                       \
        T *base, int64_t slots, const I *indices, const T *values, int step, int64_t n, T *before, \
        const int64_t ahead) {                                                                     \
        for (int64_t k = 0; k < n; k++) {                                                          \
            if (ahead && k + ahead < n)                                                            \
                C2_REQUEST(base, slot_##i(indices, k + ahead, slots), sizeof(T), 1);               \
            const uint64_t slot = slot_##i(indices, k, slots);                                     \
            if (slot >= (uint64_t)slots) return k;                                                 \
            const T old = c2_##t##_fetch_add(base + slot, values[step ? k : 0], C2_RELAXED);       \
            if (before) before[k] = old;                                                           \
        }                                                                                          \
        return n;                                                                                  \
    }                                                                                              \
    C2_FOR_WRITING static int64_t add_##t##_##i(void *base, int64_t slots, const void *indices,    \
                                                const void *values, int step, int64_t n,           \
                                                void *before) {                                    \
        return slots * (int64_t)sizeof(T) > C2_LARGE_TABLE                                         \
                   ? add_loop_##t##_##i(base, slots, indices, values, step, n, before, C2_AHEAD)   \
                   : add_loop_##t##_##i(base, slots, indices, values, step, n, before, 0);         \
    }

/* Tear-free: one load of the element's own size, which is what makes it atomic; that several
 * such loads are in flight at once costs nothing, as nothing is promised between elements. */
#define DEFINE_GATHER(t, T, i, I)                                                                  \
    static inline int64_t gather_loop_##t##_##i(const T *base, int64_t slots, const I *indices,    \
                                                int64_t n, T *out, const int64_t ahead) {          \
        for (int64_t k = 0; k < n; k++) {                                                          \
            if (ahead && k + ahead < n)                                                            \
                C2_REQUEST(base, slot_##i(indices, k + ahead, slots), sizeof(T), 0);               \
            const uint64_t slot = slot_##i(indices, k, slots);                                     \
            if (slot >= (uint64_t)slots) return k;                                                 \
            out[k] = c2_##t##_load(base + slot, C2_RELAXED);                                       \
        }                                                                                          \
        return n;                                                                                  \
    }                                                                                              \
    static int64_t gather_##t##_##i(const void *base, int64_t slots, const void *indices,          \
                                    int64_t n, void *out) {                                        \
        return slots * (int64_t)sizeof(T) > C2_LARGE_TABLE                                         \
                   ? gather_loop_##t##_##i(base, slots, indices, n, out, C2_AHEAD)                 \
                   : gather_loop_##t##_##i(base, slots, indices, n, out, 0);                       \
    }

#define DEFINE_ADDS_OF(t, T, code, W)                                                              \
    DEFINE_ADDS(t, T, code, W, i32, int32_t)                                                       \
    DEFINE_ADDS(t, T, code, W, i64, int64_t)
C2_NUMBER_TYPES(DEFINE_ADDS_OF)

/* A gather moves bits, so one loop for each element size is enough. */
#define WORD_TYPES(X) X(u8, uint8_t) X(u16, uint16_t) X(u32, uint32_t) X(u64, uint64_t)
#define DEFINE_GATHERS(t, T)                                                                       \
    DEFINE_GATHER(t, T, i32, int32_t)                                                              \
    DEFINE_GATHER(t, T, i64, int64_t)
WORD_TYPES(DEFINE_GATHERS)

static int finish(int64_t done, int64_t n, int64_t *bad) {
    if (done == n) return C2_OK;
    if (bad) *bad = done;
    return C2_INDEX;
}

int c2_fetch_add_at(int dtype, void *base, int64_t slots, const void *indices, int index_dtype,
                    const void *values, int value_step, int64_t n, void *before, int64_t *bad) {
    if (dtype == C2_BOOL || !c2_itemsize(dtype)) return C2_TYPE;
    int64_t done = c2_first_bad(indices, index_dtype, 0, n, slots);
    if (done < 0) return C2_TYPE;
    if (done < n) return finish(done, n, bad);
    switch (dtype) {
#define CALL(t, T, code, W)                                                                        \
    case code:                                                                                     \
        done = index_dtype == C2_INT32                                                             \
                   ? add_##t##_i32(base, slots, indices, values, value_step, n, before)            \
                   : add_##t##_i64(base, slots, indices, values, value_step, n, before);           \
        break;
        C2_NUMBER_TYPES(CALL)
#undef CALL
    }
    return finish(done, n, bad);
}

int c2_gather(int dtype, const void *base, int64_t slots, const void *indices, int index_dtype,
              int64_t n, void *out, int64_t *bad) {
    const int64_t size = c2_itemsize(dtype);
    if (!size) return C2_TYPE;
    int64_t done = c2_first_bad(indices, index_dtype, 0, n, slots);
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
