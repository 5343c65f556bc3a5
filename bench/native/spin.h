/* The body of every native task that is measured, ours and the peers': so many turns of an empty
 * loop, which the compiler may neither shorten nor leave out. A function of its own, at the start
 * of a cache line: how fast such a loop turns depends on where it lies, by a fifth. */
#ifndef BENCH_SPIN_H
#define BENCH_SPIN_H

#include <stdint.h>
#include <time.h>

__attribute__((noinline, aligned(64))) static void spin(int64_t turns) {
    for (int64_t k = 0; k < turns; k++)
        __asm__ volatile("" ::: "memory");
}

static inline int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline void idle_ns(int64_t ns) {
    const struct timespec t = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    if (ns > 0) nanosleep(&t, NULL);
}

#endif
