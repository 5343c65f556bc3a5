/* The queue of queue.h, by its numbered promises: order, capacity, closing, giving back, waking.
 * stress_queue.c counts the tuples under several producers and consumers. */
#define _GNU_SOURCE
#include "threads.h"
#include "platform.h"

/* Runs once in this thread's gap between "I saw nothing" and the sleep. */
static _Thread_local void (*before_sleep)(void);

static int sleep_after_it(const void *word, int size, uint64_t expected, int64_t deadline) {
    void (*hook)(void) = before_sleep;
    before_sleep = NULL;
    if (hook) hook();
    return c2_os_wait(word, size, expected, deadline);
}

#define c2_os_wait sleep_after_it
#include "../queue.c"
#undef c2_os_wait
#include "queue_helpers.h"

#include <pthread.h>

TEST(first_in_first_out) {
    c2_queue *q = c2_queue_new(3, 1);
    int64_t got = -1;
    for (int64_t round = 0; round < 10; round++) { /* the ring turns over */
        for (int64_t k = 0; k < 3; k++)
            CHECK_EQ(put_one(q, 10 * round + k, NULL, NULL), C2_OK);
        CHECK_EQ(c2_queue_count(q), 3);
        for (int64_t k = 0; k < 3; k++) {
            CHECK_EQ(take_one(q, &got, -1), C2_OK);
            CHECK_EQ(got, 10 * round + k);
        }
    }
    CHECK_EQ(c2_queue_count(q), 0);
    c2_queue_drop(q);
}

TEST(tuples_are_copies) {
    c2_queue *q = c2_queue_new(2, 3);
    float x[2][3] = {{1, 2, 3}, {4, 5, 6}};
    bool flag = true;
    const c2_tensor a = {.data = x, .size = 6, .shape = {2, 3}, .ndim = 2, .dtype = C2_FLOAT32};
    const c2_tensor b = {.data = &flag, .size = 1, .ndim = 0, .dtype = C2_BOOL};
    const c2_tensor empty = {.data = NULL, .size = 0, .shape = {0}, .ndim = 1, .dtype = C2_INT8};
    CHECK_EQ(c2_queue_put(q, (const c2_tensor *[]){&a, &b, &empty}, NULL, NULL), C2_OK);
    x[0][0] = 100;
    flag = false;
    c2_tuple *tuple = NULL;
    CHECK_EQ(c2_queue_take(q, C2_FOREVER, NULL, NULL, &tuple), C2_OK);
    const c2_tensor *t = c2_tuple_tensor(tuple, 0);
    CHECK(t->dtype == C2_FLOAT32 && t->ndim == 2 && t->shape[0] == 2 && t->shape[1] == 3);
    for (int k = 0; k < 6; k++)
        CHECK(((float *)t->data)[k] == (float)(k + 1));
    CHECK(*(bool *)c2_tuple_tensor(tuple, 1)->data);
    CHECK_EQ(c2_tuple_tensor(tuple, 2)->size, 0);
    CHECK_EQ(c2_tuple_tensor(tuple, 2)->ndim, 1);
    c2_queue_done(q, tuple);
    CHECK_EQ(c2_queue_width(q), 3);
    c2_queue_drop(q);
}

TEST(closed) {
    c2_queue *q = c2_queue_new(4, 1);
    int64_t got = -1;
    put_one(q, 7, NULL, NULL);
    put_one(q, 8, NULL, NULL);
    c2_queue_close(q);
    c2_queue_close(q); /* again changes nothing */
    CHECK_EQ(put_one(q, 9, NULL, NULL), C2_CLOSED);
    CHECK_EQ(take_one(q, &got, -1), C2_OK);
    CHECK_EQ(got, 7);
    CHECK_EQ(take_one(q, &got, -1), C2_OK);
    CHECK_EQ(got, 8);
    CHECK_EQ(take_one(q, &got, -1), C2_CLOSED);
    CHECK_EQ(take_one(q, &got, -1), C2_CLOSED);
    c2_queue_drop(q);
}

TEST(what_is_inside_goes_with_it) { /* the address sanitizer looks for leaks */
    c2_queue *q = c2_queue_new(4, 1);
    int64_t got = -1;
    for (int64_t k = 0; k < 4; k++)
        put_one(q, k, NULL, NULL);
    take_one(q, &got, -1);
    put_one(q, 4, NULL, NULL);
    c2_queue_keep(q);
    c2_queue_drop(q);
    CHECK_EQ(c2_queue_count(q), 4);
    c2_queue_drop(q);
}

