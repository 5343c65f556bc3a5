/* The seam to the operating system on Linux: futexes to sleep on, /proc for who still lives.
 * (posix.c has the parts that need no more than POSIX.)
 *
 * All futexes are of the shared kind (no FUTEX_PRIVATE_FLAG), so that processes that map the
 * same memory, at whatever addresses, meet. The system calls are made directly, since libc has
 * no wrappers; numbers that are newer than the oldest headers in use are written out.
 * A sanitizer does not see into these calls: nothing in this file orders the caller's memory,
 * the caller's own atomics do.
 *
 * Sources: futex(2), pidfd_open(2), proc(5), the kernel's Documentation/userspace-api/futex2.rst;
 * Drepper, "Futexes are tricky" (2011).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "atomic.h"
#include "cpu.h"
#include "platform.h"

_Static_assert(sizeof(long) == 8, "the futex calls below pass a 64-bit timespec");

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434 /* Linux 5.3; the same number on every architecture */
#endif
#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449 /* Linux 5.16 */
#endif

enum { WAIT_BITSET = 9, WAKE_BITSET = 10, WAITV_SIZE_U32 = 2 };

/* ---- processors -------------------------------------------------------------------------- */

int c2_os_stay_on(const uint64_t *mask, uint64_t *before) {
    const size_t bytes = C2_CPU_WORDS * sizeof *mask; /* the kernel's words, on little ends */
    if (before) {
        memset(before, 0, bytes);
        if (sched_getaffinity(0, bytes, (cpu_set_t *)before)) return C2_SYSTEM;
    }
    return sched_setaffinity(0, bytes, (const cpu_set_t *)mask) ? C2_SYSTEM : C2_OK;
}

int c2_os_cpus(void) {
    /* A fixed cpu_set_t holds 1024 processors; the call fails where the machine has more. */
    for (int most = 1024; most <= 1 << 20; most *= 4) {
        const size_t bytes = CPU_ALLOC_SIZE(most);
        cpu_set_t *set = CPU_ALLOC(most);
        if (!set) break;
        const int failed = sched_getaffinity(0, bytes, set);
        const int count = failed ? 0 : CPU_COUNT_S(bytes, set);
        CPU_FREE(set);
        if (count > 0) return count;
    }
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 && online < INT_MAX ? (int)online : 1;
}

/* ---- wait and wake ---------------------------------------------------------------------- */

/* A futex is 32 bits wide. How the other sizes map to it:
 *
 *   4        the futex itself
 *   1, 2     the aligned 32-bit word around them. A neighbour's change makes the kernel's
 *            comparison fail: a spurious return, which the contract allows.
 *   8        both halves, through futex_waitv: it queues the sleeper on the low half, compares
 *            that, queues it on the high half and compares that. A change of either half before
 *            its comparison ends the call; a change after it is followed by the changer's wake,
 *            which goes to the low half, where the sleeper was queued before both comparisons.
 *            (Sleeping on the low half alone would lose a change of the high half only.)
 *
 * A wake reaches exactly the sleepers of its own address and size, so that `count` is not spent
 * on somebody else: each place within the word has its bit in the futex's bitset. Except that
 * futex_waitv has no bitset, so a sleeper of size 8 also answers wakes of smaller sizes on its
 * low half, and may use one up. Only memory that is waited on in both ways at once can see that.
 */
static uint32_t place_bit(const void *word, int size) {
    const int offset = (int)((uintptr_t)word & 3);
    return size == 1 ? 1u << offset : size == 2 ? 16u << (offset >> 1) : size == 4 ? 64u : 128u;
}

static const void *futex_of(const void *word, int size) {
    return size == 8 ? low_half(word) : (const void *)((uintptr_t)word & ~(uintptr_t)3);
}

/* The word around a smaller one may reach over the end of the caller's object, though never over
 * the end of a page, and its other bytes may be anybody's, written in any way: a sanitizer must
 * not judge this load. The kernel compares the same 32 bits again. */
__attribute__((no_sanitize("address", "thread"), noinline)) static uint32_t
load_around(const void *futex) {
    return *(const volatile uint32_t *)futex;
}

static int status_of_errno(void) {
    switch (errno) {
    case ETIMEDOUT: return C2_TIMEOUT;
    case EINTR: return C2_INTERRUPTED;
    default: return C2_OK; /* EAGAIN: the value differs */
    }
}

