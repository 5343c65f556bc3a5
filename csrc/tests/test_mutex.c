/* The mutex within one process: each status, each state of the word (mutex.h), hand-over. */
#define _GNU_SOURCE
#include "threads.h"
#include "mutex.h"

static _Atomic uint64_t word;

TEST(lock_and_unlock) {
    CHECK_EQ(c2_mutex_locked(&word), 0);
    CHECK_EQ(c2_mutex_lock(&word, -1), C2_OK);
    CHECK_EQ(c2_mutex_locked(&word), 1);
    CHECK_EQ(load_acq(&word), c2_os_self());
    CHECK_EQ(c2_mutex_unlock(&word), C2_OK);
    CHECK_EQ(load_acq(&word), 0);
    CHECK_EQ(c2_mutex_lock(&word, 0), C2_OK);
    CHECK_EQ(c2_mutex_unlock(&word), C2_OK);
    CHECK_EQ(c2_mutex_lock(&word, 1), C2_OK);
    CHECK_EQ(c2_mutex_unlock(&word), C2_OK);
    CHECK_EQ(c2_mutex_lock(&word, INT64_MAX), C2_OK);
    CHECK_EQ(c2_mutex_unlock(&word), C2_OK);
}

TEST(unlock_by_one_who_does_not_hold_it) {
    CHECK_EQ(c2_mutex_unlock(&word), C2_NOT_OWNER); /* nobody does */
    CHECK_EQ(load_acq(&word), 0);
}

TEST(lock_by_the_owner_again) {
    CHECK_EQ(c2_mutex_lock(&word, -1), C2_OK);
    CHECK_EQ(c2_mutex_lock(&word, -1), C2_DEADLOCK);
    CHECK_EQ(c2_mutex_lock(&word, 0), C2_BUSY);
    const int64_t start = c2_os_now();
    CHECK_EQ(c2_mutex_lock(&word, 5 * MS), C2_TIMEOUT);
    CHECK(c2_os_now() - start >= 5 * MS);
    CHECK_EQ(c2_mutex_unlock(&word), C2_OK); /* one lock, one unlock */
    CHECK_EQ(c2_mutex_unlock(&word), C2_NOT_OWNER);
}

/* ---- two threads ---- */

typedef struct other {
    _Atomic int step;
    int64_t timeout;
    int status;
} other;

static void *stranger(void *arg) {
    other *o = arg;
    CHECK_EQ(c2_mutex_unlock(&word), C2_NOT_OWNER);
    CHECK_EQ(c2_mutex_lock(&word, 0), C2_BUSY);
    const int64_t start = c2_os_now();
    CHECK_EQ(c2_mutex_lock(&word, 10 * MS), C2_TIMEOUT);
    CHECK(c2_os_now() - start >= 10 * MS);
    CHECK_EQ(c2_mutex_lock(&word, 1), C2_TIMEOUT);
    o->status = c2_mutex_locked(&word);
    return NULL;
}

TEST(a_stranger_neither_unlocks_nor_locks) {
    other o = {.step = 0};
    CHECK_EQ(c2_mutex_lock(&word, -1), C2_OK);
    pthread_join(go(stranger, &o), NULL);
    CHECK_EQ(o.status, 1);
    /* It gave up, but somebody else might sleep: the bit stays until the unlock. */
    CHECK_EQ(load_acq(&word), c2_os_self() | C2_MUTEX_WAITERS);
    CHECK_EQ(c2_mutex_unlock(&word), C2_OK);
    CHECK_EQ(load_acq(&word), 0);
}

static void *lock_and_keep_a_while(void *arg) {
    other *o = arg;
    o->status = c2_mutex_lock(&word, o->timeout);
    reach(&o->step, 1);
    if (o->status != C2_OK) return NULL;
    await(&o->step, 2);
    CHECK_EQ(c2_mutex_unlock(&word), C2_OK);
    return NULL;
}

static void wait_for_waiters(void) {
    while (!(load_acq(&word) & C2_MUTEX_WAITERS))
        nap();
}

TEST(a_sleeper_gets_the_lock_when_it_is_released) {
    const int64_t timeouts[] = {-1, 20000 * MS};
    for (int k = 0; k < 2; k++) {
        other o = {.timeout = timeouts[k]};
        CHECK_EQ(c2_mutex_lock(&word, -1), C2_OK);
        const pthread_t thread = go(lock_and_keep_a_while, &o);
        wait_for_waiters();
        CHECK_EQ(load_acq(&o.step), 0);
        CHECK_EQ(c2_mutex_unlock(&word), C2_OK);
        await(&o.step, 1);
        CHECK_EQ(o.status, C2_OK);
        /* It slept, or was about to: it may not know whether others do. */
        CHECK(load_acq(&word) != 0);
        CHECK_EQ(c2_mutex_lock(&word, 0), C2_BUSY);
        reach(&o.step, 2);
        pthread_join(thread, NULL);
        CHECK_EQ(c2_mutex_locked(&word), 0);
    }
}

/* Two sleep, one of them with a timeout that runs out while the lock is handed on. Whatever the
 * order, the one without gets it. */
