/* reclaim.c and blob.c: nothing is freed while a guard could see it, all is freed in the end. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "threads.h"

static _Atomic int refusals; /* of memory for a guard, to come */
static void *asked(size_t alignment, size_t bytes) {
    return add_rlx(&refusals, -1) > 0 ? NULL : aligned_alloc(alignment, bytes);
}
#define aligned_alloc asked
#include "../reclaim.c"
#undef aligned_alloc

#include "blob.h"
#include "kernel.h"

typedef struct thing {
    c2_retired retired;
    _Atomic int *destroyed;
} thing;

static void destroy(c2_retired *r) {
    thing *t = (thing *)r;
    add_rlx(t->destroyed, 1);
    free(t);
}

static void retire_one(_Atomic int *destroyed) {
    thing *t = calloc(1, sizeof *t);
    t->destroyed = destroyed;
    c2_retire(&t->retired, destroy);
}

TEST(without_a_guard_it_goes_at_once) {
    _Atomic int destroyed = 0;
    retire_one(&destroyed);
    CHECK(load_rlx(&destroyed) == 1);
    CHECK(c2_idle() && !c2_retired_pending());
}

TEST(an_open_guard_holds_it_back) {
    _Atomic int destroyed = 0;
    c2_guard_enter();
    c2_guard_enter();
    CHECK(!c2_idle());
    for (int k = 0; k < 100; k++)
        retire_one(&destroyed);
    c2_guard_leave();
    CHECK(load_rlx(&destroyed) == 0 && c2_retired_pending());
    c2_guard_leave();
    CHECK(load_rlx(&destroyed) == 100 && !c2_retired_pending() && c2_idle());
}

/* One thread gives a blob ever new shapes, others read shape and elements: every element of a
 * tensor is its size, in whatever shape a reader meets it. */
enum { READERS = 3, SHAPES = 3000 };
static c2_blob *shared;
static _Atomic int writer_done, mixed;

static void *reader(void *unused) {
    (void)unused;
    while (!load_acq(&writer_done)) {
        c2_guard_enter();
        const c2_tensor *t = c2_blob_tensor(shared);
        if (t)
            for (int64_t k = 0; k < t->size; k++)
                if (((int64_t *)t->data)[k] != t->size) store_rlx(&mixed, 1);
        c2_guard_leave();
    }
    return NULL;
}

TEST(readers_never_see_half_a_change) {
    pthread_t threads[READERS];
    shared = c2_blob_new();
    for (int k = 0; k < READERS; k++)
        pthread_create(&threads[k], NULL, reader, NULL);
    for (int k = 0; k < SHAPES; k++) {
        const int64_t size = k % 97;
        int64_t values[97];
        for (int64_t j = 0; j < size; j++)
            values[j] = size;
        CHECK(c2_blob_feed(shared, C2_INT64, 1, &size, values) == C2_OK);
    }
    store_rel(&writer_done, 1);
    for (int k = 0; k < READERS; k++)
        pthread_join(threads[k], NULL);
    CHECK(!load_rlx(&mixed));
    c2_blob_free(shared);
}

TEST(a_blob_checks_what_it_is_given) {
    c2_blob *b = c2_blob_new();
    const int64_t huge[2] = {INT64_MAX / 2, 4}, negative[1] = {-1}, one[1] = {1};
    double value = 2.5;
    CHECK(c2_blob_kind(b) == C2_EMPTY);
    CHECK(c2_blob_feed(b, C2_FLOAT64, 2, huge, NULL) == C2_NO_MEMORY);
    CHECK(c2_blob_feed(b, C2_FLOAT64, 1, negative, NULL) == C2_SHAPE);
    CHECK(c2_blob_feed(b, C2_FLOAT64, 9, huge, NULL) == C2_SHAPE);
    CHECK(c2_blob_feed(b, 99, 1, one, NULL) == C2_TYPE);
    CHECK(c2_blob_kind(b) == C2_EMPTY);
    CHECK(c2_blob_share(b, C2_FLOAT64, 1, one, (char *)&value + 1) == C2_ALIGNMENT);
    CHECK(c2_blob_share(b, C2_FLOAT64, 1, one, &value) == C2_OK);
    const double fed = 7;
    CHECK(c2_blob_feed(b, C2_FLOAT64, 1, one, &fed) == C2_OK && value == 7);
    CHECK(c2_blob_feed(b, C2_FLOAT64, 0, one, &fed) == C2_SHAPE);
    c2_blob_clear(b);
    CHECK(c2_blob_kind(b) == C2_EMPTY);
    c2_blob_free(b);
}

/* ---- guards that there is no memory for ---- */

static _Atomic int entered, enough;
static void *enter_and_stay(void *arg) {
    c2_guard_enter();
    CHECK(c2_inside());
    add_acq_rel(&entered, 1);
    await(&enough, 1);
    c2_guard_leave();
    return NULL;
}

/* More threads than ever were inside at once; what each asks for is refused a few times. */
TEST(a_guard_waits_for_memory) {
    enum { MANY = 8 };
    pthread_t threads[MANY];
    store_rlx(&refusals, 10);
    for (int k = 0; k < MANY; k++)
        threads[k] = go(enter_and_stay, NULL);
    await(&entered, MANY);
    CHECK(load_rlx(&refusals) <= 0);
    CHECK(!c2_idle());
    reach(&enough, 1);
    for (int k = 0; k < MANY; k++)
        pthread_join(threads[k], NULL);
    CHECK(c2_idle());
}

/* ---- forks ---- */

static _Atomic int inside, outside;
static void *stay_inside(void *arg) {
    c2_guard_enter();
    reach(&inside, 1);
    await(&outside, 1);
    c2_guard_leave();
    return NULL;
}

static void retire_in_child(void *depth) {
    _Atomic int destroyed = 0;
    CHECK_EQ(c2_idle(), depth == NULL); /* but for its own guard nobody is inside */
    retire_one(&destroyed);
    if (depth) c2_guard_leave();
    CHECK_EQ(load_rlx(&destroyed), 1);
    CHECK(c2_idle());
}

/* Another thread of the parent is inside a guard at the fork, or just at the list: that thread is
 * not in the child, and holds nothing back there. A guard of the forking thread goes on. */
TEST(a_child_forgets_the_guards_of_others) {
    const pthread_t thread = go(stay_inside, NULL);
    await(&inside, 1);
    _Atomic int destroyed = 0;
    retire_one(&destroyed);
    join_child(child(retire_in_child, NULL));
    while (!try_lock_limbo())
        nap();
    const pid_t pid = child(retire_in_child, NULL);
    unlock_limbo();
    join_child(pid);
    c2_guard_enter();
    join_child(child(retire_in_child, &destroyed));
    c2_guard_leave();
    CHECK_EQ(load_rlx(&destroyed), 0); /* nor did the children end the guards of the parent */
    reach(&outside, 1);
    pthread_join(thread, NULL);
    CHECK_EQ(load_rlx(&destroyed), 1);
}

int main(void) {
    RUN(without_a_guard_it_goes_at_once);
    RUN(an_open_guard_holds_it_back);
    RUN(readers_never_see_half_a_change);
    RUN(a_blob_checks_what_it_is_given);
    RUN(a_guard_waits_for_memory);
    RUN(a_child_forgets_the_guards_of_others);
    return report();
}
