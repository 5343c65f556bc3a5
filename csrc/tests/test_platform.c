/* The seam to the operating system: what platform.h promises, one promise after the other. */
#define _GNU_SOURCE
#include "lives.h"

#ifdef C2_PLATFORM_linux
#define LINUX 1
#else
#define LINUX 0
#endif

/* ---- time and threads ---- */

TEST(time_goes_on) {
    int64_t before = c2_os_now();
    for (int k = 0; k < 1000; k++) {
        const int64_t now = c2_os_now();
        CHECK(now >= before);
        before = now;
    }
    CHECK(c2_os_cpus() >= 1);
    c2_os_relax();
    c2_os_yield();
}

static _Atomic int thread_ran;
static void note_mask(void *arg) {
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    CHECK(sigismember(&mask, SIGINT) == 1 && sigismember(&mask, SIGUSR1) == 1);
    CHECK_EQ((intptr_t)arg, 42);
    reach(&thread_ran, 1);
}

TEST(large_memory_is_zeroed_and_aligned) {
    const int64_t bytes = 3 * (int64_t)C2_LARGE_PAGE + 12345;
    for (int round = 0; round < 3; round++) {
        char *memory = c2_os_map(bytes);
        CHECK(memory != NULL);
        CHECK_EQ((uintptr_t)memory % C2_LARGE_PAGE, 0);
        for (int64_t k = 0; k < bytes; k += 97) {
            CHECK_EQ(memory[k], 0);
            memory[k] = 1;
        }
        c2_os_unmap(memory, bytes);
    }
    CHECK(c2_os_map(INT64_MAX / 2) == NULL);
}

TEST(a_thread_runs_with_signals_blocked) {
    sigset_t before, after;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    CHECK_EQ(c2_os_thread(note_mask, (void *)(intptr_t)42), C2_OK);
    await(&thread_ran, 1);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    CHECK_EQ(sigismember(&before, SIGINT), sigismember(&after, SIGINT));
}

/* ---- wait and wake ---- */

static const int sizes[] = {1, 2, 4, 8};

TEST(wait_returns_at_once_where_the_value_differs) {
    _Alignas(8) unsigned char memory[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    for (int k = 0; k < 4; k++)
        for (int at = 0; at < 16; at += sizes[k])
            CHECK_EQ(c2_os_wait(memory + at, sizes[k], 0, C2_FOREVER), C2_OK);
}

TEST(wait_ends_at_its_deadline_not_before) {
    _Alignas(8) unsigned char memory[8] = {0};
    for (int k = 0; k < 4; k++) {
        CHECK_EQ(c2_os_wait(memory, sizes[k], 0, 0), C2_TIMEOUT);
        CHECK_EQ(c2_os_wait(memory, sizes[k], 0, -1), C2_TIMEOUT);
        CHECK_EQ(c2_os_wait(memory, sizes[k], 0, c2_os_now()), C2_TIMEOUT);
        const int64_t deadline = c2_os_now() + 15 * MS;
        int status;
        do
            status = c2_os_wait(memory, sizes[k], 0, deadline);
        while (status != C2_TIMEOUT);
        CHECK(c2_os_now() >= deadline);
    }
}

typedef struct place {
    void *word;
    int size;
    _Atomic int rounds, stop;
} place;

/* Sleeps again and again until told to stop. */
static void *sleeper(void *arg) {
    place *p = arg;
    while (!load_acq(&p->stop)) {
        c2_os_wait(p->word, p->size, 0, c2_os_now() + 20 * MS);
        add_acq_rel(&p->rounds, 1);
    }
    return NULL;
}

TEST(a_wake_reaches_its_own_address_and_size_only) {
    _Alignas(16) unsigned char memory[16] = {0};
    for (int k = 0; k < 4; k++) {
        for (int at = 0; at < 8; at += sizes[k]) {
            place p = {memory + at, sizes[k], 0, 0};
            const pthread_t thread = go(sleeper, &p);
            for (int woken = 0; woken < 5;) {
                for (int j = 0; j < 3; j++) /* 1, 2, 4: futex_waitv answers to any size */
                    for (int other = 0; other < 16; other += sizes[j]) {
                        const int inside = k == 3 && other >= at && other < at + 8;
                        if ((j != k || other != at) && !inside)
                            CHECK_EQ(c2_os_wake(memory + other, sizes[j], 100), 0);
                    }
                CHECK_EQ(c2_os_wake(memory + 8, 8, 100), 0);
                CHECK_EQ(c2_os_wake(memory + at, sizes[k], 0), 0);
                woken += c2_os_wake(memory + at, sizes[k], 100);
            }
            store_rel(&p.stop, 1);
            pthread_join(thread, NULL);
        }
    }
}

TEST(a_wake_of_one_wakes_one) {
    _Alignas(8) unsigned char memory[8] = {0};
    enum { SLEEPERS = 3 };
    for (int k = 0; k < 4; k++) {
        place p = {memory, sizes[k], 0, 0};
        pthread_t threads[SLEEPERS];
        for (int t = 0; t < SLEEPERS; t++)
            threads[t] = go(sleeper, &p);
        int most = 0;
        for (int n = 0; n < 300 || most < 2; n++) {
            CHECK(c2_os_wake(memory, sizes[k], 1) <= 1);
            const int woken = c2_os_wake(memory, sizes[k], 2);
            CHECK(woken <= 2);
            if (woken > most) most = woken;
        }
        store_rel(&p.stop, 1);
        for (int t = 0; t < SLEEPERS; t++)
            pthread_join(threads[t], NULL);
    }
}

#if LINUX
static void on_signal(int signal) {
    (void)signal;
}

static void *interrupted(void *arg) {
    place *p = arg;
    int status;
    do
        status = c2_os_wait(p->word, p->size, 0, C2_FOREVER);
    while (status == C2_OK);
    CHECK_EQ(status, C2_INTERRUPTED);
    reach(&p->stop, 1);
    return NULL;
}

TEST(a_signal_interrupts) {
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &action, NULL);
    _Alignas(8) unsigned char memory[8] = {0};
    for (int k = 0; k < 4; k++) {
        place p = {memory, sizes[k], 0, 0};
        const pthread_t thread = go(interrupted, &p);
        while (!load_acq(&p.stop)) { /* the first may come before it sleeps */
            pthread_kill(thread, SIGUSR1);
            nap();
        }
        pthread_join(thread, NULL);
    }
}
#endif

