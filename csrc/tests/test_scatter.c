/* The scatter-add, by every method and on several threads, against plain loops; what is chosen;
 * bad indices; and writers of all methods at once, in threads and processes, that lose nothing. */
#define _GNU_SOURCE
#include "../scatter.c"

#include "random_state.h"
#include "threads.h"

enum { METHODS = 4, SLOTS = 257, N = SANITIZED ? 20000 : 40000 };
static int64_t indices64[N];
static int32_t indices32[N];

/* Half of them on eight slots, so that every method has hot ones and cold ones. */
static void draw_indices(int64_t slots) {
    for (int k = 0; k < N; k++) {
        const int64_t slot = (int64_t)(next_random() % (uint64_t)(k % 2 ? slots : 8));
        indices32[k] = (int32_t)(k % 3 ? slot : slot - slots);
        indices64[k] = indices32[k];
    }
}

static int64_t slot_in(int64_t index, int64_t slots) {
    return index < 0 ? index + slots : index;
}

/* Small whole values, so that float sums are exact whatever the order. */
#define DEFINE_TEST(t, T, code, W)                                                                 \
    static void test_##t(int64_t slots, const void *indices, int index_dtype, int step,            \
                         int method, int threads) {                                                \
        static T values[N];                                                                        \
        T *base = malloc((size_t)slots * sizeof(T)), *want = malloc((size_t)slots * sizeof(T));    \
        int64_t bad = -1;                                                                          \
        c2_add_report r;                                                                           \
        for (int64_t k = 0; k < slots; k++)                                                        \
            base[k] = want[k] = (T)(k % 100);                                                      \
        for (int k = 0; k < N; k++)                                                                \
            values[k] = (T)(next_random() % 90 + 30);                                              \
        for (int k = 0; k < N; k++) {                                                              \
            T *slot = want + slot_in(indices32[k], slots);                                         \
            *slot = (T)(*slot + values[step ? k : 0]);                                             \
        }                                                                                          \
        CHECK_EQ(c2_add_at(code, base, slots, indices, index_dtype, values, step, N, method,       \
                           threads, &r, &bad),                                                     \
                 C2_OK);                                                                           \
        CHECK(!memcmp(base, want, (size_t)slots * sizeof(T)));                                     \
        CHECK(method == C2_ADD_AUTO ? r.method != C2_ADD_AUTO : r.method == method);               \
        CHECK(r.threads >= 1 && r.threads <= threads && r.writers == threads);                     \
        CHECK((r.scratch > 0) == (r.method != C2_ADD_DIRECT));                                     \
        free(base);                                                                                \
        free(want);                                                                                \
    }
C2_NUMBER_TYPES(DEFINE_TEST)

TEST(like_plain_loops) {
    for (int method = 0; method < METHODS; method++)
        for (int threads = 1; threads <= 3; threads++) {
            const int64_t slots = threads == 2 ? 1 << 19 : SLOTS; /* 1 << 19: asks ahead */
            const int step = threads % 2;
            draw_indices(slots);
#define EACH(t, T, code, W)                                                                        \
    test_##t(slots, indices32, C2_INT32, step, method, threads);                                   \
    test_##t(slots, indices64, C2_INT64, !step, method, threads);
            C2_NUMBER_TYPES(EACH)
#undef EACH
        }
}

/* A bad index anywhere, on any thread, leaves the array as it was; the first one is named. */
TEST(a_bad_index_changes_nothing) {
    const int64_t wrong[] = {SLOTS, -SLOTS - 1, INT64_MAX, INT64_MIN};
    for (int method = 0; method < METHODS; method++)
        for (int round = 0; round < 12; round++) {
            draw_indices(SLOTS);
            const int64_t first = (int64_t)(next_random() % N);
            indices64[first] = wrong[round % 4];
            for (int64_t k = first; k < N; k += 5000)
                indices64[k] = wrong[round % 4];
            float base[SLOTS] = {0}, none[SLOTS] = {0}, one = 1;
            int64_t bad = -1;
            CHECK_EQ(c2_add_at(C2_FLOAT32, base, SLOTS, indices64, C2_INT64, &one, 0, N, method,
                               1 + round % 3, NULL, &bad),
                     C2_INDEX);
            CHECK_EQ(bad, first);
            CHECK(!memcmp(base, none, sizeof base));
        }
    int64_t zero = 0, bad = -1; /* an empty array has no index, and no indices are fine on it */
    for (int method = 0; method < METHODS; method++) {
        CHECK(c2_add_at(C2_INT64, NULL, 0, &zero, C2_INT64, &zero, 0, 1, method, 1, NULL, &bad) ==
              C2_INDEX);
        CHECK(c2_add_at(C2_INT64, NULL, 0, &zero, C2_INT64, &zero, 0, 0, method, 1, NULL, &bad) ==
              C2_OK);
    }
}

