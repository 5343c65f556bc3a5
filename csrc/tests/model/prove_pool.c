/* The thread pool: each job runs once, or is taken back and never runs. */
#include "atomic.h"
#include "model.h"
#include "platform.h"
#include "pool.h"

static int ran[4];               /* by job; plain: start must publish, and `done` hand back */
static _Atomic uint32_t done[4]; /* set by the job at its end */
static int given[4], taken_back[4];

static void job(void *arg) {
    const int k = (int)(intptr_t)arg;
    MODEL_CHECK(given[k] == 1);
    ran[k]++;
    store_rel(&done[k], 1);
    c2_os_wake((const void *)&done[k], 4, 1);
}

static void await(int k) {
    while (!load_acq(&done[k]))
        c2_os_wait((const void *)&done[k], 4, 0, C2_FOREVER);
    MODEL_CHECK(ran[k] == 1);
}

/* Start job k, and either wait for it or try to take it back. */
static void one_job(int k, int revoke) {
    uint32_t ticket;
    given[k] = 1;
    c2_worker *w = c2_pool_start(job, (void *)(intptr_t)k, &ticket);
    if (!w) {
        MODEL_CHECK(ran[k] == 0);
        given[k] = 2;
    } else if (revoke && c2_pool_revoke(w, ticket)) {
        taken_back[k] = 1;
    } else {
        await(k);
    }
}

static void one(void) {
    one_job(0, 0);
}
static void two_in_turn(void) {
    one_job(0, 0);
    one_job(1, 0);
}
static void start_and_revoke(void) {
    one_job(0, 1);
    one_job(1, 1);
}
static void other(void) {
    one_job(2, 0);
}
static void other_revoked(void) {
    one_job(2, 1);
}

/* Two jobs that wait for each other: each needs a thread of its own. */
static _Atomic uint32_t met[2];
static void meet(void *arg) {
    const int k = (int)(intptr_t)arg;
    store_rel(&met[k], 1);
    c2_os_wake((const void *)&met[k], 4, 1);
    while (!load_acq(&met[1 - k]))
        c2_os_wait((const void *)&met[1 - k], 4, 0, C2_FOREVER);
    ran[k]++;
    store_rel(&done[k], 1);
    c2_os_wake((const void *)&done[k], 4, 1);
}
static void two_that_meet(void) {
    uint32_t ticket;
    for (int k = 0; k < 2; k++)
        MODEL_CHECK(c2_pool_start(meet, (void *)(intptr_t)k, &ticket));
    await(0);
    await(1);
}

/* A revoke that comes late, when its worker has the next job. */
static void late_revoke(void) {
    uint32_t first, second;
    given[0] = given[1] = 1;
    c2_worker *w = c2_pool_start(job, (void *)0, &first);
    await(0);
    c2_worker *again = c2_pool_start(job, (void *)1, &second);
    const int late = c2_pool_revoke(w, first);
    MODEL_CHECK(!late);
    if (again) await(1);
}

static void once_or_never(void) {
    for (int k = 0; k < 4; k++) {
        if (given[k] == 1)
            MODEL_CHECK(ran[k] + taken_back[k] == 1);
        else
            MODEL_CHECK(ran[k] == 0);
    }
}

static void both_ran(void) {
    MODEL_CHECK(ran[0] == 1 && ran[1] == 1);
}

static const model_test tests[] = {
    {.name = "one job", .threads = {one}, .end = once_or_never, .bounds = {.stale = 3, .spins = 2}},
    {.name = "two jobs in turn: the thread is used again",
     .threads = {two_in_turn},
     .end = once_or_never,
     .bounds = {.stale = 1, .spins = 1, .spurious = 1}},
    {.name = "two jobs in turn, idle threads retire at any time",
     .threads = {two_in_turn},
     .end = once_or_never,
     .bounds = {.stale = 1, .spins = 1, .timeouts = 2}},
    {.name = "two jobs, each taken back if it has not begun",
     .threads = {start_and_revoke},
     .end = once_or_never,
     .bounds = {.stale = 1, .spins = 1, .timeouts = 1, .preemptions = 4}},
    {.name = "two callers",
     .threads = {two_in_turn, other},
     .end = once_or_never,
     .bounds = {.spins = 1, .preemptions = 2}},
    {.name = "two callers that take back",
     .threads = {start_and_revoke, other_revoked},
     .end = once_or_never,
     .bounds = {.spins = 1, .preemptions = 2, .timeouts = 1}},
    {.name = "a revoke that comes late takes nobody's job",
     .threads = {late_revoke},
     .end = both_ran,
     .bounds = {.spins = 1, .timeouts = 1}},
    {.name = "jobs that wait for each other",
     .threads = {two_that_meet},
     .end = both_ran,
     .bounds = {.stale = 1, .spins = 1, .preemptions = 3}},
    {.name = "the system refuses a thread",
     .threads = {two_in_turn},
     .end = once_or_never,
     .bounds = {.stale = 1, .spins = 1, .refusals = 1}},
    {0}};

int main(int argc, char **argv) {
    return model_main(argc, argv, "pool", tests);
}
