/* Reclamation: nothing is destroyed while a guard may see it, and all is destroyed in the end. */
#include <stdlib.h>

#include "atomic.h"
#include "model.h"
#include "reclaim.h"

typedef struct thing {
    c2_retired retired;
    int value;
} thing;

static thing *_Atomic shared;
static int made;

static void destroy(c2_retired *r) {
    free((thing *)r);
}

static thing *make(int value) {
    thing *t = malloc(sizeof *t);
    t->value = value;
    return t;
}

static void setup(void) {
    made = 1;
    store_sc(&shared, make(1));
}

/* Reads under a guard, `size` times: the checker catches a use after free. */
static void reader(void) {
    for (int k = 0; k < model_size(); k++) {
        c2_guard_enter();
        thing *t = load_sc(&shared);
        MODEL_CHECK(t->value > 0);
        MODEL_CHECK(t->value > 0);
        c2_guard_leave();
    }
}

static void nested_reader(void) {
    c2_guard_enter();
    thing *t = load_sc(&shared);
    c2_guard_enter();
    MODEL_CHECK(t->value > 0);
    c2_guard_leave();
    MODEL_CHECK(t->value > 0);
    c2_guard_leave();
}

static void replace(void) {
    thing *fresh = make(2);
    thing *old = atomic_exchange(&shared, fresh);
    c2_retire(&old->retired, destroy);
}

static void writer(void) {
    for (int k = 0; k < model_size(); k++)
        replace();
}

/* What nobody can look at may go without waiting in limbo. */
static void free_if_idle(void) {
    thing *old = atomic_exchange(&shared, make(2));
    if (c2_idle())
        free(old);
    else
        c2_retire(&old->retired, destroy);
}

static void reader_and_writer(void) {
    c2_guard_enter();
    thing *t = load_sc(&shared);
    MODEL_CHECK(t->value > 0);
    replace();
    MODEL_CHECK(t->value > 0);
    c2_guard_leave();
}

/* No guard is open. What a leave had to pass over, since another had the lock of limbo, goes with
 * the next retirement or leave; then only the shared thing and the slots are left. */
static void all_destroyed(void) {
    MODEL_CHECK(c2_idle());
    c2_guard_enter();
    c2_guard_leave();
    MODEL_CHECK(!c2_retired_pending());
    thing *last = load_sc(&shared);
    free(last);
    MODEL_CHECK(model_live_blocks() <= model_count()); /* slots, which are never freed */
}

static const model_test tests[] = {{.name = "a reader and a writer, twice each",
                                    .setup = setup,
                                    .threads = {reader, writer},
                                    .end = all_destroyed,
                                    .size = 2,
                                    .bounds = {.stale = 1}},
                                   {.name = "a reader and a writer, many stale loads",
                                    .setup = setup,
                                    .threads = {reader, writer},
                                    .end = all_destroyed,
                                    .size = 1,
                                    .bounds = {.stale = 4}},
                                   {.name = "a guard within a guard",
                                    .setup = setup,
                                    .threads = {nested_reader, writer},
                                    .end = all_destroyed,
                                    .size = 2,
                                    .bounds = {.stale = 2}},
                                   {.name = "two readers and a writer",
                                    .setup = setup,
                                    .threads = {reader, reader, writer},
                                    .end = all_destroyed,
                                    .size = 1,
                                    .bounds = {.stale = 1}},
                                   {.name = "two that retire inside their guards",
                                    .setup = setup,
                                    .threads = {reader_and_writer, reader_and_writer},
                                    .end = all_destroyed,
                                    .size = 1,
                                    .bounds = {.stale = 1}},
                                   {.name = "two writers and a reader",
                                    .setup = setup,
                                    .threads = {writer, writer, reader},
                                    .end = all_destroyed,
                                    .size = 1,
                                    .bounds = {.stale = 1, .preemptions = 3}},
                                   {.name = "three guards and a writer",
                                    .setup = setup,
                                    .threads = {reader, reader, reader, writer},
                                    .end = all_destroyed,
                                    .size = 1,
                                    .bounds = {.stale = 1, .preemptions = 2}},
                                   {.name = "two readers, and one who asks whether all are idle",
                                    .setup = setup,
                                    .threads = {reader, reader, free_if_idle},
                                    .end = all_destroyed,
                                    .size = 1,
                                    .bounds = {.stale = 1, .preemptions = 4}},
                                   {0}};

int main(int argc, char **argv) {
    return model_main(argc, argv, "reclaim", tests);
}
