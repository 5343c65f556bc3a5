/* The mutex between processes, and owners that are killed, stopped, or waiters that are killed.
 * Parent and child step through each scene together on shared memory. */
#define _GNU_SOURCE
#include "threads.h"
#include "mutex.h"

/* mutex.c promises about 50 ms; a loaded machine gets more. */
#define SOON (2000 * MS)

typedef struct scene {
    _Atomic uint64_t word;
    _Atomic int step;
    long half_done; /* guarded by the lock, and left at 1 by an owner that is killed */
} scene;

static scene *s;

static void begin(void) {
    store_rel(&s->word, 0);
    reach(&s->step, 0);
    s->half_done = 0;
}

static void hold_until_killed(void *arg) {
    CHECK_EQ(c2_mutex_lock(&s->word, -1), C2_OK);
    s->half_done = 1;
    reach(&s->step, 1);
    for (;;)
        pause();
}

/* On the portable seam a zombie counts as alive, so it is waited for first. */
static void until_gone(pid_t pid, int reap) {
#ifdef C2_PLATFORM_linux
    if (!reap) {
        until_ended(pid);
        return;
    }
#endif
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
}

static void take_from_a_killed_owner(int reap, int64_t timeout) {
    begin();
    const pid_t pid = child(hold_until_killed, NULL);
    await(&s->step, 1);
    CHECK_EQ(c2_mutex_lock(&s->word, 0), C2_BUSY);
    CHECK_EQ(c2_mutex_lock(&s->word, 3 * MS), C2_TIMEOUT);
    kill(pid, SIGKILL);
    until_gone(pid, reap);
    const int64_t start = c2_os_now();
    int status;
    do
        status = c2_mutex_lock(&s->word, timeout);
    while (status == C2_BUSY);
    CHECK_EQ(status, C2_OWNER_DIED);
    CHECK(c2_os_now() - start < SOON);
    CHECK_EQ(s->half_done, 1);
    CHECK_EQ(c2_mutex_unlock(&s->word), C2_OK);
    CHECK_EQ(c2_mutex_lock(&s->word, -1), C2_OK); /* it is told once */
    CHECK_EQ(c2_mutex_unlock(&s->word), C2_OK);
    waitpid(pid, NULL, 0);
}

TEST(a_killed_owner) {
    take_from_a_killed_owner(1, -1);
    take_from_a_killed_owner(1, SOON);
    take_from_a_killed_owner(1, 0);
}

TEST(a_killed_owner_that_nobody_waited_for) {
    take_from_a_killed_owner(0, -1);
    take_from_a_killed_owner(0, SOON);
    take_from_a_killed_owner(0, 0);
}

static void exit_as_owner(void *arg) {
    CHECK_EQ(c2_mutex_lock(&s->word, -1), C2_OK);
}

TEST(an_owner_that_exits) {
    begin();
    join_child(child(exit_as_owner, NULL));
    CHECK_EQ(c2_mutex_lock(&s->word, -1), C2_OWNER_DIED);
    CHECK_EQ(c2_mutex_unlock(&s->word), C2_OK);
}

TEST(a_stopped_owner_is_not_robbed) {
    begin();
    const pid_t pid = child(hold_until_killed, NULL);
    await(&s->step, 1);
    kill(pid, SIGSTOP);
    until_stopped(pid);
    CHECK_EQ(c2_mutex_lock(&s->word, 150 * MS), C2_TIMEOUT); /* several looks long */
    kill(pid, SIGKILL);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
    CHECK_EQ(c2_mutex_lock(&s->word, -1), C2_OWNER_DIED);
    CHECK_EQ(c2_mutex_unlock(&s->word), C2_OK);
}

static void wait_until_killed(void *arg) {
    CHECK_EQ(c2_mutex_lock(&s->word, -1), C2_OK); /* never gets it */
    CHECK(!"a killed waiter went on");
}

static void lock_once(void *arg) {
    reach(&s->step, 2);
    CHECK_EQ(c2_mutex_lock(&s->word, -1), C2_OK);
    CHECK_EQ(c2_mutex_unlock(&s->word), C2_OK);
}

TEST(a_killed_waiter_harms_nobody) {
    begin();
    CHECK_EQ(c2_mutex_lock(&s->word, -1), C2_OK);
    const pid_t victim = child(wait_until_killed, NULL);
    while (!(load_acq(&s->word) & C2_MUTEX_WAITERS))
        nap();
    const pid_t next = child(lock_once, NULL);
    await(&s->step, 2);
    kill(victim, SIGKILL);
    until_ended(victim);
    CHECK_EQ(c2_mutex_unlock(&s->word), C2_OK);
    join_child(next);
    CHECK_EQ(waitpid(victim, NULL, 0), victim);
    CHECK_EQ(c2_mutex_locked(&s->word), 0);
}

