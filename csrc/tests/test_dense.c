/* The dense add, exact and in stripes, against plain loops; threads and processes that lose
 * nothing, each towards those whom dense.c promises; a process that dies in its stripe. */
#define _GNU_SOURCE
#include "../dense_stripes.c"

#include "threads.h"

enum {
    N = 50001, /* float32: two chunks */
    ROUNDS = SANITIZED ? 20 : 60
};

/* From every offset within a word, so that the first and the last elements stand alone. */
#define DEFINE_TEST(t, T, code, W)                                                                 \
    static void test_##t(int offset, int threads, int way) {                                       \
        static T base[N + 16], want[N + 16], values[N + 16];                                       \
        uint64_t locks[3] = {0};                                                                   \
        const T scale = (T)(way == 0 ? 3 : 1);                                                     \
        for (int k = 0; k < N + 16; k++) {                                                         \
            base[k] = want[k] = (T)(k % 50);                                                       \
            values[k] = (T)(k % 7);                                                                \
        }                                                                                          \
        for (int k = offset; k < N - offset; k++)                                                  \
            want[k] = SUM_OF_##t(W, want[k], scale * values[k + 1]);                               \
        const int64_t n = N - 2 * offset;                                                          \
        int status = C2_OK;                                                                        \
        if (way == 0)                                                                              \
            status = c2_dense_add(code, base + offset, values + offset + 1, &scale, n, threads);   \
        else if (way == 1)                                                                         \
            status = c2_dense_add_striped(code, base + offset, values + offset + 1, &scale, n,     \
                                          threads, NULL, 0);                                       \
        else if (way == 2)                                                                         \
            status = c2_dense_add_striped(code, base + offset, values + offset + 1, &scale, n,     \
                                          threads, locks, 3);                                      \
        else if (way == 3)                                                                         \
            c2_dense_add_sparse(code, base + offset, values + offset + 1, n);                      \
        else                                                                                       \
            c2_dense_plain(code, base + offset, values + offset + 1, NULL, n, offset % 2);         \
        CHECK_EQ(status, C2_OK);                                                                   \
        CHECK(!memcmp(base, want, sizeof base));                                                   \
        CHECK(!locks[0] && !locks[1] && !locks[2]);                                                \
    }
#define SUM_OF_INT(W, x, y) (W)((W)(x) + (W)(y))
#define SUM_OF_i8           SUM_OF_INT
#define SUM_OF_i16          SUM_OF_INT
#define SUM_OF_i32          SUM_OF_INT
#define SUM_OF_i64          SUM_OF_INT
#define SUM_OF_u8           SUM_OF_INT
#define SUM_OF_u16          SUM_OF_INT
#define SUM_OF_u32          SUM_OF_INT
#define SUM_OF_u64          SUM_OF_INT
#define SUM_OF_f32(W, x, y) ((x) + (y))
#define SUM_OF_f64(W, x, y) ((x) + (y))
C2_NUMBER_TYPES(DEFINE_TEST)

TEST(like_plain_loops) {
    for (int way = 0; way < 5; way++)
        for (int offset = 0; offset < 9; offset++) {
#define EACH(t, T, code, W) test_##t(offset, 1 + offset % 3, way);
            C2_NUMBER_TYPES(EACH)
#undef EACH
        }
}

TEST(integers_wrap_in_their_own_lane) {
    int8_t base[8] = {127, -128, -1, 1, 127, 0, -1, 5};
    const int8_t one[8] = {1, -1, 1, 1, 1, 0, 1, 1}, scale = 1;
    const int8_t want[8] = {-128, 127, 0, 2, -128, 0, 0, 6};
    CHECK(c2_dense_add(C2_INT8, base, one, &scale, 8, 1) == C2_OK);
    CHECK(!memcmp(base, want, 8));
}

TEST(wrong_arguments_are_refused) {
    int64_t x = 0;
    CHECK(c2_dense_add(C2_BOOL, &x, &x, &x, 1, 1) == C2_TYPE);
    CHECK(c2_dense_add(C2_DTYPES, &x, &x, &x, 1, 1) == C2_TYPE);
    CHECK(c2_dense_add_striped(C2_BOOL, &x, &x, &x, 1, 1, NULL, 0) == C2_TYPE);
    CHECK(c2_dense_add_striped(C2_INT64, &x, &x, &x, 1, 1, &x, 0) == C2_VALUE);
    CHECK(c2_dense_add(C2_INT64, &x, NULL, &x, 0, 1) == C2_OK);
}

/* ---- exact: towards everybody ----------------------------------------------------------- */

static float floats[N];
static int8_t bytes[N];

