/* Found before the system's: every atomic operation of the sources becomes a call of the model.
 *
 * `_Atomic` stays the compiler's keyword. An object's bytes always hold the newest value, so that
 * initialisers, calloc and memset work as they do outside; who reads or writes one without naming
 * an operation gets a link error (the sources are compiled with -fsanitize=thread, and nobody
 * defines its __tsan_atomic functions). Fences are refused: the house rule of atomic.h.
 */
#ifndef C2_MODEL_STDATOMIC_H
#define C2_MODEL_STDATOMIC_H

#include <stdint.h>

typedef enum memory_order {
    memory_order_relaxed,
    memory_order_consume,
    memory_order_acquire,
    memory_order_release,
    memory_order_acq_rel,
    memory_order_seq_cst
} memory_order;

#define ATOMIC_BOOL_LOCK_FREE    2
#define ATOMIC_CHAR_LOCK_FREE    2
#define ATOMIC_SHORT_LOCK_FREE   2
#define ATOMIC_INT_LOCK_FREE     2
#define ATOMIC_LONG_LOCK_FREE    2
#define ATOMIC_LLONG_LOCK_FREE   2
#define ATOMIC_POINTER_LOCK_FREE 2

enum model_rmw { MODEL_SWAP, MODEL_ADD, MODEL_SUB, MODEL_AND, MODEL_OR, MODEL_XOR };

uint64_t model_load(const volatile void *word, int size, int order);
void model_store(volatile void *word, int size, uint64_t value, int order);
uint64_t model_rmw(volatile void *word, int size, int what, uint64_t value, int order);
int model_cas(volatile void *word, int size, uint64_t *expected, uint64_t value, int order,
              int failure);

#define MODEL_TYPE(p)        __typeof__((void)0, *(p))
#define MODEL_BITS(p, v)     ((uint64_t)(MODEL_TYPE(p))(v))
#define MODEL_VALUE(p, bits) ((MODEL_TYPE(p))(uintptr_t)(bits))
#define MODEL_RMW(p, what, v, o)                                                                   \
    __extension__({ /* a block, so that nobody warns where the value is not used */                \
                    MODEL_VALUE(p, model_rmw((p), (int)sizeof *(p), what, MODEL_BITS(p, v), (o))); \
    })

#define atomic_load_explicit(p, o)     MODEL_VALUE(p, model_load((p), (int)sizeof *(p), (o)))
#define atomic_store_explicit(p, v, o) model_store((p), (int)sizeof *(p), MODEL_BITS(p, v), (o))

#define atomic_exchange_explicit(p, v, o)  MODEL_RMW(p, MODEL_SWAP, v, o)
#define atomic_fetch_add_explicit(p, v, o) MODEL_RMW(p, MODEL_ADD, v, o)
#define atomic_fetch_sub_explicit(p, v, o) MODEL_RMW(p, MODEL_SUB, v, o)
#define atomic_fetch_and_explicit(p, v, o) MODEL_RMW(p, MODEL_AND, v, o)
#define atomic_fetch_or_explicit(p, v, o)  MODEL_RMW(p, MODEL_OR, v, o)
#define atomic_fetch_xor_explicit(p, v, o) MODEL_RMW(p, MODEL_XOR, v, o)

#define atomic_compare_exchange_strong_explicit(p, e, v, o, f)                                     \
    __extension__({                                                                                \
        __auto_type model_e = (e);                                                                 \
        uint64_t model_x = MODEL_BITS(p, *model_e);                                                \
        const int model_ok =                                                                       \
            model_cas((p), (int)sizeof *(p), &model_x, MODEL_BITS(p, v), (o), (f));                \
        if (!model_ok) *model_e = MODEL_VALUE(p, model_x);                                         \
        model_ok;                                                                                  \
    })
#define atomic_compare_exchange_weak_explicit atomic_compare_exchange_strong_explicit

#define atomic_load(p)         atomic_load_explicit(p, memory_order_seq_cst)
#define atomic_store(p, v)     atomic_store_explicit(p, v, memory_order_seq_cst)
#define atomic_exchange(p, v)  atomic_exchange_explicit(p, v, memory_order_seq_cst)
#define atomic_fetch_add(p, v) atomic_fetch_add_explicit(p, v, memory_order_seq_cst)
#define atomic_fetch_sub(p, v) atomic_fetch_sub_explicit(p, v, memory_order_seq_cst)
#define atomic_fetch_and(p, v) atomic_fetch_and_explicit(p, v, memory_order_seq_cst)
#define atomic_fetch_or(p, v)  atomic_fetch_or_explicit(p, v, memory_order_seq_cst)
#define atomic_fetch_xor(p, v) atomic_fetch_xor_explicit(p, v, memory_order_seq_cst)
#define atomic_compare_exchange_strong(p, e, v)                                                    \
    atomic_compare_exchange_strong_explicit(p, e, v, memory_order_seq_cst, memory_order_seq_cst)
#define atomic_compare_exchange_weak atomic_compare_exchange_strong

/* Before the object is shared: a plain write, as the standard has it. */
#define atomic_init(p, v) (*(MODEL_TYPE(p) *)(uintptr_t)(p) = (v))

#define atomic_thread_fence(o) _Static_assert(0, "no fences: the order belongs on the operation")
#define atomic_signal_fence(o) _Static_assert(0, "no fences: the order belongs on the operation")

#endif
