/* The queue under several producers and consumers: each tuple taken once, in its producer's order,
 * and no wake lost. */
#include "check.h"
#include "../queue.c"
#include "queue_helpers.h"

#include <pthread.h>

enum { PUTTERS_N = 3, TAKERS_N = 3, EACH = SANITIZED ? 2000 : 20000 };

typedef struct stress {
    c2_queue *q;
    int64_t id;
    int64_t out_of_order;
    _Atomic int *seen; /* how often each value was taken */
} stress;

static void *stress_put(void *arg) {
    stress *s = arg;
    for (int64_t k = 0; k < EACH; k++)
        CHECK_EQ(put_one(s->q, s->id * EACH + k, NULL, NULL), C2_OK);
    return NULL;
}

static void *stress_take(void *arg) {
    stress *s = arg;
    int64_t last[PUTTERS_N] = {-1, -1, -1};
    for (int64_t n = 0;; n++) {
        c2_tuple *tuple = NULL;
        const int status = c2_queue_take(s->q, C2_FOREVER, NULL, NULL, &tuple);
        if (status != C2_OK) {
            CHECK_EQ(status, C2_CLOSED);
            return NULL;
        }
        const int64_t value = *(int64_t *)c2_tuple_tensor(tuple, 0)->data;
        if (s->id == 0 && n % 7 == 3) { /* one taker gives some back, which breaks the order */
            c2_queue_give_back(s->q, tuple);
            continue;
        }
        c2_queue_done(s->q, tuple);
        add_rlx(&s->seen[value], 1);
        const int64_t from = value / EACH;
        if (value <= last[from]) s->out_of_order++;
        last[from] = value;
    }
}

static void exact(int64_t capacity, int give_back) {
    c2_queue *q = c2_queue_new(capacity, 1);
    _Atomic int *seen = calloc(PUTTERS_N * EACH, sizeof *seen);
    pthread_t threads[PUTTERS_N + TAKERS_N];
    stress jobs[PUTTERS_N + TAKERS_N];
    for (int k = 0; k < PUTTERS_N + TAKERS_N; k++) {
        const int take = k >= PUTTERS_N;
        jobs[k] = (stress){.q = q, .id = take ? k - PUTTERS_N + !give_back : k, .seen = seen};
        pthread_create(&threads[k], NULL, take ? stress_take : stress_put, &jobs[k]);
    }
    for (int k = 0; k < PUTTERS_N; k++)
        pthread_join(threads[k], NULL);
    c2_queue_close(q);
    for (int k = PUTTERS_N; k < PUTTERS_N + TAKERS_N; k++) {
        pthread_join(threads[k], NULL);
        if (!give_back) CHECK_EQ(jobs[k].out_of_order, 0);
    }
    for (int64_t v = 0; v < PUTTERS_N * EACH; v++)
        CHECK_EQ(load_rlx(&seen[v]), 1);
    CHECK_EQ(c2_queue_count(q), 0);
    free(seen);
    c2_queue_drop(q);
}

TEST(exact_with_one_place) {
    exact(1, 0);
}
TEST(exact_with_many_places) {
    exact(64, 0);
}
TEST(exact_with_given_back) {
    exact(4, 1);
}

/* Promise 4. Two threads hand one token to and fro, so that each step needs both of its wakes, and
 * a lost one would end the program by its time box: slices are longer than that here. */
enum { ROUNDS = SANITIZED ? 1000 : 10000 };

static void *echo(void *arg) {
    c2_queue **q = arg;
    int64_t value;
    while (take_one(q[0], &value, -1) == C2_OK)
        put_one(q[1], value + 1, NULL, NULL);
    return NULL;
}

TEST(no_wake_is_lost) {
    c2_queue *q[2] = {c2_queue_new(1, 1), c2_queue_new(1, 1)};
    pthread_t thread;
    pthread_create(&thread, NULL, echo, q);
    int64_t token = 0;
    for (int k = 0; k < ROUNDS; k++) {
        put_one(q[0], token, NULL, NULL);
        CHECK_EQ(take_one(q[1], &token, -1), C2_OK);
    }
    CHECK_EQ(token, ROUNDS);
    c2_queue_close(q[0]);
    pthread_join(thread, NULL);
    c2_queue_drop(q[0]);
    c2_queue_drop(q[1]);
}

int main(void) {
    RUN(exact_with_one_place);
    RUN(exact_with_many_places);
    RUN(exact_with_given_back);
    slice_ns = INT64_C(1000000000) * 1000; /* from here on only wakes end a sleep */
    RUN(no_wake_is_lost);
    return report();
}
