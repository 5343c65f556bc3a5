/* base[k] += scale * values[k] as the processor does it best: plain adds on memory that nobody
 * else changes meanwhile, because it is the caller's own or because a lock is held.
 *
 * The memory decides how long it takes, so the loops are about bytes on their way:
 *
 *   vectors     of 32 bytes where the processor has them: from the third-level cache, 16 at a time
 *               take a fifth longer (Zen 5). 64 are no faster there, and slower where the array
 *               does not begin at a cache line.
 *   alignment   a few elements first, then every store is within a cache line.
 *   requests    the processor sees a stream of reads coming, but begins anew with every page of
 *               4 KiB. Lines that are asked for AHEAD bytes early bridge that: nothing on a quiet
 *               machine, a quarter of the time where others use the third-level cache. Arrays
 *               that come from main memory are left to the processor, which is 3-5 % better
 *               at those: hence `near`.
 *
 * The sums are the same, bit for bit, whichever loop runs: no product is fused with its sum (C11
 * mode does not contract), and a product with 1 is left out only because it is the value itself.
 */
#include "dense.h"

enum { LINE = 64, BLOCK = 512, AHEAD = 4096 };

/* A sign makes no difference to what wraps: one loop for each width. 1u *: of 32 bits at least and
 * without sign, as 16-bit operands would become ints, and overflow. */
#define PRODUCT_INT(x, s)   (1u * (s) * (x))
#define PRODUCT_FLOAT(x, s) ((s) * (x))
#define ALWAYS_INLINE       static inline __attribute__((always_inline))

#define DEFINE_LOOP(t, T, PRODUCT)                                                                 \
    ALWAYS_INLINE void block_##t(T *restrict base, const T *restrict values, T scale, int64_t n,   \
                                 const bool scaled) {                                              \
        for (int64_t k = 0; k < n; k++)                                                            \
            base[k] = (T)(base[k] + (scaled ? PRODUCT(values[k], scale) : values[k]));             \
    }                                                                                              \
    ALWAYS_INLINE void blocks_##t(T *base, const T *values, T scale, int64_t n, bool near,         \
                                  const bool scaled) {                                             \
        enum { N = BLOCK / sizeof(T) };                                                            \
        int64_t k = (int64_t)(-(uintptr_t)base % LINE / sizeof(T));                                \
        if (k > n) k = n;                                                                          \
        block_##t(base, values, scale, k, scaled);                                                 \
        for (; n - k >= N; k += N) {                                                               \
            for (int line = 0; near && line < BLOCK; line += LINE) {                               \
                C2_REQUEST(base + k, AHEAD + (uintptr_t)line, 1, 1);                               \
                C2_REQUEST(values + k, AHEAD + (uintptr_t)line, 1, 0);                             \
            }                                                                                      \
            block_##t(base + k, values + k, scale, N, scaled);                                     \
        }                                                                                          \
        block_##t(base + k, values + k, scale, n - k, scaled);                                     \
    }                                                                                              \
    ALWAYS_INLINE void add_##t(void *base, const void *values, const void *scale, int64_t n,       \
                               bool near) {                                                        \
        const T factor = scale ? *(const T *)scale : (T)1;                                         \
        if (factor == 1)                                                                           \
            blocks_##t(base, values, 1, n, near, false);                                           \
        else                                                                                       \
            blocks_##t(base, values, factor, n, near, true);                                       \
    }
#define WORDS(X)                                                                                   \
    X(u8, uint8_t, PRODUCT_INT)                                                                    \
    X(u16, uint16_t, PRODUCT_INT)                                                                  \
    X(u32, uint32_t, PRODUCT_INT)                                                                  \
    X(u64, uint64_t, PRODUCT_INT)                                                                  \
    X(f32, float, PRODUCT_FLOAT)                                                                   \
    X(f64, double, PRODUCT_FLOAT)
WORDS(DEFINE_LOOP)

ALWAYS_INLINE void add(int dtype, void *base, const void *values, const void *scale, int64_t n,
                       bool near) {
    switch (dtype) {
    case C2_INT8:
    case C2_UINT8: add_u8(base, values, scale, n, near); break;
    case C2_INT16:
    case C2_UINT16: add_u16(base, values, scale, n, near); break;
    case C2_INT32:
    case C2_UINT32: add_u32(base, values, scale, n, near); break;
    case C2_INT64:
    case C2_UINT64: add_u64(base, values, scale, n, near); break;
    case C2_FLOAT32: add_f32(base, values, scale, n, near); break;
    case C2_FLOAT64: add_f64(base, values, scale, n, near); break;
    }
}

#if defined(__x86_64__)
__attribute__((target("avx2,prfchw"))) static void
add_wide(int dtype, void *base, const void *values, const void *scale, int64_t n, bool near) {
    add(dtype, base, values, scale, n, near);
}
#endif

void c2_dense_plain(int dtype, void *base, const void *values, const void *scale, int64_t n,
                    bool near) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        add_wide(dtype, base, values, scale, n, near);
        return;
    }
#endif
    add(dtype, base, values, scale, n, near);
}
