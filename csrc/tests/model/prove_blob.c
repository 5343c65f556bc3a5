/* Blobs: who reads one sees a type, a shape and a memory that belong together, and nobody's
 * memory goes while it is looked at. */
#include <stdlib.h>

#include "blob.h"
#include "kernel.h"
#include "model.h"

static c2_blob *blob;
static const int64_t one[] = {1}, three[] = {3};

static void feed(int64_t n, const int64_t *shape) { /* n elements, each n */
    int32_t elements[4];
    for (int64_t k = 0; k < n; k++)
        elements[k] = (int32_t)n;
    MODEL_CHECK(c2_blob_feed(blob, C2_INT32, 1, shape, elements) == C2_OK);
}

static void setup(void) {
    blob = c2_blob_new();
    feed(1, one);
}

/* The tensor is whole: as many elements as the shape says, of the one who fed it. */
static void look(const c2_tensor *t) {
    MODEL_CHECK(t->dtype == C2_INT32 && t->size == t->shape[0]);
    for (int64_t k = 0; k < t->size; k++)
        MODEL_CHECK(((const int32_t *)t->data)[k] == t->size);
}

static void reader(void) {
    c2_guard_enter();
    const c2_tensor *t = c2_blob_tensor(blob);
    if (t) look(t);
    if (t) look(t); /* still there */
    c2_guard_leave();
}

static void keeper(void) { /* looks on outside the guard, at memory that it keeps */
    void *memory;
    c2_guard_enter();
    const c2_tensor *t = c2_blob_keep(blob, &memory);
    const c2_tensor copy = t ? *t : (c2_tensor){.dtype = C2_INT32};
    c2_guard_leave();
    look(&copy);
    c2_memory_let_go(memory);
}

static void feeder(void) {
    feed(3, three);
}

static void clearer(void) {
    c2_blob_clear(blob);
}

/* Takes the shape of 3, and the elements after it, inside a guard as a kernel does. */
static void resizer(void) {
    const c2_tensor *t;
    c2_guard_enter();
    MODEL_CHECK(c2_blob_resize(blob, C2_INT32, 1, three, &t) == C2_OK);
    MODEL_CHECK(t->size == 3);
    c2_guard_leave();
}

static void shape_only(void) { /* beside a resizer, who keeps the memory */
    c2_guard_enter();
    const c2_tensor *t = c2_blob_tensor(blob);
    if (t) MODEL_CHECK(t->size == t->shape[0] && ((const int32_t *)t->data)[t->size - 1] >= 0);
    c2_guard_leave();
}

/* A counter's word lives in the body itself. */
static void make_counter(void) {
    blob = c2_blob_new();
    c2_body *b = c2_body_new(C2_COUNTER);
    c2_blob_publish(blob, b);
}
static void count(void) {
    c2_guard_enter();
    c2_body *b = c2_blob_body(blob);
    if (b) add_rlx(&b->word, 1);
    c2_guard_leave();
}

static void all_freed(void) {
    c2_blob_free(blob);
    c2_guard_enter();
    c2_guard_leave();
    MODEL_CHECK(!c2_retired_pending());
    MODEL_CHECK(model_live_blocks() <= model_count()); /* slots, which are never freed */
}

#define TEST(text, how, ...) .name = text, .setup = how, .end = all_freed, .threads = {__VA_ARGS__}

static const model_test tests[] = {
    {TEST("a reader, and one who feeds another shape", setup, reader, feeder),
     .bounds = {.stale = 3}},
    {TEST("a reader, one who feeds, one who clears", setup, reader, feeder, clearer),
     .bounds = {.stale = 1, .preemptions = 3}},
    {TEST("two who feed", setup, feeder, feeder), .bounds = {.stale = 1}},
    {TEST("a reader, and one who resizes within the memory", setup, shape_only, resizer),
     .bounds = {.stale = 2}},
    {TEST("one who keeps the memory, one who clears", setup, keeper, clearer),
     .bounds = {.stale = 2}},
    {TEST("two who keep the memory, one who feeds", setup, keeper, keeper, feeder),
     .bounds = {.stale = 1, .preemptions = 3}},
    {TEST("two who count, one who clears", make_counter, count, count, clearer),
     .bounds = {.stale = 1, .preemptions = 4}},
    {0}};

int main(int argc, char **argv) {
    return model_main(argc, argv, "blob", tests);
}
