/* Stripes: a plain add meets nobody who adds atomically, for the memory is opened first.
 *
 * Elements are plain variables, one a stripe; atomic adds to them are counted apart, and stand for
 * themselves by a plain look at the element: if a plain add could meet it, that is a data race. */
#include "model.h"
#include "stripes.h"

enum { STRIPES = 2, BYTES = 32768 };

/* No stripe is touched, its address alone counts. The memory begins in the middle of one. */
static c2_memory memory = {.data = (void *)(8 * BYTES + BYTES / 2), .capacity = BYTES};
static int elements[STRIPES];
static _Atomic int exact[STRIPES];

static void add_exactly(int k) {
    const int before = elements[k];
    add_rlx(&exact[k], 1);
    MODEL_CHECK(elements[k] == before);
}

/* As c2_update_add does. */
static void adder(void) {
    for (int k = 0; k < STRIPES;) {
        int64_t bytes = (STRIPES - k) * (BYTES / 2);
        _Atomic uint64_t *const lock =
            c2_stripe_take(&memory, (char *)memory.data + k * (BYTES / 2), &bytes);
        if (lock) {
            MODEL_CHECK(bytes == BYTES / 2);
            elements[k++]++;
        } else {
            MODEL_CHECK(bytes == (STRIPES - k) * (BYTES / 2));
            while (k < STRIPES)
                add_exactly(k++);
        }
        c2_stripe_give(lock);
    }
}

static void opener(void) {
    c2_memory_open(&memory);
    for (int k = 0; k < STRIPES; k++)
        add_exactly(k);
}

static void all_added(void) {
    for (int k = 0; k < STRIPES; k++)
        MODEL_CHECK(elements[k] + load_rlx(&exact[k]) == model_count());
}

#define TEST(text, ...) .name = text, .threads = {__VA_ARGS__}, .end = all_added

static const model_test tests[] = {
    {TEST("two who add plainly", adder, adder), .bounds = {.stale = 2}},
    {TEST("one who adds plainly, one who opens", adder, opener), .bounds = {.stale = 2}},
    {TEST("one who adds plainly, two who open", adder, opener, opener),
     .bounds = {.stale = 1, .preemptions = 3}},
    {TEST("two who add plainly, one who opens", adder, adder, opener),
     .bounds = {.stale = 1, .preemptions = 3}},
    {0}};

int main(int argc, char **argv) {
    return model_main(argc, argv, "stripes", tests);
}
