/* Typed atomic operations on one element of the caller's memory, the order given at run time.
 *
 *     T    c2_<t>_load(p, order)                      relaxed, acquire, seq_cst
 *     void c2_<t>_store(p, v, order)                  relaxed, release, seq_cst
 *     T    c2_<t>_exchange(p, v, order)               any
 *     bool c2_<t>_compare_exchange(p, &e, v, order)   any; e gets what was there
 *     T    c2_<t>_fetch_add|sub|min|max(p, v, order)  any; the value before
 *     T    c2_<t>_fetch_and|or|xor(p, v, order)       integers
 *
 * for t in i8 ... u64, f32, f64, and b8 (a bool in one byte: no arithmetic). p is aligned to its
 * size; the caller checked. An order that the operation cannot have counts as seq_cst: callers
 * refuse it before. Written static inline, so that a constant order costs nothing.
 *
 * Integers wrap: the work is done on the unsigned word of the same size. Floats are their bits:
 * compare_exchange compares bits (so -0.0 is not 0.0, and a NaN is equal to itself), and add,
 * sub, min and max are compare-exchange loops. min and max of floats hand on a NaN, as
 * numpy.minimum does.
 *
 * The casts from T* to _Atomic word* rest on what the assertions below check: the same size,
 * and lock-free, so that an atomic word is the plain word in memory (gcc and clang promise it).
 */
#ifndef C2_SCALAR_H
#define C2_SCALAR_H

#include <string.h>
#include "atomic.h"
#include "dtype.h"

_Static_assert(ATOMIC_CHAR_LOCK_FREE == 2, "8-bit atomics must be lock-free");
_Static_assert(ATOMIC_SHORT_LOCK_FREE == 2, "16-bit atomics must be lock-free");
_Static_assert(ATOMIC_INT_LOCK_FREE == 2, "32-bit atomics must be lock-free");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics must be lock-free");
_Static_assert(sizeof(_Atomic uint8_t) == 1 && sizeof(_Atomic uint16_t) == 2 &&
                   sizeof(_Atomic uint32_t) == 4 && sizeof(_Atomic uint64_t) == 8,
               "an atomic word must be the word itself");
_Static_assert(sizeof(float) == 4 && sizeof(double) == 8 && sizeof(bool) == 1, "usual sizes");

/* A failed compare-exchange writes nothing, so it cannot release: its order is the success
 * order without that half. */
#define C2_READ_HALF(order)                                                                        \
    ((order) == memory_order_acq_rel   ? memory_order_acquire                                      \
     : (order) == memory_order_release ? memory_order_relaxed                                      \
                                       : (order))

/* CALL(order) for the C order that the enum c2_order names, constant in each branch. */
#define C2_BY_ORDER(order, CALL)                                                                   \
    switch (order) {                                                                               \
    case C2_RELAXED: CALL(memory_order_relaxed); break;                                            \
    case C2_ACQUIRE: CALL(memory_order_acquire); break;                                            \
    case C2_RELEASE: CALL(memory_order_release); break;                                            \
    case C2_ACQ_REL: CALL(memory_order_acq_rel); break;                                            \
    default: CALL(memory_order_seq_cst); break;                                                    \
    }

#define C2_BITS(t, T, W)                                                                           \
    static inline W c2_##t##_bits(T v) {                                                           \
        W w;                                                                                       \
        memcpy(&w, &v, sizeof w);                                                                  \
        return w;                                                                                  \
    }                                                                                              \
    static inline T c2_##t##_value(W w) {                                                          \
        T v;                                                                                       \
        memcpy(&v, &w, sizeof v);                                                                  \
        return v;                                                                                  \
    }

#define C2_MOVES(t, T, W)                                                                          \
    static inline T c2_##t##_load(const void *p, int order) {                                      \
        const _Atomic W *a = p;                                                                    \
        switch (order) {                                                                           \
        case C2_RELAXED: return c2_##t##_value(atomic_load_explicit(a, memory_order_relaxed));     \
        case C2_ACQUIRE: return c2_##t##_value(atomic_load_explicit(a, memory_order_acquire));     \
        default: return c2_##t##_value(atomic_load_explicit(a, memory_order_seq_cst));             \
        }                                                                                          \
    }                                                                                              \
    static inline void c2_##t##_store(void *p, T v, int order) {                                   \
        _Atomic W *a = p;                                                                          \
        const W w = c2_##t##_bits(v);                                                              \
        switch (order) {                                                                           \
        case C2_RELAXED: atomic_store_explicit(a, w, memory_order_relaxed); break;                 \
        case C2_RELEASE: atomic_store_explicit(a, w, memory_order_release); break;                 \
        default: atomic_store_explicit(a, w, memory_order_seq_cst); break;                         \
        }                                                                                          \
    }                                                                                              \
    static inline T c2_##t##_exchange(void *p, T v, int order) {                                   \
        _Atomic W *a = p;                                                                          \
        W w = c2_##t##_bits(v);                                                                    \
        C2_BY_ORDER(order, w = C2_EXCHANGE)                                                        \
        return c2_##t##_value(w);                                                                  \
    }                                                                                              \
    static inline bool c2_##t##_compare_exchange(void *p, T *expected, T v, int order) {           \
        _Atomic W *a = p;                                                                          \
        W e = c2_##t##_bits(*expected), w = c2_##t##_bits(v);                                      \
        bool swapped;                                                                              \
        C2_BY_ORDER(order, swapped = C2_COMPARE_EXCHANGE)                                          \
        *expected = c2_##t##_value(e);                                                             \
        return swapped;                                                                            \
    }
