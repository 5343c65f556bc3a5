/* The mutex: one at a time, no wake lost, a dead owner's heir is told. */
#include <stdlib.h>

#include "model.h"
#include "mutex.h"

static _Atomic uint64_t word;
static int count, told; /* plain: the checker calls an access without the lock a race */
static int inside;      /* 1 while an owner is at work: a heir may find it set */

static void work(void) {
    MODEL_CHECK(inside == 0);
    inside = 1;
    count++;
    inside = 0;
}

static void locker(void) {
    for (int k = 0; k < model_size(); k++) {
        int status;
        while ((status = mutex_lock(&word, -1)) == C2_INTERRUPTED) {
        }
        MODEL_CHECK(status == C2_OK);
        work();
        MODEL_CHECK(mutex_give(&word) == C2_OK);
    }
}

static void all_counted(void) {
    MODEL_CHECK(count == model_size() * model_count());
    MODEL_CHECK(load_rlx(&word) == 0);
}

/* ---- giving up ---- */

static void impatient(void) { /* 5 us, far less than the first slice */
    const int status = mutex_lock(&word, 5000);
    MODEL_CHECK(status == C2_OK || status == C2_TIMEOUT);
    if (status != C2_OK) return;
    work();
    mutex_give(&word);
}

static void trier(void) {
    const int status = mutex_lock(&word, 0);
    MODEL_CHECK(status == C2_OK || status == C2_BUSY);
    if (status != C2_OK) return;
    work();
    mutex_give(&word);
}

static void interrupted(void) {
    const int status = mutex_lock(&word, -1);
    MODEL_CHECK(status == C2_OK || status == C2_INTERRUPTED);
    if (status != C2_OK) return;
    work();
    mutex_give(&word);
}

static void free_again(void) {
    MODEL_CHECK((load_rlx(&word) & ~C2_MUTEX_WAITERS) == 0);
}

/* ---- death ---- */

/* An owner that may die at any step. */
static void mortal(void) {
    const int status = mutex_lock(&word, -1);
    MODEL_CHECK(status == C2_OK || status == C2_OWNER_DIED);
    inside = 1;
    load_rlx(&word); /* a step at which it can die */
    count++;
    inside = 0;
    mutex_give(&word);
}

/* Told whenever it finds half of something; never told of a death that was none. */
static void survivor(void) {
    const int status = mutex_lock(&word, -1);
    MODEL_CHECK(status == C2_OK || status == C2_OWNER_DIED);
    if (status == C2_OWNER_DIED) {
        MODEL_CHECK(model_died(0) || model_died(1));
        inside = 0;
        told++;
    }
    work();
    MODEL_CHECK(mutex_give(&word) == C2_OK);
}

static void told_once_a_death(void) {
    MODEL_CHECK(told <= model_died(0) + model_died(1));
    MODEL_CHECK(load_rlx(&word) == 0 || model_died(0) || model_died(1));
}

/* ---- the memory may go with the next owner ---- */

static struct shared {
    _Atomic uint64_t word;
    int users;
} *shared;

static void make_shared(void) {
    shared = calloc(1, sizeof *shared);
    shared->users = 2;
}

static void last_one_frees(void) {
    struct shared *s = shared;
    MODEL_CHECK(mutex_lock(&s->word, -1) == C2_OK);
    const int last = --s->users == 0;
    mutex_give(&s->word);
    if (last) free(s);
}

static void all_freed(void) {
    MODEL_CHECK(model_live_blocks() == 0);
}

static const model_test tests[] = {
    {.name = "2 threads, 2 rounds each",
     .threads = {locker, locker},
     .end = all_counted,
     .size = 2,
     .bounds = {.stale = 2}},
    {.name = "3 threads",
     .threads = {locker, locker, locker},
     .end = all_counted,
     .size = 1,
     .bounds = {.stale = 1}},
    {.name = "3 threads in 3 processes",
     .threads = {locker, locker, locker},
     .end = all_counted,
     .size = 1,
     .processes = true,
     .bounds = {.stale = 1}},
    {.name = "2 threads that spin first, sleeps that end for no reason",
     .threads = {locker, locker},
     .end = all_counted,
     .size = 2,
     .cpus = 2,
     .bounds = {.stale = 1, .spins = 2, .spurious = 2}},
    {.name = "one of 3 gives up after 5 us",
     .threads = {locker, impatient, locker},
     .end = free_again,
     .size = 1,
     .patience = 10000,
     .bounds = {.stale = 1, .timeouts = 1}},
    {.name = "one of 3 is interrupted",
     .threads = {locker, interrupted, locker},
     .end = free_again,
     .size = 1,
     .bounds = {.stale = 1, .interrupts = 1}},
    {.name = "one of 3 only tries",
     .threads = {locker, trier, locker},
     .end = free_again,
     .size = 1,
     .bounds = {.stale = 1}},
    {.name = "an owner dies at any step, one heir",
     .threads = {mortal, survivor},
     .end = told_once_a_death,
     .mortal = 1,
     .patience = INT64_MAX,
     .bounds = {.stale = 1, .deaths = 1, .timeouts = 1}},
    {.name = "an owner dies at any step, two heirs",
     .threads = {mortal, survivor, survivor},
     .end = told_once_a_death,
     .mortal = 1,
     .patience = INT64_MAX,
     .processes = true,
     .bounds = {.stale = 1, .deaths = 1}},
    {.name = "an owner and its heir die, one survivor",
     .threads = {mortal, mortal, survivor},
     .end = told_once_a_death,
     .mortal = 3,
     .patience = INT64_MAX,
     .processes = true,
     .bounds = {.stale = 1, .deaths = 2}},
    {.name = "whoever locks last frees the memory",
     .setup = make_shared,
     .threads = {last_one_frees, last_one_frees},
     .end = all_freed,
     .bounds = {.stale = 2}},
    {0}};

int main(int argc, char **argv) {
    return model_main(argc, argv, "mutex", tests);
}