TEST(wrong_arguments_are_refused) {
    int64_t x = 0;
#define TRY(dtype, slots, index_dtype, method, threads)                                            \
    c2_add_at(dtype, &x, slots, &x, index_dtype, &x, 0, 1, method, threads, NULL, NULL)
    CHECK(TRY(C2_BOOL, 1, C2_INT64, 0, 1) == C2_TYPE);
    CHECK(TRY(C2_INT64, 1, C2_UINT64, 0, 1) == C2_TYPE);
    CHECK(TRY(C2_INT64, 1, C2_INT64, 4, 1) == C2_VALUE);
    CHECK(TRY(C2_INT64, 1, C2_INT64, -1, 1) == C2_VALUE);
    CHECK(TRY(C2_INT64, 1, C2_INT64, 0, 0) == C2_VALUE);
    CHECK(TRY(C2_INT64, UINT32_MAX, C2_INT64, C2_ADD_CACHED, 1) == C2_VALUE);
    CHECK(x == 0);
}

/* ---- the choice ------------------------------------------------------------------------- */

static c2_add_report chosen(int64_t slots, int64_t n, int64_t hot_slots, int threads) {
    int32_t *indices = malloc((size_t)n * sizeof *indices);
    int64_t *base = calloc((size_t)slots, sizeof *base), one = 1;
    c2_add_report r;
    for (int64_t k = 0; k < n; k++)
        indices[k] = (int32_t)(next_random() % (uint64_t)(k % 2 ? hot_slots : slots));
    CHECK_EQ(c2_add_at(C2_INT64, base, slots, indices, C2_INT32, &one, 0, n, 0, threads, &r, NULL),
             C2_OK);
    free(indices);
    free(base);
    return r;
}

TEST(the_choice_suits_the_indices) {
    CHECK_EQ(chosen(1000, 20000, 1000, 1).method, C2_ADD_PRIVATE);
    CHECK_EQ(chosen(1000, 20000, 1000, 2).method, C2_ADD_PRIVATE);
    CHECK_EQ(chosen(20000, 20000, 20000, 1).method, C2_ADD_DIRECT);
    CHECK_EQ(chosen(20000, 20000, 10, 1).method, C2_ADD_PRIVATE); /* hot: pays earlier */
    CHECK_EQ(chosen(1 << 22, 20000, 1 << 22, 1).method, C2_ADD_DIRECT);
    CHECK_EQ(chosen(1 << 22, 20000, 100, 1).method, C2_ADD_CACHED);
    CHECK_EQ(chosen(1 << 22, 20000, 100, 2).method, C2_ADD_CACHED);
    CHECK_EQ(chosen(10, 20, 10, 8).method, C2_ADD_DIRECT); /* hardly worth a malloc */
    /* One in ten on hot slots pays only where others contend for them. */
    c2_adds a = {.dtype = C2_INT64, .index_dtype = C2_INT32, .slots = 1 << 22, .n = 20000};
    int32_t *indices = malloc(20000 * sizeof *indices);
    for (int k = 0; k < 20000; k++)
        indices[k] = (int32_t)(next_random() % (next_random() % 8 ? 1 << 22 : 4));
    a.indices = indices;
    double repeated;
    CHECK_EQ(c2_adds_choose(&a, 1, 1, &repeated), C2_ADD_DIRECT);
    CHECK(repeated > 0.05 && repeated < 0.2);
    CHECK_EQ(c2_adds_choose(&a, 1, 2, &repeated), C2_ADD_CACHED);
    free(indices);
    /* Copies of 16 MB: four are allowed, eight are not. Half as large, they pay at half the adds.
     */
    static int32_t few[2048];
    a = (c2_adds){.dtype = C2_INT64, .index_dtype = C2_INT32, .slots = 1 << 21, .indices = few};
    a.n = 15000000;
    CHECK_EQ(c2_adds_choose(&a, 1, 1, &repeated), C2_ADD_PRIVATE);
    CHECK(repeated == -1);
    a.slots = 1000;
    a.n = 2048;
    CHECK_EQ(c2_adds_choose(&a, 1, 1, &repeated), C2_ADD_PRIVATE);
    a.n = 1024;
    CHECK_EQ(c2_adds_choose(&a, 1, 1, &repeated), C2_ADD_DIRECT);
    a.dtype = C2_FLOAT32;
    CHECK_EQ(c2_adds_choose(&a, 1, 1, &repeated), C2_ADD_PRIVATE);
    a.n = 63;
    a.slots = 1;
    CHECK_EQ(c2_adds_choose(&a, 1, 1, &repeated), C2_ADD_DIRECT);
    const int64_t big = 1 << 21;
    indices = calloc((size_t)(4 * big), sizeof *indices);
    a = (c2_adds){.dtype = C2_INT64, .index_dtype = C2_INT32, .slots = big, .indices = indices};
    a.n = 4 * big;
    CHECK_EQ(c2_adds_choose(&a, 4, 4, &repeated), C2_ADD_PRIVATE);
    CHECK_EQ(c2_adds_choose(&a, 8, 8, &repeated), C2_ADD_CACHED);
    CHECK(repeated > 0.9);
    a.slots++;
    CHECK_EQ(c2_adds_choose(&a, 1, 1, &repeated), C2_ADD_CACHED);
    free(indices);
}