#define C2_EXCHANGE(o)         atomic_exchange_explicit(a, w, o)
#define C2_COMPARE_EXCHANGE(o) atomic_compare_exchange_strong_explicit(a, &e, w, o, C2_READ_HALF(o))

/* One instruction of the hardware on the unsigned word. */
#define C2_NATIVE_RMW(t, T, W, name)                                                               \
    static inline T c2_##t##_fetch_##name(void *p, T v, int order) {                               \
        _Atomic W *a = p;                                                                          \
        W w = (W)v;                                                                                \
        C2_BY_ORDER(order, w = C2_FETCH_##name)                                                    \
        return (T)w;                                                                               \
    }
#define C2_FETCH_add(o) atomic_fetch_add_explicit(a, w, o)
#define C2_FETCH_sub(o) atomic_fetch_sub_explicit(a, w, o)
#define C2_FETCH_and(o) atomic_fetch_and_explicit(a, w, o)
#define C2_FETCH_or(o)  atomic_fetch_or_explicit(a, w, o)
#define C2_FETCH_xor(o) atomic_fetch_xor_explicit(a, w, o)

/* A loop around compare-exchange; NEXT is the new value from `old` and `v`. A weak exchange may
 * fail for no reason, and the loop tries again anyway. It writes even where the value stays, so
 * that the operation has its order in every case. */
#define C2_LOOP_RMW(t, T, W, name, NEXT)                                                           \
    static inline T c2_##t##_fetch_##name(void *p, T v, int order) {                               \
        _Atomic W *a = p;                                                                          \
        W e = atomic_load_explicit(a, memory_order_relaxed);                                       \
        T old;                                                                                     \
        bool done;                                                                                 \
        do {                                                                                       \
            old = c2_##t##_value(e);                                                               \
            const W w = c2_##t##_bits(NEXT);                                                       \
            C2_BY_ORDER(order, done = C2_COMPARE_EXCHANGE_WEAK)                                    \
        } while (!done);                                                                           \
        return old;                                                                                \
    }
#define C2_COMPARE_EXCHANGE_WEAK(o)                                                                \
    atomic_compare_exchange_weak_explicit(a, &e, w, o, C2_READ_HALF(o))

#define C2_DEFINE_INT(t, T, code, W)                                                               \
    C2_BITS(t, T, W)                                                                               \
    C2_MOVES(t, T, W)                                                                              \
    C2_NATIVE_RMW(t, T, W, add)                                                                    \
    C2_NATIVE_RMW(t, T, W, sub)                                                                    \
    C2_NATIVE_RMW(t, T, W, and)                                                                    \
    C2_NATIVE_RMW(t, T, W, or)                                                                     \
    C2_NATIVE_RMW(t, T, W, xor)                                                                    \
    C2_LOOP_RMW(t, T, W, min, v < old ? v : old)                                                   \
    C2_LOOP_RMW(t, T, W, max, v > old ? v : old)

#define C2_DEFINE_FLOAT(t, T, code, W)                                                             \
    C2_BITS(t, T, W)                                                                               \
    C2_MOVES(t, T, W)                                                                              \
    C2_LOOP_RMW(t, T, W, add, old + v)                                                             \
    C2_LOOP_RMW(t, T, W, sub, old - v)                                                             \
    C2_LOOP_RMW(t, T, W, min, old != old || old < v ? old : v)                                     \
    C2_LOOP_RMW(t, T, W, max, old != old || old > v ? old : v)

C2_INT_TYPES(C2_DEFINE_INT)
C2_FLOAT_TYPES(C2_DEFINE_FLOAT)

/* A byte that somebody else wrote may be neither 0 nor 1: any that is not 0 is true. */
static inline uint8_t c2_b8_bits(bool v) {
    return v;
}
static inline bool c2_b8_value(uint8_t w) {
    return w != 0;
}
C2_MOVES(b8, bool, uint8_t)

#endif