/* ---- identity and life ---- */

static void *note_self(void *arg) {
    _Atomic uint64_t *out = arg;
    store_rel(out, c2_os_self());
    CHECK_EQ(c2_os_self(), load_acq(out));
    CHECK_EQ(c2_os_alive(c2_os_self()), 1);
    return NULL;
}

TEST(names_are_unique_and_leave_bit_31_alone) {
    enum { N = 20 };
    _Atomic uint64_t names[N + 1];
    atomic_init(&names[N], c2_os_self());
    for (int t = 0; t < N; t++) {
        atomic_init(&names[t], 0);
        pthread_join(go(note_self, &names[t]), NULL);
    }
    for (int t = 0; t <= N; t++) {
        const uint64_t name = load_acq(&names[t]);
        CHECK(name != 0);
        CHECK_EQ(name >> 31 & 1, 0);
        CHECK_EQ((uint32_t)name, (uint32_t)c2_os_self()); /* the process's half */
        if (t < N) CHECK(name != c2_os_self());
    }
}

TEST(a_thread_that_ended_is_not_alive) {
    _Atomic uint64_t name = 0;
    pthread_join(go(note_self, &name), NULL);
    /* join may return a moment before the system has taken the thread away */
    while (c2_os_alive(load_acq(&name)))
        nap();
    CHECK_EQ(c2_os_alive(load_acq(&name)), 0);
}

TEST(a_child_has_a_name_of_its_own) {
    scene *s = shared_memory(sizeof *s);
    const uint64_t mine = c2_os_self(); /* cached before the fork */
    const pid_t pid = child(live_until_told, s);
    await(&s->step, 1);
    CHECK((uint32_t)load_acq(&s->name) != (uint32_t)mine);
    CHECK_EQ(c2_os_self(), mine);
    CHECK_EQ(c2_os_alive(load_acq(&s->name)), 1);
    reach(&s->step, 2);
    join_child(pid);
    CHECK_EQ(c2_os_alive(load_acq(&s->name)), 0);
    munmap(s, sizeof *s);
}

