/* The part of the seam to the operating system that every POSIX system does alike. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "cpu.h"
#include "platform.h"

int64_t c2_os_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void c2_os_relax(void) {
    cpu_relax();
}

void c2_os_yield(void) {
    sched_yield();
}

typedef struct start {
    void (*body)(void *);
    void *arg;
} start;

static void *trampoline(void *arg) {
    const start go = *(start *)arg;
    free(arg);
    go.body(go.arg);
    return NULL;
}

int c2_os_thread(void (*body)(void *), void *arg) {
    start *go = malloc(sizeof *go);
    if (!go) return C2_SYSTEM;
    *go = (start){body, arg};
    pthread_attr_t attr;
    int failed = pthread_attr_init(&attr);
    if (!failed) {
        pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
        /* A new thread inherits the mask: signals go to the threads that the program knows. */
        sigset_t every, before;
        sigfillset(&every);
        pthread_sigmask(SIG_SETMASK, &every, &before);
        pthread_t thread;
        failed = pthread_create(&thread, &attr, trampoline, go);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        pthread_attr_destroy(&attr);
    }
    if (failed) free(go);
    return failed ? C2_SYSTEM : C2_OK;
}

static size_t whole_pages(int64_t bytes) {
    return ((size_t)bytes + C2_LARGE_PAGE - 1) & ~(size_t)(C2_LARGE_PAGE - 1);
}

/* A mapping begins at any small page: so one large page more, and what is too much goes back. */
void *c2_os_map(int64_t bytes) {
    const size_t size = whole_pages(bytes);
    char *const all = mmap(NULL, size + C2_LARGE_PAGE, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED) return NULL;
    const size_t before = -(uintptr_t)all % C2_LARGE_PAGE;
    if (before) munmap(all, before);
    munmap(all + before + size, C2_LARGE_PAGE - before);
#ifdef MADV_HUGEPAGE
    madvise(all + before, size, MADV_HUGEPAGE); /* advice: small pages do as well */
#endif
    return all + before;
}

void c2_os_unmap(void *memory, int64_t bytes) {
    munmap(memory, whole_pages(bytes));
}

void c2_keep_loaded(const void *address) {
    Dl_info found;
    if (!dladdr(address, &found) || !found.dli_fname) return; /* made by a compiler at run time */
    void *library = dlopen(found.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
    if (library) dlclose(library);
}
