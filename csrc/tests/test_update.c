/* update.h's adds and stripes.h: like plain loops in every mode and memory; nobody's atomic add is
 * lost, those of others included, from before the memory is opened until after. */
#define _GNU_SOURCE
#include "../stripes.c"

#include <string.h>

#include "scalar.h"
#include "threads.h"
#include "update.h"

enum {
    N = 50000, /* float32: 6 or 7 stripes, the first and the last in part */
    ROUNDS = SANITIZED ? 30 : 300,
    ADDERS = 2
};

static const c2_update atomically = {.atomic = true}, racily = {.atomic = false};

static c2_blob *blob_of(int dtype, int64_t n) {
    c2_blob *b = c2_blob_new();
    CHECK_EQ(c2_blob_feed(b, dtype, 1, &n, NULL), C2_OK);
    return b;
}

/* The blob's tensor as a target; the caller is inside a guard. */
static c2_target target_of(c2_blob *b, const c2_update *u) {
    return c2_update_target(u, c2_blob_tensor(b));
}

static int32_t access_of(c2_blob *b) {
    return load_acq(&c2_memory_of(c2_blob_tensor(b))->access);
}

/* ---- against plain loops ------------------------------------------------------------------ */

#define LIKE_PLAIN(t, T, code)                                                                     \
    static void like_plain_##t(c2_blob *b, const c2_update *u, int64_t from, int64_t n) {          \
        static T want[N], by[N];                                                                   \
        c2_guard_enter();                                                                          \
        const c2_target target = target_of(b, u);                                                  \
        T *p = (T *)target.data;                                                                   \
        for (int64_t k = 0; k < N; k++) {                                                          \
            p[k] = want[k] = (T)(k % 50);                                                          \
            by[k] = (T)(k % 7) / 3;                                                                \
        }                                                                                          \
        for (int64_t k = 0; k < n; k++)                                                            \
            want[from + k] += (T) - 0.3 * by[k];                                                   \
        c2_update_add(u, &target, from, by, -0.3, n);                                              \
        CHECK(!memcmp(p, want, sizeof want));                                                      \
        c2_guard_leave();                                                                          \
    }
LIKE_PLAIN(f32, float, C2_FLOAT32)
LIKE_PLAIN(f64, double, C2_FLOAT64)

static void like_plain(c2_blob *f32, c2_blob *f64, const c2_update *u) {
    static const int64_t parts[][2] = {{0, N}, {0, 0}, {1, 1}, {3, N - 5}, {8191, 4099}};
    for (int k = 0; k < 5; k++) {
        like_plain_f32(f32, u, parts[k][0], parts[k][1]);
        like_plain_f64(f64, u, parts[k][0], parts[k][1]);
    }
}

TEST(like_plain_loops) {
    static _Alignas(8) double borrowed_f64[N];
    static float borrowed_f32[N];
    const int64_t n = N;
    c2_blob *own[] = {blob_of(C2_FLOAT32, N), blob_of(C2_FLOAT64, N)};
    c2_blob *borrowed[] = {c2_blob_new(), c2_blob_new()};
    CHECK_EQ(c2_blob_share(borrowed[0], C2_FLOAT32, 1, &n, borrowed_f32), C2_OK);
    CHECK_EQ(c2_blob_share(borrowed[1], C2_FLOAT64, 1, &n, borrowed_f64), C2_OK);
    like_plain(own[0], own[1], &racily);
    like_plain(own[0], own[1], &atomically);
    CHECK_EQ(access_of(own[0]), C2_MEMORY_CLOSED); /* nobody else came */
    like_plain(borrowed[0], borrowed[1], &atomically);
    c2_memory_open(c2_memory_of(c2_blob_tensor(own[0])));
    c2_memory_open(c2_memory_of(c2_blob_tensor(own[1])));
    CHECK_EQ(access_of(own[0]), C2_MEMORY_OPEN);
    like_plain(own[0], own[1], &atomically);
    for (int k = 0; k < 2; k++) {
        c2_blob_free(own[k]);
        c2_blob_free(borrowed[k]);
    }
}

/* ---- who opens, and what stays ------------------------------------------------------------- */