static struct timespec timespec_of(int64_t ns) {
    if (ns < 0) ns = 0; /* long past; the kernel refuses negative times */
    return (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
}

static int wait32(const void *futex, uint32_t expected, uint32_t bits, int64_t deadline) {
    const struct timespec at = timespec_of(deadline); /* absolute, CLOCK_MONOTONIC */
    const long r = syscall(SYS_futex, futex, WAIT_BITSET, expected,
                           deadline == C2_FOREVER ? NULL : &at, NULL, bits);
    return r == 0 ? C2_OK : status_of_errno();
}

/* Without futex_waitv (before Linux 5.16, or a sandbox that does not know it) a sleeper on 64
 * bits sleeps on the low half, this long at most: then it looks at the high half again. */
enum { HALF_BLIND_NS = 1000000 };

/* 0 until the kernel has refused futex_waitv, then 1. Any thread may set it; relaxed, since
 * nothing hangs on it but the choice of the call. */
static _Atomic int no_waitv;

static int wait64(const void *word, uint64_t expected, int64_t deadline) {
    const char *low = low_half(word);
    const char *high = low == (const char *)word ? low + 4 : word;
    if (!load_rlx(&no_waitv)) {
        struct {
            uint64_t value, address;
            uint32_t flags, reserved;
        } halves[2] = {{(uint32_t)expected, (uintptr_t)low, WAITV_SIZE_U32, 0},
                       {expected >> 32, (uintptr_t)high, WAITV_SIZE_U32, 0}};
        const struct timespec at = timespec_of(deadline);
        const long r = syscall(SYS_futex_waitv, halves, 2, 0, deadline == C2_FOREVER ? NULL : &at,
                               CLOCK_MONOTONIC);
        if (r >= 0) return C2_OK;
        if (errno != ENOSYS && errno != EPERM) return status_of_errno();
        store_rlx(&no_waitv, 1);
    }
    if (load_rlx((const _Atomic uint64_t *)word) != expected) return C2_OK;
    const int64_t look = c2_os_now() + HALF_BLIND_NS;
    if (deadline <= look) return wait32(low, (uint32_t)expected, place_bit(low, 8), deadline);
    const int status = wait32(low, (uint32_t)expected, place_bit(low, 8), look);
    return status == C2_TIMEOUT ? C2_OK : status;
}

int c2_os_wait(const void *word, int size, uint64_t expected, int64_t deadline) {
    if (size == 8) return wait64(word, expected, deadline);
    const void *futex = futex_of(word, size);
    if (size == 4) return wait32(futex, (uint32_t)expected, place_bit(word, 4), deadline);
    const uint32_t around = load_around(futex);
    const char *place = (const char *)&around + ((uintptr_t)word & 3);
    uint16_t now = 0;
    if (size == 1) {
        now = *(const uint8_t *)place;
    } else {
        memcpy(&now, place, 2);
    }
    if (now != expected) return C2_OK;
    return wait32(futex, around, place_bit(word, size), deadline);
}

int c2_os_wake(const void *word, int size, int count) {
    if (count <= 0) return 0;
    const long woken = syscall(SYS_futex, futex_of(word, size), WAKE_BITSET, count, NULL, NULL,
                               place_bit(word, size));
    return woken > 0 ? (int)woken : 0;
}

/* ---- identity --------------------------------------------------------------------------- */

/* The word that names a thread. The low half names its process, the high half itself in it:
 *
 *   bits  0..21   pid                  (the kernel's limit is 2^22)
 *   bits 22..30   9 bits of a hash of the pid and time namespaces, never 0; 0 = unknown
 *   bit  31       0
 *   bits 32..53   tid
 *   bits 54..63   the thread's start time in ticks, modulo 1023, plus 1; 0 = unknown
 *
 * The start time is there because pids and tids come back: a new thread that was given the numbers
 * of a dead one differs from it, but where they began a multiple of 10.23 s apart (a tick is 10
 * ms). The namespaces are there because memory may be shared between containers, where the numbers
 * mean other threads: an owner from another namespace is never called dead (one pair of namespaces
 * in 511 looks alike). A process that calls exec while it is an owner keeps pid, tid and start
 * time, so it lives on as an owner until it ends.
 *
 * /proc is trusted only where it speaks of our own pid namespace: /proc/self must read as our
 * pid. Otherwise namespace and start time stay unknown.
 */
enum { PID_BITS = 22, SPACE_BITS = 9, START_BITS = 10 };
#define PID_MASK ((1u << PID_BITS) - 1)

static uint64_t pid_of(uint64_t self) {
    return self & PID_MASK;
}
static uint64_t tid_of(uint64_t self) {
    return self >> 32 & PID_MASK;
}
static uint32_t space_of(uint64_t self) {
    return (uint32_t)self >> PID_BITS;
}
static uint32_t start_of(uint64_t self) {
    return (uint32_t)(self >> (32 + PID_BITS));
}

/* Maps x to 1 .. 2^bits - 1: 0 is kept for "unknown". */
static uint32_t hash_to(uint64_t x, int bits) {
    return (uint32_t)(mix64(x) % ((1u << bits) - 1)) + 1;
}

static uint32_t start_part(uint64_t ticks) {
    return (uint32_t)(ticks % ((1u << START_BITS) - 1)) + 1;
}

/* Reads state and start time (clock ticks after boot) of a thread. False when it cannot. */
static bool read_stat(uint64_t pid, uint64_t tid, char *state, uint64_t *start) {
    char text[1024]; /* the fields up to the start time need less than 600 */
    snprintf(text, sizeof text, "/proc/%u/task/%u/stat", (unsigned)pid, (unsigned)tid);
    const int file = open(text, O_RDONLY | O_CLOEXEC);
    if (file < 0) return false;
    const ssize_t got = read(file, text, sizeof text - 1);
    close(file);
    if (got <= 0) return false;
    text[got] = 0;
    /* The command's name, in parentheses, may contain anything: go on from the last one. */
    const char *at = strrchr(text, ')');
    if (!at) return false;
    unsigned long long ticks;
    if (sscanf(at + 1,
               " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
               state, &ticks) != 2)
        return false;
    *start = ticks;
    return true;
}

static bool proc_is_ours(void) {
    char text[32];
    const ssize_t got = readlink("/proc/self", text, sizeof text - 1);
    if (got <= 0) return false;
    text[got] = 0;
    return strtol(text, NULL, 10) == getpid();
}

static uint32_t space_hash(void) {
    struct stat pids, times;
    if (stat("/proc/self/ns/pid", &pids)) return 0;
    if (stat("/proc/self/ns/time", &times)) times.st_ino = 0; /* before Linux 5.6 */
    return hash_to(mix64(pids.st_ino) + times.st_ino, SPACE_BITS);
}

/* The calling thread's word, or 0 when it has not been made yet. The initial-exec TLS model would
 * save 0.6 of the 11 ns of a lock and unlock (measured in a shared library); it is not worth
 * glibc's small store of static TLS, nor losing musl, which refuses such libraries. */
static _Thread_local uint64_t cached_self;

static void forget_self(void) {
    cached_self = 0;
}

static void at_fork(void) {
    pthread_atfork(NULL, NULL, forget_self);
}

__attribute__((noinline, cold)) static uint64_t self_slow(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, at_fork);
    const int errno_before = errno;
    const uint64_t pid = (uint64_t)getpid(), tid = (uint64_t)syscall(SYS_gettid);
    uint64_t space = 0, start = 0;
    if (proc_is_ours()) {
        char state;
        uint64_t ticks;
        space = space_hash();
        if (read_stat(pid, tid, &state, &ticks)) start = start_part(ticks);
    }
    cached_self = pid | space << PID_BITS | tid << 32 | start << (32 + PID_BITS);
    errno = errno_before;
    return cached_self;
}

