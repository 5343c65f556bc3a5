/* What depends on the processor rather than on the system. */
#ifndef C2_CPU_H
#define C2_CPU_H

/* Tells the core that this is a spin loop: 10-40 ns, and the sibling hyperthread runs on. */
static inline void cpu_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    /* `yield` does nothing on most arm64 cores; an instruction barrier waits about as long as
     * `pause` does. */
    __asm__ volatile("isb" ::: "memory");
#else
    __asm__ volatile("" ::: "memory");
#endif
}

/* A counter that grows evenly and reads alike on every core: 8-10 ns a look. Systems whose
 * processor has none that a program may read define CPU_NO_TICKS, and use c2_os_now. */
#if defined(__x86_64__) || defined(__i386__)
static inline long long cpu_ticks(void) {
    return (long long)__builtin_ia32_rdtsc();
}
#elif defined(__aarch64__)
static inline long long cpu_ticks(void) {
    long long ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
}
#else
#define CPU_NO_TICKS 1
#endif

/* Ask for the cache line of `p` to write to it: a request only, so any address will do. What gcc
 * makes of __builtin_prefetch for plain x86-64 asks to read, and then the write asks again. */
static inline void cpu_want_line(const void *p) {
#if defined(__x86_64__)
    __asm__ volatile("prefetchw %0" : : "m"(*(const char *)p));
#else
    __builtin_prefetch(p, 1, 3);
#endif
}

/* The address of the less significant 32 bits of a 64-bit word. */
static inline const void *low_half(const void *word64) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return word64;
#else
    return (const char *)word64 + 4;
#endif
}

/* A full-avalanche mix of 64 bits (the finaliser of splitmix64, Steele, Lea and Flood 2014). */
static inline unsigned long long mix64(unsigned long long x) {
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

#endif