static void *by_words(void *arg) {
    static float ones[N];
    static int8_t threes[N];
    const float scale_f = 1;
    const int8_t scale_b = 1;
    static _Atomic int filled;
    if (!add_acq_rel(&filled, 1))
        for (int k = 0; k < N; k++) {
            c2_f32_store(ones + k, 1, C2_RELAXED);
            c2_i8_store(threes + k, 3, C2_RELAXED);
        }
    for (int r = 0; r < ROUNDS; r++) {
        c2_dense_add(C2_FLOAT32, floats, ones, &scale_f, N, 1 + r % 2);
        c2_dense_add(C2_INT8, bytes, threes, &scale_b, N, 1);
    }
    return NULL;
}
static void *by_elements(void *arg) {
    for (int r = 0; r < ROUNDS; r++)
        for (int k = 0; k < N; k++) {
            c2_f32_fetch_add(floats + k, 1, C2_RELAXED);
            c2_i8_fetch_add(bytes + k, 1, C2_RELAXED);
        }
    return NULL;
}

TEST(exact_adds_lose_nothing_towards_single_ones) {
    pthread_t threads[2] = {go(by_words, NULL), go(by_elements, NULL)};
    for (int k = 0; k < 2; k++)
        pthread_join(threads[k], NULL);
    int wrong = 0;
    for (int k = 0; k < N; k++)
        wrong += floats[k] != 2 * ROUNDS || bytes[k] != (int8_t)(4 * ROUNDS);
    CHECK_EQ(wrong, 0);
}

/* ---- in stripes: towards those with the same locks --------------------------------------- */

enum { LOCKS = 2 };
typedef struct shared {
    float sums[N];
    _Alignas(8) uint64_t locks[LOCKS];
    _Atomic int step;
} shared;

static void add_striped(shared *s, bool given) {
    float ones[N], scale = 2;
    for (int k = 0; k < N; k++)
        ones[k] = 1;
    for (int r = 0; r < ROUNDS; r++)
        CHECK_EQ(c2_dense_add_striped(C2_FLOAT32, s->sums, ones, &scale, N,
                                      SANITIZED && given ? 1 : 1 + r % 2, given ? s->locks : NULL,
                                      given ? LOCKS : 0),
                 C2_OK);
}
static void *striped_thread(void *arg) {
    add_striped(arg, false);
    return NULL;
}
static void striped_child(void *arg) {
    add_striped(arg, true);
}

static void check_sums(const shared *s, float want) {
    int wrong = 0;
    for (int k = 0; k < N; k++)
        wrong += s->sums[k] != want;
    CHECK_EQ(wrong, 0);
}

TEST(striped_threads_lose_nothing) {
    static shared s;
    pthread_t threads[3];
    for (int k = 0; k < 3; k++)
        threads[k] = go(striped_thread, &s);
    for (int k = 0; k < 3; k++)
        pthread_join(threads[k], NULL);
    check_sums(&s, 3 * 2 * ROUNDS);
}

TEST(striped_processes_lose_nothing) {
    shared *s = shared_memory(sizeof *s);
    pid_t pids[3];
    for (int k = 0; k < 3; k++)
        pids[k] = child(striped_child, s);
    for (int k = 0; k < 3; k++)
        join_child(pids[k]);
    check_sums(s, 3 * 2 * ROUNDS);
}

/* Enough stripes for three threads of a call, while two calls of one thread each go through the
 * same array: runs meet, and are put off. Locks that few stripes share are met by a call's own
 * threads. */
enum { LARGE = 3 * EACH * STRIPE / sizeof(float) + 7, CALLS = SANITIZED ? 4 : 40 };
typedef struct large {
    float sums[LARGE], ones[LARGE];
    _Alignas(8) uint64_t locks[5];
    bool given;
} large;

static void *add_large(void *arg, int threads) {
    large *l = arg;
    const float scale = 1;
    for (int r = 0; r < CALLS; r++)
        CHECK_EQ(c2_dense_add_striped(C2_FLOAT32, l->sums + 3, l->ones, &scale, LARGE - 3, threads,
                                      l->given ? l->locks : NULL, l->given ? 5 : 0),
                 C2_OK);
    return NULL;
}
static void *alone(void *arg) {
    return add_large(arg, 1);
}
static void *in_threads(void *arg) {
    return add_large(arg, 3);
}

TEST(calls_that_meet_lose_nothing) {
    static large l;
    for (int k = 0; k < (int)LARGE; k++)
        l.ones[k] = 1;
    for (int given = 0; given < 2; given++) {
        l.given = given;
        pthread_t threads[3] = {go(alone, &l), go(in_threads, &l), go(alone, &l)};
        for (int k = 0; k < 3; k++)
            pthread_join(threads[k], NULL);
        int wrong = 0;
        for (int k = 0; k < (int)LARGE; k++)
            wrong += l.sums[k] != (k < 3 ? 0 : (float)(3 * CALLS * (given + 1)));
        CHECK_EQ(wrong, 0);
        CHECK_EQ(load_rlx(&at_work), 0);
    }
}

