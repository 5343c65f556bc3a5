/* See wide.h.
 *
 * Towards operations of other sizes on parts of the 16 bytes: x86-64 locks the cache line for the
 * length of the exchange, and an aligned 16 bytes lie in one line; so it comes before or after any
 * other atomic instruction there, and after it no part is of another time. (The C standard speaks
 * of objects of one size only: the exchange is the processor's promise, hence assembly.) The load
 * before it is of two words, which may be of two times: then the exchange fails and says what is
 * there.
 */
#include "wide.h"

#include "atomic.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WATCHED 1
#endif
#endif

#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__) && !defined(WATCHED)

#include <cpuid.h>
#include <emmintrin.h>
#include <stdbool.h>

static bool has_cmpxchg16b(void) {
    static _Atomic int known; /* 0: not asked; 1: no; 2: yes. All who ask get the same answer. */
    int answer = load_rlx(&known);
    if (!answer) {
        unsigned a, b, c = 0, d;
        answer = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_CMPXCHG16B) ? 2 : 1;
        store_rlx(&known, answer);
    }
    return answer == 2;
}

typedef struct pair {
    uint64_t low, high;
} pair;

static inline __m128i vector_of(pair p) {
    return _mm_set_epi64x((long long)p.high, (long long)p.low);
}
static inline pair pair_of(__m128i v) {
    return (pair){(uint64_t)_mm_cvtsi128_si64(v),
                  (uint64_t)_mm_cvtsi128_si64(_mm_srli_si128(v, 8))};
}

/* As cas_rlx (it orders more, as every locked instruction does). `at` is aligned to 16 bytes. */
static inline bool exchange(void *at, pair *seen, pair next) {
    bool done;
    __asm__ volatile("lock cmpxchg16b %1"
                     : "=@ccz"(done), "+m"(*(char (*)[16])at), "+a"(seen->low), "+d"(seen->high)
                     : "b"(next.low), "c"(next.high)
                     : "memory");
    return done;
}

/* V is a vector of T; SUM(bits, delta) the bits of the sum. */
#define WIDE(t, T, V, LOAD, SET, MUL, SUM)                                                         \
    static inline void add_16_##t(void *at, V delta) {                                             \
        _Atomic uint64_t *words = at;                                                              \
        pair seen = {load_rlx(words), load_rlx(words + 1)}, next;                                  \
        do                                                                                         \
            next = pair_of(SUM(vector_of(seen), delta));                                           \
        while (__builtin_expect(!exchange(at, &seen, next), 0));                                   \
    }                                                                                              \
    int64_t c2_wide_add_##t(T *base, const T *values, T scale, int64_t n) {                        \
        enum { LANES = 16 / sizeof(T) };                                                           \
        int64_t k = 0;                                                                             \
        if (n < LANES || !has_cmpxchg16b()) return 0;                                              \
        for (; n - k >= LANES; k += LANES)                                                         \
            add_16_##t(base + k, MUL(SET(scale), LOAD(values + k)));                               \
        return k;                                                                                  \
    }
#define SUM_F32(bits, delta) _mm_castps_si128(_mm_add_ps(_mm_castsi128_ps(bits), delta))
#define SUM_F64(bits, delta) _mm_castpd_si128(_mm_add_pd(_mm_castsi128_pd(bits), delta))
WIDE(f32, float, __m128, _mm_loadu_ps, _mm_set1_ps, _mm_mul_ps, SUM_F32)
WIDE(f64, double, __m128d, _mm_loadu_pd, _mm_set1_pd, _mm_mul_pd, SUM_F64)

#else

int64_t c2_wide_add_f32(float *base, const float *values, float scale, int64_t n) {
    return 0;
}
int64_t c2_wide_add_f64(double *base, const double *values, double scale, int64_t n) {
    return 0;
}

#endif
