/* The dense add with wide.c against element-wise adds, its twin, from every offset; and threads and
 * processes that add in words of 4, 8 and 16 bytes at the same time and lose nothing. */
#define _GNU_SOURCE
#include "../wide.c"

#include "dense.h"

#include "scalar.h"
#include "threads.h"

enum { N = 4001, ROUNDS = SANITIZED ? 40 : 400 };

#define LIKE_ELEMENTS(t, T, code)                                                                  \
    static void like_elements_##t(int offset, int64_t n) {                                         \
        static _Alignas(64) T base[N + 16], want[N + 16], values[N + 16];                          \
        const T scale = (T) - 0.37;                                                                \
        for (int k = 0; k < N + 16; k++) {                                                         \
            base[k] = want[k] = (T)(k % 50) / 3;                                                   \
            values[k] = (T)(k % 7) / 11;                                                           \
        }                                                                                          \
        for (int64_t k = 0; k < n; k++)                                                            \
            c2_##t##_fetch_add(want + offset + k, scale * values[k + 1], C2_RELAXED);              \
        c2_dense_add(code, base + offset, values + 1, &scale, n, 1);                               \
        CHECK(!memcmp(base, want, sizeof base));                                                   \
    }
LIKE_ELEMENTS(f32, float, C2_FLOAT32)
LIKE_ELEMENTS(f64, double, C2_FLOAT64)

TEST(like_element_wise_adds) {
    for (int offset = 0; offset < 9; offset++) {
        for (int64_t n = 0; n < 40; n++) {
            like_elements_f32(offset, n);
            like_elements_f64(offset, n);
        }
        like_elements_f32(offset, N);
        like_elements_f64(offset, N);
    }
}

/* ---- nothing is lost --------------------------------------------------------------------------
 */

typedef struct sums {
    _Atomic int ready; /* they begin together */
    _Alignas(64) float f32[N];
    _Alignas(64) double f64[N];
} sums;
static float ones_f32[N];
static double ones_f64[N];

enum { WAYS = 4 };
static sums *begin(void *arg) {
    sums *s = arg;
    add_acq_rel(&s->ready, 1);
    while (load_acq(&s->ready) < WAYS)
        c2_os_relax();
    return s;
}

static void by_wide(void *arg) {
    sums *s = begin(arg);
    const float one_f32 = 1;
    const double one_f64 = 1;
    for (int r = 0; r < ROUNDS; r++) {
        c2_dense_add(C2_FLOAT32, s->f32, ones_f32, &one_f32, N, 1);
        c2_dense_add(C2_FLOAT64, s->f64 + 1, ones_f64, &one_f64, N - 1, 1);
    }
}
static void by_words(void *arg) { /* of 8 bytes, two elements or one */
    sums *s = begin(arg);
    for (int r = 0; r < ROUNDS; r++) {
        for (int k = 0; k < N - 1; k += 2) {
            float *const pair = s->f32 + k;
            uint64_t seen = c2_u64_load((uint64_t *)pair, C2_RELAXED), next;
            do {
                float lanes[2];
                memcpy(lanes, &seen, 8);
                lanes[0]++, lanes[1]++;
                memcpy(&next, lanes, 8);
            } while (!c2_u64_compare_exchange((uint64_t *)pair, &seen, next, C2_RELAXED));
        }
        c2_f32_fetch_add(s->f32 + N - 1, 1, C2_RELAXED);
        for (int k = 1; k < N; k++)
            c2_f64_fetch_add(s->f64 + k, 1, C2_RELAXED);
    }
}
static void by_elements(void *arg) {
    sums *s = begin(arg);
    for (int r = 0; r < ROUNDS; r++)
        for (int k = 0; k < N; k++) {
            c2_f32_fetch_add(s->f32 + k, 1, C2_RELAXED);
            if (k) c2_f64_fetch_add(s->f64 + k, 1, C2_RELAXED);
        }
}
static void (*const ways[WAYS])(void *) = {by_wide, by_wide, by_words, by_elements};

static void check_sums(const sums *s) {
    int wrong = s->f64[0] != 0;
    for (int k = 0; k < N; k++)
        wrong += s->f32[k] != WAYS * ROUNDS || (k && s->f64[k] != WAYS * ROUNDS);
    CHECK_EQ(wrong, 0);
}

static sums of_threads;
static void *work(void *way) {
    ways[(intptr_t)way](&of_threads);
    return NULL;
}

TEST(threads_lose_nothing) {
    pthread_t threads[WAYS];
    for (intptr_t k = 0; k < WAYS; k++)
        threads[k] = go(work, (void *)k);
    for (int k = 0; k < WAYS; k++)
        pthread_join(threads[k], NULL);
    check_sums(&of_threads);
}

TEST(processes_lose_nothing) {
    sums *s = shared_memory(sizeof *s);
    pid_t pids[WAYS];
    for (int k = 0; k < WAYS; k++)
        pids[k] = child(ways[k], s);
    for (int k = 0; k < WAYS; k++)
        join_child(pids[k]);
    check_sums(s);
}

int main(void) {
    for (int k = 0; k < N; k++)
        ones_f32[k] = 1, ones_f64[k] = 1;
    RUN(like_element_wise_adds);
    RUN(threads_lose_nothing);
    RUN(processes_lose_nothing);
    return report();
}