TEST(a_timeout_does_not_use_up_a_wake) {
    for (int k = 0; k < 40; k++) {
        other patient = {.timeout = -1}, hasty = {.timeout = 2 * MS + k * MS / 40};
        CHECK_EQ(c2_mutex_lock(&word, -1), C2_OK);
        const pthread_t b = go(lock_and_keep_a_while, &hasty);
        const pthread_t a = go(lock_and_keep_a_while, &patient);
        usleep(2000); /* near the timeout: that is the race wanted here */
        CHECK_EQ(c2_mutex_unlock(&word), C2_OK);
        while (!load_acq(&patient.step) && !load_acq(&hasty.step))
            nap();
        await(&hasty.step, 1);
        reach(&hasty.step, 2);
        await(&patient.step, 1);
        CHECK_EQ(patient.status, C2_OK);
        reach(&patient.step, 2);
        pthread_join(a, NULL);
        pthread_join(b, NULL);
    }
    CHECK_EQ(load_acq(&word), 0);
}

static void *lock_and_end(void *arg) {
    CHECK_EQ(c2_mutex_lock(&word, -1), C2_OK);
    *(uint64_t *)arg = c2_os_self();
    return NULL;
}

TEST(a_thread_that_ends_as_the_owner_leaves_the_lock_to_the_next) {
    for (int k = 0; k < 3; k++) {
        const int64_t timeouts[] = {-1, 20000 * MS, 0};
        uint64_t name;
        pthread_join(go(lock_and_end, &name), NULL);
        CHECK_EQ(load_acq(&word), name);
        CHECK_EQ(c2_mutex_locked(&word), 1);
        int status;
        do
            status = c2_mutex_lock(&word, timeouts[k]);
        while (status == C2_BUSY); /* one that only tries gets it too */
        CHECK_EQ(status, C2_OWNER_DIED);
        /* One that waited has set the bit, and others may have slept behind it: it stays. */
        CHECK_EQ(load_acq(&word), c2_os_self() | (timeouts[k] ? C2_MUTEX_WAITERS : 0));
        CHECK_EQ(c2_mutex_lock(&word, -1), C2_DEADLOCK); /* it is held, like any lock */
        CHECK_EQ(c2_mutex_unlock(&word), C2_OK);
        CHECK_EQ(load_acq(&word), 0);
    }
}

TEST(an_heir_that_only_tries_still_wakes_the_sleepers) {
    uint64_t name;
    pthread_join(go(lock_and_end, &name), NULL);
    store_rel(&word, name | C2_MUTEX_WAITERS);
    while (c2_mutex_lock(&word, 0) != C2_OWNER_DIED)
        nap();
    CHECK_EQ(load_acq(&word), c2_os_self() | C2_MUTEX_WAITERS);
    CHECK_EQ(c2_mutex_unlock(&word), C2_OK);
}

TEST(timeouts_shorter_than_a_slice_inherit_too) {
    uint64_t name;
    pthread_join(go(lock_and_end, &name), NULL);
    int status;
    do
        status = c2_mutex_lock(&word, MS / 10);
    while (status == C2_TIMEOUT);
    CHECK_EQ(status, C2_OWNER_DIED);
    CHECK_EQ(c2_mutex_unlock(&word), C2_OK);
}

static void *lock_two_and_end(void *arg) {
    _Atomic uint64_t *words = arg;
    CHECK_EQ(c2_mutex_lock(&words[0], -1), C2_OK);
    return NULL;
}

/* A live owner's lock, polled in turn with a dead one's, must not use up every look. */
TEST(polling_two_locks_finds_the_dead_owner) {
    _Atomic uint64_t words[2] = {0, 0};
    other o = {.timeout = -1};
    CHECK_EQ(c2_mutex_lock(&word, -1), C2_OK);
    CHECK_EQ(c2_mutex_unlock(&word), C2_OK);
    const pthread_t holder = go(lock_and_keep_a_while, &o);
    await(&o.step, 1);
    pthread_join(go(lock_two_and_end, words), NULL);
    int status;
    do {
        CHECK_EQ(c2_mutex_lock(&word, 0), C2_BUSY);
        status = c2_mutex_lock(&words[0], 0);
    } while (status == C2_BUSY);
    CHECK_EQ(status, C2_OWNER_DIED);
    reach(&o.step, 2);
    pthread_join(holder, NULL);
}

#ifdef C2_PLATFORM_linux
static _Atomic int got_signal;
static void on_signal(int signal) {
    (void)signal;
}

static void *wait_for_signal(void *arg) {
    (void)arg;
    CHECK_EQ(c2_mutex_lock(&word, -1), C2_INTERRUPTED);
    store_rel(&got_signal, 1);
    return NULL;
}

TEST(a_signal_interrupts_a_wait) {
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &action, NULL);
    CHECK_EQ(c2_mutex_lock(&word, -1), C2_OK);
    const pthread_t thread = go(wait_for_signal, NULL);
    while (!load_acq(&got_signal)) {
        pthread_kill(thread, SIGUSR1);
        nap();
    }
    pthread_join(thread, NULL);
    CHECK_EQ(load_acq(&word), c2_os_self() | C2_MUTEX_WAITERS); /* it gave up without harm */
    CHECK_EQ(c2_mutex_unlock(&word), C2_OK);
}
#endif

int main(void) {
    RUN(lock_and_unlock);
    RUN(unlock_by_one_who_does_not_hold_it);
    RUN(lock_by_the_owner_again);
    RUN(a_stranger_neither_unlocks_nor_locks);
    RUN(a_sleeper_gets_the_lock_when_it_is_released);
    RUN(a_timeout_does_not_use_up_a_wake);
    RUN(a_thread_that_ends_as_the_owner_leaves_the_lock_to_the_next);
    RUN(an_heir_that_only_tries_still_wakes_the_sleepers);
    RUN(timeouts_shorter_than_a_slice_inherit_too);
    RUN(polling_two_locks_finds_the_dead_owner);
#ifdef C2_PLATFORM_linux
    RUN(a_signal_interrupts_a_wait);
#endif
    return report();
}