/* ---- together --------------------------------------------------------------------------- */

enum { ROUNDS = 12 };
typedef struct table {
    _Alignas(64) int64_t counts[SLOTS];
    double sums[SLOTS];
} table;
typedef struct worker {
    table *t;
    int method; /* METHODS: by single operations */
    int threads;
} worker;

/* Adds 1 to the counts and 0.5 to the sums at every index, ROUNDS times. */
static void work(const worker *w) {
    const int64_t one = 1;
    const double half = 0.5;
    for (int r = 0; r < ROUNDS; r++)
        if (w->method == METHODS) {
            for (int k = 0; k < N; k++) {
                c2_i64_fetch_add(w->t->counts + slot_in(indices64[k], SLOTS), 1, C2_RELAXED);
                c2_f64_fetch_add(w->t->sums + slot_in(indices64[k], SLOTS), 0.5, C2_RELAXED);
            }
        } else {
            const int threads = 1 + r % w->threads;
            CHECK_EQ(c2_add_at(C2_INT64, w->t->counts, SLOTS, indices64, C2_INT64, &one, 0, N,
                               w->method, threads, NULL, NULL),
                     C2_OK);
            CHECK_EQ(c2_add_at(C2_FLOAT64, w->t->sums, SLOTS, indices32, C2_INT32, &half, 0, N,
                               w->method, threads, NULL, NULL),
                     C2_OK);
        }
}
static void *work_in_thread(void *arg) {
    work(arg);
    return NULL;
}
static void work_in_child(void *arg) {
    work(arg);
}

static void check_table(const table *t, int workers) {
    int64_t hits[SLOTS] = {0}, wrong = 0;
    for (int k = 0; k < N; k++)
        hits[slot_in(indices64[k], SLOTS)]++;
    for (int k = 0; k < SLOTS; k++) {
        const int64_t want = hits[k] * workers * ROUNDS;
        wrong += t->counts[k] != want || t->sums[k] != 0.5 * (double)want;
    }
    CHECK_EQ(wrong, 0);
}

TEST(threads_of_all_methods_lose_nothing) {
    static table t;
    worker workers[METHODS + 1];
    pthread_t threads[METHODS + 1];
    draw_indices(SLOTS);
    for (int k = 0; k <= METHODS; k++) {
        workers[k] = (worker){&t, k, 2};
        threads[k] = go(work_in_thread, workers + k);
    }
    for (int k = 0; k <= METHODS; k++)
        pthread_join(threads[k], NULL);
    check_table(&t, METHODS + 1);
}

TEST(processes_of_all_methods_lose_nothing) {
    table *t = shared_memory(sizeof *t);
    worker workers[METHODS + 1];
    pid_t pids[METHODS + 1];
    draw_indices(SLOTS);
    for (int k = 0; k <= METHODS; k++) {
        workers[k] = (worker){t, k, SANITIZED ? 1 : 2}; /* TSan: no threads after a fork */
        pids[k] = child(work_in_child, workers + k);
    }
    for (int k = 0; k <= METHODS; k++)
        join_child(pids[k]);
    check_table(t, METHODS + 1);
}

/* Indices that change between the two passes never lead outside: the array has a fence around
 * it, and a writer flips an index between good and bad while adds run. */
static int64_t flipping[20000];
static _Atomic int flip_stop;

static void *flipper(void *arg) {
    while (!load_rlx(&flip_stop)) {
        c2_i64_store(&flipping[9000], 1000, C2_RELAXED);
        c2_i64_store(&flipping[9000], 1, C2_RELAXED);
    }
    return NULL;
}

TEST(changing_indices_never_lead_outside) {
    static int64_t fenced[2048];
    const int64_t one = 1;
    const pthread_t thread = go(flipper, NULL);
    for (int r = 0; r < (SANITIZED ? 200 : 4000); r++) {
        int64_t bad = -1;
        const int status = c2_add_at(C2_INT64, fenced, 8, flipping, C2_INT64, &one, 0, 20000,
                                     r % METHODS, 1 + r / METHODS % 2, NULL, &bad);
        CHECK(status == C2_OK || (status == C2_INDEX && bad == 9000));
    }
    store_rlx(&flip_stop, 1);
    pthread_join(thread, NULL);
    for (int k = 8; k < 2048; k++)
        CHECK(fenced[k] == 0);
}

int main(void) {
    RUN(like_plain_loops);
    RUN(a_bad_index_changes_nothing);
    RUN(wrong_arguments_are_refused);
    RUN(the_choice_suits_the_indices);
    RUN(threads_of_all_methods_lose_nothing);
    RUN(processes_of_all_methods_lose_nothing);
    RUN(changing_indices_never_lead_outside);
    return report();
}
