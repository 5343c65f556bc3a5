/* The seam to the operating system: all that the core needs of it, in twelve functions.
 *
 * platform_linux.c speaks futex; platform_portable.c needs POSIX threads only and serves every
 * other system (it is built and tested on Linux too). Nothing above this file has an #ifdef
 * for an OS. Deadlines are absolute, in nanoseconds of c2_os_now(); C2_FOREVER never comes.
 */
#ifndef C2_PLATFORM_H
#define C2_PLATFORM_H

#include "c2.h"

#define C2_FOREVER INT64_MAX

/* Sleep while the `size`-byte value (1, 2, 4 or 8, naturally aligned) at `word` equals
 * `expected`, until woken. Works between processes that map the same memory.
 * Returns C2_OK (woken, or the value differs, or for no reason: the caller must look again),
 * C2_TIMEOUT (deadline passed), or C2_INTERRUPTED (a signal handler ran). Never holds up a
 * wake that follows a change of the value: a change before the sleep ends it at once. Only a
 * sleep that returns C2_OK has used up a wake. */
int c2_os_wait(const void *word, int size, uint64_t expected, int64_t deadline);

/* Wake up to `count` sleepers in c2_os_wait on exactly this word and size. The caller changed
 * the value before. Returns how many were woken, as far as the system tells. */
int c2_os_wake(const void *word, int size, int count);

/* Monotonic nanoseconds; 20-30 ns a call. */
int64_t c2_os_now(void);

/* One step of a spin loop: tells the core that it spins. About 10-40 ns. */
void c2_os_relax(void);

/* Give the processor to another runnable thread. */
void c2_os_yield(void);

/* Who calls: a word that names this thread of this process among all that run, and never
 * again another one (numbers of the process and the thread, and hashes that tell one from a
 * later one with the same numbers). Never 0. The low half is that of the process, the same for
 * all of its threads; bit 31 is always 0, so a lock word may use it. Cached per thread; right
 * after fork too. */
uint64_t c2_os_self(void);

/* Does that thread still run? 0 when it, or its process, has ended (a zombie has ended; a
 * stopped process has not). 1 also when the system will not tell. Costs microseconds. */
int c2_os_alive(uint64_t self);

/* Start a detached thread with every signal blocked. C2_OK or C2_SYSTEM. */
int c2_os_thread(void (*body)(void *), void *arg);

/* Processors this process may use; at least 1. */
int c2_os_cpus(void);

/* From now on the calling thread runs only on those processors k whose bit, k % 64 of word k / 64,
 * is set in `mask`; `before`, where not NULL, gets those that it could run on until now. C2_OK, or
 * C2_SYSTEM with nothing changed: none of them is there, or the system does not offer it. */
enum { C2_CPU_WORDS = 16 };
int c2_os_stay_on(const uint64_t *mask, uint64_t *before);

/* Zeroed memory for `bytes` that will be touched all over, in large pages where the system has
 * them: the first touch of a small one costs as much as hundreds of adds, and a malloc that gives
 * large blocks back makes every call pay for all. NULL when there is none. */
enum { C2_LARGE_PAGE = 1 << 21 };
void *c2_os_map(int64_t bytes);
void c2_os_unmap(void *memory, int64_t bytes);

#endif
