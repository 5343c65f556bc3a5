#define _GNU_SOURCE
/* Temporary: weak stand-ins until every module has landed. */
#include "c2.h"
#define WEAK __attribute__((weak))
WEAK int c2_scatter_add(int dtype, void *base, int64_t slots, const void *indices, int index_dtype, const void *values, int value_step, int64_t n, void *before, int64_t *bad) { return C2_SYSTEM; }
WEAK int c2_dense_add(int dtype, void *base, const void *values, const void *scale, int64_t n) { return C2_SYSTEM; }
WEAK int c2_gather(int dtype, const void *base, int64_t slots, const void *indices, int index_dtype, int64_t n, void *out, int64_t *bad) { return C2_SYSTEM; }
WEAK int c2_mutex_lock(void *word, int64_t timeout_ns) { return C2_SYSTEM; }
WEAK int c2_mutex_unlock(void *word) { return C2_SYSTEM; }
WEAK int c2_mutex_locked(const void *word) { return 0; }
WEAK int c2_wait(const void *word, int size, uint64_t expected, int64_t timeout_ns) { return C2_SYSTEM; }
WEAK int c2_notify(const void *word, int size, int count) { return 0; }
#include <pthread.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>
#include "platform.h"
WEAK int c2_os_wait(const void *word, int size, uint64_t expected, int64_t deadline) { sched_yield(); return c2_os_now() > deadline ? C2_TIMEOUT : C2_OK; }
WEAK int c2_os_wake(const void *word, int size, int count) { return 0; }
WEAK int64_t c2_os_now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1000000000LL + t.tv_nsec; }
WEAK void c2_os_relax(void) {}
WEAK void c2_os_yield(void) { sched_yield(); }
WEAK uint64_t c2_os_self(void) { return (uint64_t)getpid() | (uint64_t)(uintptr_t)pthread_self() << 32; }
WEAK int c2_os_alive(uint64_t self) { return 1; }
static struct { void (*body)(void *); void *arg; } boxes[4096];
static int n_boxes;
static void *boot(void *p) { int k = (int)(intptr_t)p; boxes[k].body(boxes[k].arg); return NULL; }
WEAK int c2_os_thread(void (*body)(void *), void *arg) { pthread_t t; int k = n_boxes++; boxes[k].body = body; boxes[k].arg = arg; return pthread_create(&t, NULL, boot, (void *)(intptr_t)k) ? C2_SYSTEM : C2_OK; }
WEAK int c2_os_cpus(void) { return 2; }
