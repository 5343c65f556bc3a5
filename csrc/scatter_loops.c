/* The loops of the scatter-add, one for each element type, index type and method.
 *
 * Where an index is looked at, it is read once (indices.h); the branch on a bad one is never taken,
 * and costs nothing. On memory of one's own, adds are plain: integers as unsigned words, which
 * wrap.
 */
#include "scatter.h"

#define PLUS_INT(T, W, x, y)   ((T)(W)((W)(x) + (W)(y)))
#define PLUS_FLOAT(T, W, x, y) ((x) + (y))

#define DIRECT(t, T, W, PLUS, i, I)                                                                \
    C2_FOR_WRITING static inline int64_t direct_loop_##t##_##i(const c2_adds *a, int64_t from,     \
                                                               int64_t to, const int64_t ahead) {  \
        T *base = a->base;                                                                         \
        const I *indices = a->indices;                                                             \
        const T *values = a->values;                                                               \
        const int64_t slots = a->slots, mask = a->value_mask;                                      \
        for (int64_t k = from; k < to; k++) {                                                      \
            if (ahead && k + ahead < to)                                                           \
                C2_REQUEST(base, slot_##i(indices, k + ahead, slots), sizeof(T), 1);               \
            const uint64_t slot = slot_##i(indices, k, slots);                                     \
            if (slot >= (uint64_t)slots) return k;                                                 \
            c2_##t##_fetch_add(base + slot, values[k & mask], C2_RELAXED);                         \
        }                                                                                          \
        return to;                                                                                 \
    }                                                                                              \
    C2_FOR_WRITING static int64_t direct_##t##_##i(const c2_adds *a, int64_t from, int64_t to) {   \
        return a->slots * (int64_t)sizeof(T) > C2_LARGE_TABLE                                      \
                   ? direct_loop_##t##_##i(a, from, to, C2_AHEAD)                                  \
                   : direct_loop_##t##_##i(a, from, to, 0);                                        \
    }

/* The fastest of the loops, a nanosecond for three elements: a negative index is a branch here,
 * which costs nothing where there are none, and whether all add the same value is constant. The
 * address in `copy` is formed from a slot that was checked; a request for one that was not is
 * only a request. */
#define PRIVATE(t, T, W, PLUS, i, I)                                                               \
    static inline int64_t private_loop_##t##_##i(const c2_adds *a, T *copy, int64_t from,          \
                                                 int64_t to, const int64_t ahead,                  \
                                                 const int64_t mask) {                             \
        const I *indices = a->indices;                                                             \
        const T *values = a->values;                                                               \
        const uint64_t slots = (uint64_t)a->slots;                                                 \
        for (int64_t k = from; k < to; k++) {                                                      \
            if (ahead && k + ahead < to)                                                           \
                C2_REQUEST(copy, slot_##i(indices, k + ahead, a->slots), sizeof(T), 1);            \
            uint64_t slot = (uint64_t)(int64_t)c2_##i##_load(indices + k, C2_RELAXED);             \
            if (__builtin_expect(slot >= slots, 0)) {                                              \
                slot += slots;                                                                     \
                if (slot >= slots) return k;                                                       \
            }                                                                                      \
            copy[slot] = PLUS(T, W, copy[slot], values[k & mask]);                                 \
        }                                                                                          \
        return to;                                                                                 \
    }                                                                                              \
    static int64_t private_##t##_##i(const c2_adds *a, void *copy, int64_t from, int64_t to) {     \
        const bool large = a->slots * (int64_t)sizeof(T) > C2_LARGE_TABLE;                         \
        if (large) return private_loop_##t##_##i(a, copy, from, to, C2_AHEAD, a->value_mask);      \
        return a->value_mask ? private_loop_##t##_##i(a, copy, from, to, 0, -1)                    \
                             : private_loop_##t##_##i(a, copy, from, to, 0, 0);                    \
    }

/* Block by block. First every element goes both ways, without a branch on which is the right one
 * (a third of them would be predicted wrongly, at 5 ns each): its value, or 0, into the sums, and
 * itself onto the list of the cold, whose end moves only where it is cold. Then the cold ones. */