TEST(calls_begin_far_apart) {
    int64_t want[] = {0, 32, 16, 48, 8, 40, 24, 56};
    for (int j = 0; j < 8; j++)
        CHECK_EQ(beginning(j, 64), want[j]);
    CHECK_EQ(beginning(-1, 64), 0);
    for (int j = 0; j < 32; j++) {
        CHECK_EQ(come(), j);
        CHECK(beginning(j, 3) < 3);
    }
    CHECK_EQ(come(), -1);
    leave(-1);
    leave(5);
    CHECK_EQ(come(), 5);
    for (int j = 0; j < 32; j++)
        leave(j);
    CHECK_EQ(load_rlx(&at_work), 0);
}

enum { STRIPES = PUT_OFF + 6, MANY = STRIPES * STRIPE / sizeof(float) };
static float many[MANY], many_ones[MANY];
static uint64_t many_locks[STRIPES];

static void *add_many(void *unused) {
    const float scale = 1;
    CHECK_EQ(
        c2_dense_add_striped(C2_FLOAT32, many, many_ones, &scale, MANY, 1, many_locks, STRIPES),
        C2_OK);
    return NULL;
}

/* Every stripe is held. As many as there is room for are put off; then one is waited for. */
TEST(a_stripe_is_waited_for_when_many_are_held) {
    for (int k = 0; k < (int)MANY; k++)
        many_ones[k] = 1;
    for (int k = 0; k < STRIPES; k++)
        mutex_lock((_Atomic uint64_t *)&many_locks[k], -1);
    const pthread_t thread = go(add_many, NULL);
    while (!(load_rlx((_Atomic uint64_t *)&many_locks[PUT_OFF]) & C2_MUTEX_WAITERS))
        nap();
    CHECK(!(load_rlx((_Atomic uint64_t *)&many_locks[0]) & C2_MUTEX_WAITERS));
    for (int k = 0; k < STRIPES; k++)
        mutex_give((_Atomic uint64_t *)&many_locks[k]);
    pthread_join(thread, NULL);
    int wrong = 0;
    for (int k = 0; k < (int)MANY; k++)
        wrong += many[k] != 1;
    CHECK_EQ(wrong, 0);
}

static void dies_with_a_lock(void *arg) {
    shared *s = arg;
    mutex_lock((_Atomic uint64_t *)s->locks, -1);
}

TEST(a_death_is_told_and_the_values_are_added) {
    shared *s = shared_memory(sizeof *s);
    join_child(child(dies_with_a_lock, s));
    float ones[N], scale = 1;
    for (int k = 0; k < N; k++)
        ones[k] = 1;
    CHECK_EQ(c2_dense_add_striped(C2_FLOAT32, s->sums, ones, &scale, N, 1, s->locks, LOCKS),
             C2_OWNER_DIED);
    check_sums(s, 1);
    CHECK_EQ(c2_dense_add_striped(C2_FLOAT32, s->sums, ones, &scale, N, 1, s->locks, LOCKS), C2_OK);
    check_sums(s, 2);
}

TEST(a_caller_who_holds_a_lock_is_told) {
    static shared s;
    float one = 1;
    CHECK_EQ(mutex_lock((_Atomic uint64_t *)s.locks, -1), C2_OK);
    CHECK_EQ(c2_dense_add_striped(C2_FLOAT32, s.sums, &one, &one, 1, 1, s.locks, LOCKS),
             C2_DEADLOCK);
    CHECK(s.sums[0] == 0);
    CHECK_EQ(mutex_give((_Atomic uint64_t *)s.locks), C2_OK);
}

/* A lock that a thread of the parent holds at the fork is not held in the child. */
static void adds_after_fork(void *arg) {
    shared *s = arg;
    const float one = 1;
    CHECK_EQ(c2_dense_add_striped(C2_FLOAT32, s->sums, &one, &one, 1, 1, NULL, 0), C2_OK);
}

TEST(a_child_has_locks_of_its_own) {
    static shared s;
    const float one = 1;
    CHECK_EQ(c2_dense_add_striped(C2_FLOAT32, s.sums, &one, &one, 1, 1, NULL, 0), C2_OK);
    for (int k = 0; k < OWN_LOCKS; k++)
        mutex_lock(&own_locks[k].word, -1);
    join_child(child(adds_after_fork, &s));
    for (int k = 0; k < OWN_LOCKS; k++)
        mutex_give(&own_locks[k].word);
}

int main(void) {
    RUN(like_plain_loops);
    RUN(integers_wrap_in_their_own_lane);
    RUN(wrong_arguments_are_refused);
    RUN(exact_adds_lose_nothing_towards_single_ones);
    RUN(striped_threads_lose_nothing);
    RUN(striped_processes_lose_nothing);
    RUN(calls_that_meet_lose_nothing);
    RUN(calls_begin_far_apart);
    RUN(a_stripe_is_waited_for_when_many_are_held);
    RUN(a_death_is_told_and_the_values_are_added);
    RUN(a_caller_who_holds_a_lock_is_told);
    RUN(a_child_has_locks_of_its_own);
    return report();
}