uint64_t c2_os_self(void) {
    const uint64_t self = cached_self;
    return __builtin_expect(self != 0, 1) ? self : self_slow();
}

/* ---- is it alive? ----------------------------------------------------------------------- */

static bool no_such_thread(uint64_t self) {
    return syscall(SYS_tgkill, (pid_t)pid_of(self), (pid_t)tid_of(self), 0) != 0 && errno == ESRCH;
}

/* For systems that hide /proc. kill(pid, 0) takes a zombie for alive; a pidfd reads as ready
 * once the whole process has ended, waited for or not. */
static bool process_ended(uint64_t self) {
    const int file = (int)syscall(SYS_pidfd_open, (pid_t)pid_of(self), 0);
    if (file < 0) return errno == ESRCH;
    struct pollfd ready = {.fd = file, .events = POLLIN};
    const int ended = poll(&ready, 1, 0) == 1 && (ready.revents & POLLIN);
    close(file);
    return ended;
}

int c2_os_alive(uint64_t self) {
    const uint64_t me = c2_os_self();
    if (self == me) return 1;
    if (space_of(self) != space_of(me)) return 1; /* its numbers mean nothing here */
    const int errno_before = errno;
    int alive = 1;
    char state;
    uint64_t ticks;
    if (no_such_thread(self)) {
        alive = 0;
    } else if (start_of(me) && read_stat(pid_of(self), tid_of(self), &state, &ticks)) {
        /* A thread that has ended stays as a zombie until its parent waits, or, the first
         * thread of a process, until the others have ended. */
        const bool ended = state == 'Z' || state == 'X' || state == 'x';
        const bool other = start_of(self) && start_of(self) != start_part(ticks);
        alive = !ended && !other;
    } else {
        /* It ended between the two looks, or /proc does not show the processes of others. */
        alive = !no_such_thread(self) && !process_ended(self);
    }
    errno = errno_before;
    return alive;
}
