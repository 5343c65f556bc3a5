/* Atomic operations with the memory order in the name.
 *
 * The engine's own words (locks, counters, published pointers) are declared _Atomic and go
 * through the first group: a reader sees the order at the call, and the order is defined once.
 * The second group works on memory that the caller owns, where the order is a run-time
 * argument: that is scalar.h.
 *
 * C11's fences are not used anywhere: ThreadSanitizer ignores them, so an order that lives on
 * the operation is the only one that can be checked.
 */
#ifndef C2_ATOMIC_H
#define C2_ATOMIC_H

#include <stdatomic.h>

#define load_rlx(p) atomic_load_explicit((p), memory_order_relaxed)
#define load_acq(p) atomic_load_explicit((p), memory_order_acquire)
#define load_sc(p)  atomic_load_explicit((p), memory_order_seq_cst)

#define store_rlx(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define store_rel(p, v) atomic_store_explicit((p), (v), memory_order_release)
#define store_sc(p, v)  atomic_store_explicit((p), (v), memory_order_seq_cst)

#define swap_acq(p, v)     atomic_exchange_explicit((p), (v), memory_order_acquire)
#define swap_rel(p, v)     atomic_exchange_explicit((p), (v), memory_order_release)
#define swap_acq_rel(p, v) atomic_exchange_explicit((p), (v), memory_order_acq_rel)

#define add_rlx(p, v)     atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
#define add_rel(p, v)     atomic_fetch_add_explicit((p), (v), memory_order_release)
#define add_sc(p, v)      atomic_fetch_add_explicit((p), (v), memory_order_seq_cst)
#define add_acq_rel(p, v) atomic_fetch_add_explicit((p), (v), memory_order_acq_rel)
#define sub_acq_rel(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_acq_rel)
#define and_rlx(p, v)     atomic_fetch_and_explicit((p), (v), memory_order_relaxed)
#define or_acq_rel(p, v)  atomic_fetch_or_explicit((p), (v), memory_order_acq_rel)

/* compare-exchange: strong; on failure *expected gets what was there, read relaxed, or with the
 * acquire half where the name has one. */
#define cas_rlx(p, expected, v)                                                                    \
    atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_relaxed,            \
                                            memory_order_relaxed)
#define cas_acq(p, expected, v)                                                                    \
    atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_acquire,            \
                                            memory_order_relaxed)
#define cas_rel(p, expected, v)                                                                    \
    atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_release,            \
                                            memory_order_relaxed)
#define cas_acq_rel(p, expected, v)                                                                \
    atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_acq_rel,            \
                                            memory_order_acquire)

#endif
