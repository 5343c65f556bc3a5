/* Threads, children and shared memory for tests: each a line to use, each checked. */
#ifndef C2_TEST_THREADS_H
#define C2_TEST_THREADS_H

#include <pthread.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>

#include "check.h"
#include "atomic.h"
#include "platform.h"

#define MS INT64_C(1000000)

/* Between two looks at what another thread or process is to do. Not a yield: on a busy machine
 * that puts the thread behind everybody else, one time slice after the other, and a test of 40
 * hand-overs took longer than its time box. One that wakes from a sleep comes first. */
static inline void nap(void) {
    nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
}

static inline pthread_t go(void *(*body)(void *), void *arg) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, body, arg)) abort();
    return thread;
}

static inline void *shared_memory(size_t bytes) {
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) abort();
    return p;
}

/* What gcov has counted is written down where a process ends; not at _exit (coverage.py). */
#ifdef C2_COVERAGE
void __gcov_dump(void);
#else
#define __gcov_dump() (void)0
#endif

/* Runs body(arg) in a child; its failed checks become the exit status. */
static inline pid_t child(void (*body)(void *), void *arg) {
    fflush(NULL);
    const pid_t pid = fork();
    if (pid < 0) abort();
    if (pid == 0) {
        atomic_store(&check_failures, 0);
        alarm(TIME_BOX); /* the parent's does not pass on */
        body(arg);
        __gcov_dump();
        _exit(atomic_load(&check_failures) ? 1 : 0);
    }
    return pid;
}

static inline void join_child(pid_t pid) {
    int status = -1;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
}

/* The child has ended and nobody has waited for it: it is a zombie now. */
static inline void until_ended(pid_t pid) {
    siginfo_t info;
    CHECK_EQ(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
}

static inline void until_stopped(pid_t pid) {
    siginfo_t info;
    CHECK_EQ(waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOWAIT), 0);
}

/* Steps of a test that several threads or processes go through together. */
static inline void reach(_Atomic int *step, int n) {
    store_rel(step, n);
}
static inline void await(_Atomic int *step, int n) {
    while (load_acq(step) < n)
        nap();
}

#endif