TEST(a_stopped_process_is_alive) {
    scene *s = shared_memory(sizeof *s);
    const pid_t pid = child(live_until_told, s);
    await(&s->step, 1);
    kill(pid, SIGSTOP);
    until_stopped(pid);
    CHECK_EQ(c2_os_alive(load_acq(&s->name)), 1);
    kill(pid, SIGCONT);
    reach(&s->step, 2);
    join_child(pid);
    munmap(s, sizeof *s);
}

#if LINUX
TEST(a_zombie_is_not_alive) {
    scene *s = shared_memory(sizeof *s);
    const pid_t pid = child(live_until_told, s);
    await(&s->step, 1);
    CHECK_EQ(c2_os_alive(load_acq(&s->name)), 1);
    kill(pid, SIGKILL);
    until_ended(pid);
    CHECK_EQ(kill(pid, 0), 0); /* which is why the platform does not ask this */
    CHECK_EQ(c2_os_alive(load_acq(&s->name)), 0);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
    CHECK_EQ(c2_os_alive(load_acq(&s->name)), 0);
    munmap(s, sizeof *s);
}

#ifndef __SANITIZE_THREAD__ /* whose run-time ends the process with its first thread */
static void *outlive(void *arg) {
    scene *s = arg;
    await(&s->step, 2);
    _exit(0);
}

static void first_thread_ends(void *arg) {
    scene *s = arg;
    go(outlive, s);
    store_rel(&s->name, c2_os_self());
    reach(&s->step, 1);
    pthread_exit(NULL);
}

TEST(a_first_thread_that_ended_before_the_others_is_not_alive) {
    scene *s = shared_memory(sizeof *s);
    const pid_t pid = child(first_thread_ends, s);
    await(&s->step, 1);
    while (c2_os_alive(load_acq(&s->name)))
        nap();
    CHECK_EQ(kill(pid, 0), 0);
    CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0); /* its process lives on */
    reach(&s->step, 2);
    join_child(pid);
    munmap(s, sizeof *s);
}

#endif

/* The layout of a name is that of platform_linux.c; a start time of all zeros is "unknown". */
static uint64_t started_otherwise(uint64_t name) {
    const uint64_t bit = UINT64_C(1) << 60, rest = UINT64_C(0xFFC0000000000000) & ~bit;
    return name & rest ? name ^ bit : name ^ bit >> 1;
}

TEST(the_same_numbers_with_another_start_time_are_somebody_else) {
    scene *s = shared_memory(sizeof *s);
    const pid_t pid = child(live_until_told, s);
    await(&s->step, 1);
    const uint64_t name = load_acq(&s->name);
    CHECK_EQ(name & 0x3FFFFF, pid);
    CHECK_EQ(name >> 32 & 0x3FFFFF, pid);
    CHECK_EQ(c2_os_alive(name), 1);
    CHECK_EQ(c2_os_alive(started_otherwise(name)), 0);
    CHECK_EQ(c2_os_alive(name ^ UINT64_C(1) << 22), 1); /* another namespace: cannot tell */
    CHECK_EQ(c2_os_alive(started_otherwise(c2_os_self())), 0);
    reach(&s->step, 2);
    join_child(pid);
    munmap(s, sizeof *s);
}
#endif

int main(void) {
    RUN(time_goes_on);
    RUN(wait_returns_at_once_where_the_value_differs);
    RUN(wait_ends_at_its_deadline_not_before);
    /* before the first thread: a sanitizer wants forks from a single thread */
    RUN(a_child_has_a_name_of_its_own);
    RUN(a_stopped_process_is_alive);
#if LINUX
    RUN(a_zombie_is_not_alive);
    RUN(the_same_numbers_with_another_start_time_are_somebody_else);
#ifndef __SANITIZE_THREAD__
    RUN(a_first_thread_that_ended_before_the_others_is_not_alive);
#endif
    RUN(a_signal_interrupts);
#endif
    RUN(large_memory_is_zeroed_and_aligned);
    RUN(a_thread_runs_with_signals_blocked);
    RUN(names_are_unique_and_leave_bit_31_alone);
    RUN(a_thread_that_ended_is_not_alive);
    RUN(a_wake_reaches_its_own_address_and_size_only);
    RUN(a_wake_of_one_wakes_one);
    return report();
}
