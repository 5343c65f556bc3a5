/* bulk.c against plain loops: values, wrapping, bad indices, and threads that lose nothing.
 * (test_scatter.c and test_dense.c have the operations that choose their way.) */
#define _GNU_SOURCE
#include "../bulk.c"

#include "random_state.h"
#include "threads.h"

enum { SLOTS = 257, N = 5000 };
static int64_t indices64[N];
static int32_t indices32[N];

static void draw_indices(void) {
    for (int k = 0; k < N; k++) {
        indices32[k] = (int32_t)(next_random() % (2 * SLOTS)) - SLOTS;
        indices64[k] = indices32[k];
    }
}

/* Small whole values, so that float sums are exact whatever the order. */
#define DEFINE_TEST(t, T, code, W)                                                                 \
    static void test_##t(const void *indices, int index_dtype, int step) {                         \
        T base[SLOTS], want[SLOTS], values[N], before[N], out[N], scale = 3;                       \
        int64_t bad = -1;                                                                          \
        for (int k = 0; k < SLOTS; k++)                                                            \
            base[k] = want[k] = (T)(k % 100);                                                      \
        for (int k = 0; k < N; k++)                                                                \
            values[k] = (T)(next_random() % 90 + 30);                                              \
        for (int k = 0; k < N; k++) {                                                              \
            T *slot = want + (indices32[k] < 0 ? indices32[k] + SLOTS : indices32[k]);             \
            out[k] = *slot; /* what the adds must find */                                          \
            *slot = (T)(*slot + values[step ? k : 0]);                                             \
        }                                                                                          \
        CHECK(c2_fetch_add_at(code, base, SLOTS, indices, index_dtype, values, step, N, before,    \
                              &bad) == C2_OK);                                                     \
        CHECK(!memcmp(base, want, sizeof base) && !memcmp(before, out, sizeof out));               \
        CHECK(c2_gather(code, base, SLOTS, indices, index_dtype, N, out, &bad) == C2_OK);          \
        for (int k = 0; k < N; k++)                                                                \
            CHECK(out[k] == want[indices32[k] < 0 ? indices32[k] + SLOTS : indices32[k]]);         \
        for (int k = 0; k < SLOTS; k++)                                                            \
            want[k] = (T)(want[k] + (T)(scale * values[k]));                                       \
        CHECK(c2_dense_add(code, base, values, &scale, SLOTS, 1) == C2_OK);                        \
        CHECK(!memcmp(base, want, sizeof base));                                                   \
    }
C2_NUMBER_TYPES(DEFINE_TEST)

TEST(like_plain_loops) {
    for (int step = 0; step < 2; step++) {
        draw_indices();
#define EACH(t, T, code, W)                                                                        \
    test_##t(indices32, C2_INT32, step);                                                           \
    test_##t(indices64, C2_INT64, step);
        C2_NUMBER_TYPES(EACH)
#undef EACH
    }
}

TEST(integers_wrap) {
    int16_t base = 32767, value = 1, scale = -32768, factor = 3;
    const int32_t index = -1;
    CHECK(c2_fetch_add_at(C2_INT16, &base, 1, &index, C2_INT32, &value, 0, 1, NULL, NULL) == C2_OK);
    CHECK(base == -32768);
    CHECK(c2_dense_add(C2_INT16, &base, &factor, &scale, 1, 1) == C2_OK);
    CHECK(base == 0); /* 3 * -32768 is -32768 in 16 bits */
}

/* A bad index anywhere leaves the array as it was, and is named by its position. */
TEST(a_bad_index_changes_nothing) {
    const int64_t wrong[] = {3, -4, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN};
    for (int w = 0; w < 6; w++)
        for (int position = 0; position < 40; position++) {
            int64_t wide[40] = {0}, bad = -1;
            int32_t narrow[40] = {0};
            float base[3] = {1, 2, 3}, one = 1, out[40];
            wide[position] = wrong[w];
            CHECK(c2_fetch_add_at(C2_FLOAT32, base, 3, wide, C2_INT64, &one, 0, 40, NULL, &bad) ==
                  C2_INDEX);
            CHECK(bad == position && base[0] == 1);
            CHECK(c2_gather(C2_FLOAT32, base, 3, wide, C2_INT64, 40, out, &bad) == C2_INDEX);
            CHECK(bad == position);
            if (w >= 4) continue;
            narrow[position] = (int32_t)wrong[w];
            CHECK(c2_fetch_add_at(C2_FLOAT32, base, 3, narrow, C2_INT32, &one, 0, 40, NULL, &bad) ==
                  C2_INDEX);
            CHECK(bad == position && base[0] == 1);
        }
    /* an empty array has no index at all, and no indices are fine on it */
    int64_t zero = 0, bad = -1;
    CHECK(c2_fetch_add_at(C2_INT64, NULL, 0, &zero, C2_INT64, &zero, 0, 1, NULL, &bad) == C2_INDEX);
    CHECK(c2_fetch_add_at(C2_INT64, NULL, 0, &zero, C2_INT64, &zero, 0, 0, NULL, &bad) == C2_OK);
}

