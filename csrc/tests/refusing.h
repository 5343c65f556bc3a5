/* Memory and threads that run out when a test says so.
 *
 * The Makefile links these tests with ld's --wrap, by which every request that the core makes comes
 * here first; the C library's own do not, nor does what a sanitizer puts beneath. `runs_out`
 * repeats a body with its first request refused, then its second, and so on until it has made all
 * of them unrefused: so every place is met where the core asks for memory in that body, without a
 * list of them. Blocks in use are counted, so what an error path forgets to free shows in a plain
 * build.
 */
#ifndef C2_TESTS_REFUSING_H
#define C2_TESTS_REFUSING_H

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/types.h>

#include "check.h"
#include "atomic.h"
#include "c2.h"

/* Requests number refuse_from .. refuse_to - 1 since the count began are refused. Relaxed: helpers
 * of a run make requests of their own, in any order. */
static _Atomic int64_t requests, refused, refuse_from = INT64_MAX, refuse_to = INT64_MAX;
static _Atomic int64_t blocks; /* in use */
static _Atomic int no_threads; /* 1: the system gives none */

static inline int refuse(void) {
    const int64_t k = add_rlx(&requests, 1);
    if (k < load_rlx(&refuse_from) || k >= load_rlx(&refuse_to)) return 0;
    add_rlx(&refused, 1);
    errno = ENOMEM;
    return 1;
}

static inline void *counted(void *block) {
    if (block) add_rlx(&blocks, 1);
    return block;
}

/* What --wrap=malloc calls in the place of malloc, and the real one. */
void *__real_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__real_realloc(void *block, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
void __real_free(void *block);
void *__real_mmap(void *at, size_t bytes, int protection, int flags, int file, off_t offset);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*body)(void *),
                          void *arg);

void *__wrap_malloc(size_t bytes) {
    return refuse() ? NULL : counted(__real_malloc(bytes));
}
void *__wrap_calloc(size_t n, size_t bytes) {
    return refuse() ? NULL : counted(__real_calloc(n, bytes));
}
void *__wrap_aligned_alloc(size_t alignment, size_t bytes) {
    return refuse() ? NULL : counted(__real_aligned_alloc(alignment, bytes));
}
void *__wrap_realloc(void *block, size_t bytes) {
    if (refuse()) return NULL;
    return block ? __real_realloc(block, bytes) : counted(__real_realloc(NULL, bytes));
}
void __wrap_free(void *block) {
    if (block) add_rlx(&blocks, -1);
    __real_free(block);
}
void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int file, off_t offset) {
    return refuse() ? MAP_FAILED : __real_mmap(at, bytes, protection, flags, file, offset);
}
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*body)(void *),
                          void *arg) {
    return load_rlx(&no_threads) ? EAGAIN : __real_pthread_create(thread, attr, body, arg);
}

/* Where the body's requests stay on this thread, so that blocks can be counted; or not: threads are
 * kept for later, and what belongs to them comes and goes when they do. */
enum { ALONE, HELPED };

/* `body` returns a status: C2_OK, or C2_NO_MEMORY if a request of it was refused. In the end it has
 * freed all it made, in either case. Also once with all requests refused from some one on; but not
 * with helpers, who wait for memory for their guards (reclaim.c). */
static inline void runs_out(int (*body)(void), int company) {
    CHECK_EQ(body(), C2_OK); /* what is made once and kept is made now */
    for (int for_good = 0; for_good <= (company == ALONE); for_good++)
        for (int64_t k = 0, done = 0; !done; k++) {
            const int64_t before = load_rlx(&blocks);
            store_rlx(&refused, 0);
            store_rlx(&requests, 0);
            store_rlx(&refuse_to, for_good ? INT64_MAX : k + 1);
            store_rlx(&refuse_from, k);
            const int status = body();
            store_rlx(&refuse_from, INT64_MAX);
            done = load_rlx(&refused) == 0;
            CHECK(status == C2_OK || (!done && status == C2_NO_MEMORY));
            if (company == ALONE) CHECK_EQ(load_rlx(&blocks), before);
        }
}

#endif