TEST(time_runs_out) {
    c2_queue *q = c2_queue_new(1, 1);
    int64_t got = -1;
    const int64_t before = c2_os_now();
    CHECK_EQ(take_one(q, &got, 30000000), C2_TIMEOUT); /* longer than a slice */
    const int64_t took = c2_os_now() - before;
    CHECK(took >= 30000000);
    CHECK_EQ(take_one(q, &got, 0), C2_TIMEOUT);
    c2_queue_drop(q);
}

TEST(impossible_sizes) { /* refused by the allocator, not wrapped around */
    CHECK(c2_queue_new(INT64_MAX, 1) == NULL);
    CHECK(c2_queue_new(-1, 1) == NULL);
}

/* ---- two threads -------------------------------------------------------------------------- */

typedef struct job {
    c2_queue *q;
    int64_t value;
    int status;
    _Atomic int *stop;
    _Atomic int started, ended;
} job;

static int stop_asked(void *who) {
    return load_acq(((job *)who)->stop);
}

static void *putter(void *arg) {
    job *j = arg;
    store_rel(&j->started, 1);
    j->status = put_one(j->q, j->value, j->stop ? stop_asked : NULL, j);
    store_rel(&j->ended, 1);
    return NULL;
}

static void *taker(void *arg) {
    job *j = arg;
    c2_tuple *tuple = NULL;
    store_rel(&j->started, 1);
    j->status = c2_queue_take(j->q, C2_FOREVER, j->stop ? stop_asked : NULL, j, &tuple);
    if (j->status == C2_OK) {
        j->value = *(int64_t *)c2_tuple_tensor(tuple, 0)->data;
        c2_queue_done(j->q, tuple);
    }
    store_rel(&j->ended, 1);
    return NULL;
}

static pthread_t start(void *(*body)(void *), job *j) {
    pthread_t thread;
    pthread_create(&thread, NULL, body, j);
    while (!load_acq(&j->started))
        nap();
    return thread;
}

/* Gives the other thread the time to block; it may not have: then the test sees the other order,
 * which must end the same way. */
static void let_it_block(void) {
    const uint32_t word = 0;
    c2_os_wait(&word, 4, 0, c2_os_now() + 2000000);
}

TEST(full_blocks_until_done) {
    c2_queue *q = c2_queue_new(1, 1);
    job j = {.q = q, .value = 2};
    put_one(q, 1, NULL, NULL);
    pthread_t thread = start(putter, &j);
    let_it_block();
    c2_tuple *tuple = NULL;
    CHECK_EQ(c2_queue_take(q, C2_FOREVER, NULL, NULL, &tuple), C2_OK);
    let_it_block();
    CHECK(!load_acq(&j.ended)); /* taken, but its place is free only when it is done */
    CHECK_EQ(c2_queue_count(q), 0);
    c2_queue_done(q, tuple);
    pthread_join(thread, NULL);
    CHECK_EQ(j.status, C2_OK);
    CHECK_EQ(c2_queue_count(q), 1);
    c2_queue_drop(q);
}

TEST(empty_blocks_until_put) {
    c2_queue *q = c2_queue_new(1, 1);
    job j = {.q = q};
    pthread_t thread = start(taker, &j);
    let_it_block();
    CHECK(!load_acq(&j.ended));
    put_one(q, 42, NULL, NULL);
    pthread_join(thread, NULL);
    CHECK_EQ(j.status, C2_OK);
    CHECK_EQ(j.value, 42);
    c2_queue_drop(q);
}

TEST(close_ends_every_wait) {
    for (int full = 0; full < 2; full++) {
        c2_queue *q = c2_queue_new(1, 1);
        job jobs[4];
        pthread_t threads[4];
        if (full) put_one(q, 1, NULL, NULL);
        for (int k = 0; k < 4; k++) {
            jobs[k] = (job){.q = q, .value = k};
            threads[k] = start(full ? putter : taker, &jobs[k]);
        }
        let_it_block();
        c2_queue_close(q);
        for (int k = 0; k < 4; k++) {
            pthread_join(threads[k], NULL);
            CHECK_EQ(jobs[k].status, C2_CLOSED);
        }
        CHECK_EQ(c2_queue_count(q), full);
        c2_queue_drop(q);
    }
}