TEST(other_types_are_refused) {
    int64_t x = 0;
    CHECK(c2_fetch_add_at(C2_BOOL, &x, 1, &x, C2_INT64, &x, 0, 1, NULL, NULL) == C2_TYPE);
    CHECK(c2_fetch_add_at(C2_INT64, &x, 1, &x, C2_UINT64, &x, 0, 1, NULL, NULL) == C2_TYPE);
    CHECK(c2_gather(C2_DTYPES, &x, 1, &x, C2_INT64, 1, &x, NULL) == C2_TYPE);
    CHECK(c2_dense_add(C2_BOOL, &x, &x, &x, 1, 1) == C2_TYPE);
    bool truth[2] = {false, true}, got[2];
    const int32_t swap[2] = {1, 0};
    CHECK(c2_gather(C2_BOOL, truth, 2, swap, C2_INT32, 2, got, NULL) == C2_OK);
    CHECK(got[0] && !got[1]);
}

/* Threads on the same slots: every add arrives, and each value before an add is seen once. */
enum { THREADS = 4, ROUNDS = 20 };
static int64_t shared_count[1], seen[THREADS][ROUNDS * N];
static double shared_sum[SLOTS];

static void *adder(void *arg) {
    static const int64_t zeros[N];
    const int64_t one = 1;
    const double half = 0.5;
    int64_t *mine = arg;
    for (int r = 0; r < ROUNDS; r++) {
        c2_fetch_add_at(C2_INT64, shared_count, 1, zeros, C2_INT64, &one, 0, N, mine + r * N, NULL);
        c2_fetch_add_at(C2_FLOAT64, shared_sum, SLOTS, indices32, C2_INT32, &half, 0, N, NULL,
                        NULL);
    }
    return NULL;
}

static int by_value(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

TEST(threads_lose_nothing) {
    pthread_t threads[THREADS];
    for (int t = 0; t < THREADS; t++)
        threads[t] = go(adder, seen[t]);
    for (int t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
    int64_t *all = &seen[0][0];
    qsort(all, THREADS * ROUNDS * N, sizeof *all, by_value);
    int64_t wrong = 0;
    for (int64_t k = 0; k < THREADS * ROUNDS * N; k++)
        wrong += all[k] != k;
    CHECK(wrong == 0 && shared_count[0] == THREADS * ROUNDS * N);
    double sum = 0;
    for (int k = 0; k < SLOTS; k++)
        sum += shared_sum[k];
    CHECK(sum == 0.5 * THREADS * ROUNDS * N);
}

/* A large table takes the loop that asks ahead. */
TEST(a_large_table) {
    const int64_t slots = 1 << 18;
    int64_t *base = calloc((size_t)slots, sizeof *base), sum = 0;
    int64_t *wide = malloc(N * sizeof *wide);
    const int64_t one = 1;
    for (int k = 0; k < N; k++)
        wide[k] = (int64_t)(next_random() % (uint64_t)slots) - slots;
    CHECK(c2_fetch_add_at(C2_INT64, base, slots, wide, C2_INT64, &one, 0, N, NULL, NULL) == C2_OK);
    for (int64_t k = 0; k < slots; k++)
        sum += base[k];
    CHECK(sum == N);
    free(base);
    free(wide);
}

/* Indices that change between the two passes never lead outside: the array has a fence around
 * it, and a writer flips an index between good and bad while adds run. */
static int64_t flipping[64];
static _Atomic int flip_stop;

static void *flipper(void *arg) {
    (void)arg;
    while (!load_rlx(&flip_stop)) {
        c2_i64_store(&flipping[40], 1000, C2_RELAXED);
        c2_i64_store(&flipping[40], 1, C2_RELAXED);
    }
    return NULL;
}

TEST(changing_indices_never_lead_outside) {
    static int64_t fenced[2048];
    const int64_t one = 1;
    const pthread_t thread = go(flipper, NULL);
    for (int r = 0; r < (SANITIZED ? 2000 : 20000); r++) {
        int64_t bad = -1;
        const int status =
            c2_fetch_add_at(C2_INT64, fenced, 8, flipping, C2_INT64, &one, 0, 64, NULL, &bad);
        CHECK(status == C2_OK || (status == C2_INDEX && bad == 40));
    }
    store_rlx(&flip_stop, 1);
    pthread_join(thread, NULL);
    for (int k = 8; k < 2048; k++)
        CHECK(fenced[k] == 0);
}

int main(void) {
    RUN(like_plain_loops);
    RUN(integers_wrap);
    RUN(a_bad_index_changes_nothing);
    RUN(other_types_are_refused);
    RUN(threads_lose_nothing);
    RUN(a_large_table);
    RUN(changing_indices_never_lead_outside);
    return report();
}