/* An unlock whose process was killed before its wake: the word is 0, everybody sleeps. */
TEST(a_wake_that_was_never_sent) {
    begin();
    CHECK_EQ(c2_mutex_lock(&s->word, -1), C2_OK);
    const pid_t next = child(lock_once, NULL);
    while (!(load_acq(&s->word) & C2_MUTEX_WAITERS))
        nap();
    usleep(20000); /* it sleeps, most likely; where not, this is the ordinary case */
    const int64_t start = c2_os_now();
    store_rel(&s->word, 0);
    join_child(next);
    CHECK(c2_os_now() - start < SOON);
}

/* Of several heirs one is told, the others get an ordinary lock. */
enum { HEIRS = 4 };

static void inherit_or_lock(void *arg) {
    add_acq_rel(&s->step, 1);
    const int status = c2_mutex_lock(&s->word, -1);
    CHECK(status == C2_OK || status == C2_OWNER_DIED);
    if (status == C2_OWNER_DIED) {
        CHECK_EQ(s->half_done, 1);
        s->half_done = 100;
    }
    s->half_done++;
    CHECK_EQ(c2_mutex_unlock(&s->word), C2_OK);
}

TEST(one_of_several_heirs_is_told) {
    begin();
    const pid_t owner = child(hold_until_killed, NULL);
    await(&s->step, 1);
    pid_t heirs[HEIRS];
    for (int k = 0; k < HEIRS; k++)
        heirs[k] = child(inherit_or_lock, NULL);
    await(&s->step, 1 + HEIRS);
    kill(owner, SIGKILL);
    until_gone(owner, 1);
    for (int k = 0; k < HEIRS; k++)
        join_child(heirs[k]);
    CHECK_EQ(s->half_done, 100 + HEIRS);
    CHECK_EQ(c2_mutex_locked(&s->word), 0);
}

static void not_mine(void *arg) {
    CHECK_EQ(c2_mutex_unlock(&s->word), C2_NOT_OWNER);
    CHECK_EQ(c2_mutex_lock(&s->word, 0), C2_BUSY);
    CHECK_EQ(c2_mutex_lock(&s->word, 5 * MS), C2_TIMEOUT);
}

TEST(fork_does_not_hand_the_lock_to_the_child) {
    begin();
    CHECK_EQ(c2_mutex_lock(&s->word, -1), C2_OK);
    join_child(child(not_mine, NULL));
    CHECK_EQ(c2_mutex_unlock(&s->word), C2_OK);
}

/* Owners are killed at any moment while others work. `half_done` counts pairs: an owner adds 1
 * before and 1 after, so whoever is told of a death may find it odd, and repairs it. */
static void add_pairs(void *arg) {
    for (;;) {
        const int status = c2_mutex_lock(&s->word, -1);
        CHECK(status == C2_OK || status == C2_OWNER_DIED);
        if (status == C2_OK) CHECK_EQ(s->half_done % 2, 0);
        if (s->half_done % 2) s->half_done++;
        volatile long *count = &s->half_done;
        ++*count;
        for (int k = 0; k < 100; k++)
            c2_os_relax();
        ++*count;
        CHECK_EQ(c2_mutex_unlock(&s->word), C2_OK);
        add_acq_rel(&s->step, 1);
    }
}

TEST(killed_at_any_moment) {
    begin();
    enum { WORKERS = 3, KILLS = SANITIZED ? 10 : 40 };
    pid_t workers[WORKERS];
    for (int k = 0; k < WORKERS; k++)
        workers[k] = child(add_pairs, NULL);
    for (int k = 0; k < KILLS; k++) {
        const int from = load_acq(&s->step);
        const int64_t start = c2_os_now();
        while (load_acq(&s->step) - from < 50 + k)
            nap(); /* they go on */
        CHECK(c2_os_now() - start < 5 * SOON);
        kill(workers[k % WORKERS], SIGKILL);
        int status = 0;
        CHECK_EQ(waitpid(workers[k % WORKERS], &status, 0), workers[k % WORKERS]);
        CHECK(WIFSIGNALED(status)); /* not ended by a failed check */
        workers[k % WORKERS] = child(add_pairs, NULL);
    }
    for (int k = 0; k < WORKERS; k++) {
        kill(workers[k], SIGKILL);
        CHECK_EQ(waitpid(workers[k], NULL, 0), workers[k]);
    }
    const int status = c2_mutex_lock(&s->word, -1);
    CHECK(status == C2_OK || status == C2_OWNER_DIED);
    CHECK_EQ(c2_mutex_unlock(&s->word), C2_OK);
}

int main(void) {
    s = shared_memory(sizeof *s);
    RUN(a_killed_owner);
    RUN(a_killed_owner_that_nobody_waited_for);
    RUN(an_owner_that_exits);
    RUN(a_stopped_owner_is_not_robbed);
    RUN(a_killed_waiter_harms_nobody);
    RUN(a_wake_that_was_never_sent);
    RUN(one_of_several_heirs_is_told);
    RUN(fork_does_not_hand_the_lock_to_the_child);
    RUN(killed_at_any_moment);
    return report();
}