TEST(an_address_that_is_kept_opens_the_memory) {
    c2_blob *b = blob_of(C2_FLOAT32, N);
    void *memory;
    c2_guard_enter();
    CHECK_EQ(access_of(b), C2_MEMORY_CLOSED);
    CHECK(c2_blob_keep(b, &memory) != NULL);
    CHECK_EQ(access_of(b), C2_MEMORY_OPEN);
    const int64_t fewer = N - 1;
    const c2_tensor *t;
    CHECK_EQ(c2_blob_resize(b, C2_FLOAT32, 1, &fewer, &t), C2_OK); /* the same memory */
    CHECK_EQ(access_of(b), C2_MEMORY_OPEN);
    CHECK_EQ(c2_blob_feed(b, C2_FLOAT32, 1, &fewer, NULL), C2_OK); /* memory of its own */
    CHECK_EQ(access_of(b), C2_MEMORY_CLOSED);
    c2_guard_leave();
    c2_memory_let_go(memory);
    c2_blob_free(b);
}

/* ---- threads ------------------------------------------------------------------------------- */

static c2_blob *shared;
static float ones[N];
static _Atomic int begun, by_single; /* adders at work; rounds of single adds that were made */

static void *add_rounds(void *arg) {
    c2_guard_enter();
    const c2_target target = target_of(shared, &atomically);
    for (int r = 0; r < ROUNDS; r++) {
        c2_update_add(&atomically, &target, 0, ones, 1, N);
        add_acq_rel(&begun, 1);
    }
    c2_guard_leave();
    return NULL;
}

/* Comes when the others are well on their way, opens, and adds at once. */
static void *open_and_add(void *arg) {
    while (load_acq(&begun) < ROUNDS / 4)
        c2_os_relax();
    c2_guard_enter();
    const c2_tensor *t = c2_blob_tensor(shared);
    c2_memory_open(c2_memory_of(t));
    for (int r = 0; r < ROUNDS / 4; r++) {
        for (int k = 0; k < N; k++)
            c2_f32_fetch_add((float *)t->data + k, 1, C2_RELAXED);
        add_acq_rel(&by_single, 1);
    }
    c2_guard_leave();
    return NULL;
}

static void run_threads(int openers) {
    shared = blob_of(C2_FLOAT32, N);
    store_rlx(&begun, 0);
    store_rlx(&by_single, 0);
    pthread_t threads[ADDERS + 2];
    for (int k = 0; k < ADDERS + openers; k++)
        threads[k] = go(k < ADDERS ? add_rounds : open_and_add, NULL);
    for (int k = 0; k < ADDERS + openers; k++)
        pthread_join(threads[k], NULL);
    c2_guard_enter();
    const float *p = c2_blob_tensor(shared)->data;
    int wrong = 0;
    for (int k = 0; k < N; k++)
        wrong += p[k] != (float)(ADDERS * ROUNDS + load_rlx(&by_single));
    CHECK_EQ(wrong, 0);
    CHECK_EQ(access_of(shared), openers ? C2_MEMORY_OPEN : C2_MEMORY_CLOSED);
    c2_guard_leave();
    c2_blob_free(shared);
}

TEST(adders_lose_nothing) {
    run_threads(0);
}
TEST(one_who_opens_loses_nothing) {
    for (int k = 0; k < (SANITIZED ? 1 : 4); k++)
        run_threads(1);
}
TEST(two_who_open_lose_nothing) {
    for (int k = 0; k < (SANITIZED ? 1 : 4); k++)
        run_threads(2);
}

/* ---- forks ----------------------------------------------------------------------------------- */

static void adds_after_fork(void *arg) {
    c2_guard_enter();
    const c2_target target = target_of(shared, &atomically);
    c2_update_add(&atomically, &target, 0, ones, 1, N);
    CHECK(((float *)target.data)[0] == 2 && ((float *)target.data)[N - 1] == 2);
    c2_memory_open(target.memory);
    c2_guard_leave();
}

/* A stripe that a thread of the parent holds at the fork is free in the child. */
TEST(a_child_finds_every_stripe_free) {
    shared = blob_of(C2_FLOAT32, N);
    c2_guard_enter();
    const c2_target target = target_of(shared, &atomically);
    c2_update_add(&atomically, &target, 0, ones, 1, N);
    c2_guard_leave();
    for (int k = 0; k < LOCKS; k++)
        take(&locks[k].word);
    join_child(child(adds_after_fork, NULL));
    for (int k = 0; k < LOCKS; k++)
        mutex_give(&locks[k].word);
    c2_blob_free(shared);
}

int main(void) {
    for (int k = 0; k < N; k++)
        ones[k] = 1;
    RUN(like_plain_loops);
    RUN(an_address_that_is_kept_opens_the_memory);
    RUN(adders_lose_nothing);
    RUN(one_who_opens_loses_nothing);
    RUN(two_who_open_lose_nothing);
    RUN(a_child_finds_every_stripe_free);
    return report();
}