enum { BLOCK = 512 };
#define CACHED(t, T, W, PLUS, i, I)                                                                \
    C2_FOR_WRITING static int64_t cached_##t##_##i(const c2_adds *a, T *sums, int64_t from,        \
                                                   int64_t to) {                                   \
        T *base = a->base;                                                                         \
        const I *indices = a->indices;                                                             \
        const T *values = a->values;                                                               \
        const int64_t slots = a->slots, mask = a->value_mask;                                      \
        uint32_t cold[BLOCK + C2_AHEAD] = {0}; /* requests look beyond its end */                  \
        T amount[BLOCK];                                                                           \
        while (from < to) {                                                                        \
            const int64_t end = to - from < BLOCK ? to : from + BLOCK;                             \
            int64_t k = from, n = 0;                                                               \
            for (; k < end; k++) {                                                                 \
                const uint64_t slot = slot_##i(indices, k, slots);                                 \
                if (__builtin_expect(slot >= (uint64_t)slots, 0)) break;                           \
                const T value = values[k & mask];                                                  \
                const uint32_t place = hot_place((uint32_t)slot);                                  \
                const bool is_cold = a->hot->slot[place] != (uint32_t)slot;                        \
                cold[n] = (uint32_t)slot;                                                          \
                amount[n] = value;                                                                 \
                n += is_cold;                                                                      \
                /* bits, not ?:, of which gcc makes a branch for floats */                         \
                const W kept = (W)(c2_##t##_bits(value) & (W)((W)is_cold - 1));                    \
                sums[place] = PLUS(T, W, sums[place], c2_##t##_value(kept));                       \
            }                                                                                      \
            for (int64_t j = 0; j < C2_AHEAD; j++)                                                 \
                C2_REQUEST(base, (uint64_t)cold[j], sizeof(T), 1);                                 \
            for (int64_t j = 0; j < n; j++) {                                                      \
                C2_REQUEST(base, (uint64_t)cold[j + C2_AHEAD], sizeof(T), 1);                      \
                c2_##t##_fetch_add(base + cold[j], amount[j], C2_RELAXED);                         \
            }                                                                                      \
            if (k < end) return k;                                                                 \
            from = end;                                                                            \
        }                                                                                          \
        return to;                                                                                 \
    }

#define FLUSH(t, T, W)                                                                             \
    static void flush_##t(const c2_adds *a, const T *sums) {                                       \
        T *base = a->base;                                                                         \
        for (int place = 0; place < C2_HOT; place++)                                               \
            if (a->hot->slot[place] != C2_NO_SLOT && c2_##t##_bits(sums[place]))                   \
                c2_##t##_fetch_add(base + a->hot->slot[place], sums[place], C2_RELAXED);           \
    }

#define BOTH(LOOP, t, T, W, PLUS)                                                                  \
    LOOP(t, T, W, PLUS, i32, int32_t)                                                              \
    LOOP(t, T, W, PLUS, i64, int64_t)
#define DEFINE_INT(t, T, code, W)                                                                  \
    BOTH(DIRECT, t, T, W, PLUS_INT)                                                                \
    BOTH(PRIVATE, t, T, W, PLUS_INT) BOTH(CACHED, t, T, W, PLUS_INT) FLUSH(t, T, W)
#define DEFINE_FLOAT(t, T, code, W)                                                                \
    BOTH(DIRECT, t, T, W, PLUS_FLOAT)                                                              \
    BOTH(PRIVATE, t, T, W, PLUS_FLOAT) BOTH(CACHED, t, T, W, PLUS_FLOAT) FLUSH(t, T, W)

/* A sign makes no difference to a sum that wraps: one set of loops for each width. */
#define WORDS(X)                                                                                   \
    X(u8, uint8_t, C2_UINT8, uint8_t)                                                              \
    X(u16, uint16_t, C2_UINT16, uint16_t)                                                          \
    X(u32, uint32_t, C2_UINT32, uint32_t)                                                          \
    X(u64, uint64_t, C2_UINT64, uint64_t)
WORDS(DEFINE_INT)
C2_FLOAT_TYPES(DEFINE_FLOAT)

static int word_of(int dtype) {
    return dtype >= C2_INT8 && dtype <= C2_INT64 ? dtype + (C2_UINT8 - C2_INT8) : dtype;
}

#define CHOOSE(CALL)                                                                               \
    switch (word_of(a->dtype)) {                                                                   \
        WORDS(CALL)                                                                                \
        C2_FLOAT_TYPES(CALL)                                                                       \
    default: return -1;                                                                            \
    }

int64_t c2_adds_direct(const c2_adds *a, int64_t from, int64_t to) {
#define CALL(t, T, code, W)                                                                        \
    case code:                                                                                     \
        return a->index_dtype == C2_INT32 ? direct_##t##_i32(a, from, to)                          \
                                          : direct_##t##_i64(a, from, to);
    CHOOSE(CALL)
#undef CALL
}

int64_t c2_adds_private(const c2_adds *a, void *copy, int64_t from, int64_t to) {
#define CALL(t, T, code, W)                                                                        \
    case code:                                                                                     \
        return a->index_dtype == C2_INT32 ? private_##t##_i32(a, copy, from, to)                   \
                                          : private_##t##_i64(a, copy, from, to);
    CHOOSE(CALL)
#undef CALL
}

int64_t c2_adds_cached(const c2_adds *a, void *sums, int64_t from, int64_t to) {
#define CALL(t, T, code, W)                                                                        \
    case code:                                                                                     \
        return a->index_dtype == C2_INT32 ? cached_##t##_i32(a, sums, from, to)                    \
                                          : cached_##t##_i64(a, sums, from, to);
    CHOOSE(CALL)
#undef CALL
}

void c2_adds_flush(const c2_adds *a, const void *sums) {
    switch (word_of(a->dtype)) {
#define CALL(t, T, code, W)                                                                        \
    case code: flush_##t(a, sums); break;
        WORDS(CALL)
        C2_FLOAT_TYPES(CALL)
#undef CALL
    }
}
