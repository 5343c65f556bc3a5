/* The queue: every tuple is taken once and in order, no wake is lost, a closed one ends. */
#include "model.h"
#include "platform.h"
#include "queue.h"

static c2_queue *queue;
static int taken[8], n_taken, put_at_all; /* of the one consumer */

static int put(int value) {
    const int32_t element = value;
    const c2_tensor t = {.data = (void *)&element, .size = 1, .ndim = 0, .dtype = C2_INT32};
    const c2_tensor *const tuple[1] = {&t};
    return c2_queue_put(queue, tuple, NULL, NULL);
}

static int take(int *value) {
    c2_tuple *tuple;
    const int status = c2_queue_take(queue, C2_FOREVER, NULL, NULL, &tuple);
    if (status != C2_OK) return status;
    *value = *(const int32_t *)c2_tuple_tensor(tuple, 0)->data;
    c2_queue_done(queue, tuple);
    return C2_OK;
}

static void one_place(void) {
    queue = c2_queue_new(1, 1);
}
static void two_places(void) {
    queue = c2_queue_new(2, 1);
}

static void producer(void) {
    for (int k = 0; k < model_size(); k++)
        MODEL_CHECK(put(10 * model_self() + k) == C2_OK);
}

static void closing_producer(void) {
    producer();
    c2_queue_close(queue);
}

static void consumer(void) { /* until it is closed and empty */
    int value, status;
    while ((status = take(&value)) == C2_OK)
        taken[n_taken++] = value;
    MODEL_CHECK(status == C2_CLOSED);
}

static void counting_consumer(void) { /* of two producers, all they put */
    for (int k = 0; k < 2 * model_size(); k++)
        MODEL_CHECK(take(&taken[n_taken++]) == C2_OK);
}

/* One of the consumers gets the tuple; all are told the end. */
static int got[8];
static void either_consumer(void) {
    int value, status;
    while ((status = take(&value)) == C2_OK)
        got[model_self()]++;
    MODEL_CHECK(status == C2_CLOSED);
}
static void taken_by_one(void) {
    MODEL_CHECK(got[1] + got[2] + got[3] == 1);
    c2_queue_drop(queue);
    MODEL_CHECK(model_live_blocks() == 0);
}

static void closer(void) {
    c2_queue_close(queue);
}

static void refused_producer(void) { /* waits for a place, or is told that it is closed */
    for (int k = 0; k < 2; k++) {
        const int status = put(k);
        MODEL_CHECK(status == C2_OK || status == C2_CLOSED);
        put_at_all += status == C2_OK;
    }
}

/* Takes one, gives it back, and then everything: whoever is told "closed" misses nothing. */
static void undecided_consumer(void) {
    c2_tuple *tuple;
    const int status = c2_queue_take(queue, C2_FOREVER, NULL, NULL, &tuple);
    if (status == C2_OK) c2_queue_give_back(queue, tuple);
}

static void each_once(void) {
    c2_queue_drop(queue);
    MODEL_CHECK(model_live_blocks() == 0);
    int last[8] = {0};
    for (int k = 0; k < n_taken; k++) {
        const int from = taken[k] / 10, number = taken[k] % 10 + 1;
        MODEL_CHECK(number == last[from] + 1); /* in the order of its producer */
        last[from] = number;
    }
}

static void two_producers_done(void) {
    each_once();
    MODEL_CHECK(n_taken == 2 * model_size());
}

static void one_producer_done(void) {
    each_once();
    MODEL_CHECK(n_taken == model_size());
}

static void nothing_left(void) {
    MODEL_CHECK(n_taken + c2_queue_count(queue) == put_at_all);
    c2_queue_drop(queue);
    MODEL_CHECK(model_live_blocks() == 0);
}

/* The last of two that hold it frees it. */
static void held_twice(void) {
    one_place();
    c2_queue_keep(queue);
}
static void put_and_drop(void) {
    c2_queue *q = queue;
    MODEL_CHECK(put(1) == C2_OK);
    c2_queue_drop(q);
}
static void take_and_drop(void) {
    c2_queue *q = queue;
    int value;
    MODEL_CHECK(take(&value) == C2_OK && value == 1);
    c2_queue_drop(q);
}
static void all_freed(void) {
    MODEL_CHECK(model_live_blocks() == 0);
}

static const model_test tests[] = {
    {.name = "a producer that closes, a consumer, 1 place",
     .setup = one_place,
     .threads = {closing_producer, consumer},
     .end = one_producer_done,
     .size = 2,
     .bounds = {.stale = 1, .spurious = 1, .preemptions = 4}},
    {.name = "two producers, a consumer, 1 place",
     .setup = one_place,
     .threads = {producer, producer, counting_consumer},
     .end = two_producers_done,
     .size = 1,
     .bounds = {.preemptions = 3}},
    {.name = "two producers, a consumer, 2 places",
     .setup = two_places,
     .threads = {producer, producer, counting_consumer},
     .end = two_producers_done,
     .size = 1,
     .bounds = {.preemptions = 3}},
    {.name = "two consumers told that it is closed",
     .setup = one_place,
     .threads = {either_consumer, either_consumer, closing_producer},
     .end = taken_by_one,
     .size = 1,
     .bounds = {.preemptions = 3}},
    {.name = "three consumers told that it is closed",
     .setup = one_place,
     .threads = {either_consumer, either_consumer, either_consumer, closing_producer},
     .end = taken_by_one,
     .size = 1,
     .bounds = {.preemptions = 2}},
    {.name = "closed while a producer waits for a place",
     .setup = one_place,
     .threads = {refused_producer, closer},
     .end = nothing_left,
     .bounds = {.stale = 1, .spurious = 1}},
    {.name = "a tuple given back, closed, and taken by another",
     .setup = one_place,
     .threads = {undecided_consumer, consumer, closing_producer},
     .end = one_producer_done,
     .size = 2,
     .bounds = {.preemptions = 3}},
    {.name = "the last of two that hold it frees it",
     .setup = held_twice,
     .threads = {put_and_drop, take_and_drop},
     .end = all_freed,
     .bounds = {.stale = 1}},
    {0}};

int main(int argc, char **argv) {
    return model_main(argc, argv, "queue", tests);
}