TEST(stop_ends_every_wait) {
    for (int full = 0; full < 2; full++) {
        _Atomic int stop = 0;
        c2_queue *q = c2_queue_new(1, 1);
        job jobs[2];
        pthread_t threads[2];
        if (full) put_one(q, 1, NULL, NULL);
        for (int k = 0; k < 2; k++) {
            jobs[k] = (job){.q = q, .stop = &stop};
            threads[k] = start(full ? putter : taker, &jobs[k]);
        }
        let_it_block();
        CHECK(!load_acq(&jobs[0].ended) && !load_acq(&jobs[1].ended));
        store_rel(&stop, 1);
        for (int k = 0; k < 2; k++) {
            pthread_join(threads[k], NULL);
            CHECK_EQ(jobs[k].status, C2_STOPPED);
        }
        c2_queue_drop(q);
    }
}

TEST(given_back_is_the_oldest) {
    c2_queue *q = c2_queue_new(2, 1);
    int64_t got = -1;
    c2_tuple *tuple = NULL;
    put_one(q, 1, NULL, NULL);
    put_one(q, 2, NULL, NULL);
    CHECK_EQ(c2_queue_take(q, C2_FOREVER, NULL, NULL, &tuple), C2_OK);
    c2_queue_give_back(q, tuple);
    CHECK_EQ(c2_queue_count(q), 2);
    CHECK_EQ(take_one(q, &got, -1), C2_OK);
    CHECK_EQ(got, 1);
    CHECK_EQ(take_one(q, &got, -1), C2_OK);
    CHECK_EQ(got, 2);
    c2_queue_drop(q);
}

TEST(the_end_waits_for_what_may_come_back) {
    for (int back = 0; back < 2; back++) {
        c2_queue *q = c2_queue_new(1, 1);
        job j = {.q = q};
        c2_tuple *tuple = NULL;
        put_one(q, 5, NULL, NULL);
        CHECK_EQ(c2_queue_take(q, C2_FOREVER, NULL, NULL, &tuple), C2_OK);
        c2_queue_close(q);
        pthread_t thread = start(taker, &j);
        let_it_block();
        CHECK(!load_acq(&j.ended));
        if (back)
            c2_queue_give_back(q, tuple);
        else
            c2_queue_done(q, tuple);
        pthread_join(thread, NULL);
        CHECK_EQ(j.status, back ? C2_OK : C2_CLOSED);
        if (back) CHECK_EQ(j.value, 5);
        c2_queue_drop(q);
    }
}

static c2_queue *gap_queue;
static void put_in_the_gap(void) {
    put_one(gap_queue, 11, NULL, NULL);
}
static void close_in_the_gap(void) {
    c2_queue_close(gap_queue);
}
static void take_in_the_gap(void) {
    int64_t got = -1;
    take_one(gap_queue, &got, -1);
}

TEST(a_change_before_the_sleep_prevents_it) {
    int64_t got = -1;
    gap_queue = c2_queue_new(1, 1);
    before_sleep = put_in_the_gap;
    CHECK_EQ(take_one(gap_queue, &got, -1), C2_OK);
    CHECK_EQ(got, 11);
    put_one(gap_queue, 12, NULL, NULL);
    before_sleep = take_in_the_gap;
    CHECK_EQ(put_one(gap_queue, 13, NULL, NULL), C2_OK);
    CHECK_EQ(take_one(gap_queue, &got, -1), C2_OK);
    CHECK_EQ(got, 13);
    before_sleep = close_in_the_gap;
    CHECK_EQ(take_one(gap_queue, &got, -1), C2_CLOSED);
    c2_queue_drop(gap_queue);
}

int main(void) {
    RUN(first_in_first_out);
    RUN(tuples_are_copies);
    RUN(closed);
    RUN(what_is_inside_goes_with_it);
    RUN(time_runs_out);
    RUN(impossible_sizes);
    RUN(stop_ends_every_wait);

    slice_ns = INT64_C(1000000000) * 1000; /* from here on only wakes end a sleep */
    RUN(full_blocks_until_done);
    RUN(empty_blocks_until_put);
    RUN(close_ends_every_wait);
    RUN(a_change_before_the_sleep_prevents_it);
    RUN(given_back_is_the_oldest);
    RUN(the_end_waits_for_what_may_come_back);
    return report();
}
