/* What adding costs without anybody else in mind, and what an atomic instruction costs at least:
 * the floors of bench_bulk.py. The plain loops lose updates to other writers. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "spin.h"

#define SCATTER(name, T)                                                                           \
    void plain_##name(T *to, const int64_t *indices, const T *values, int64_t n) {                 \
        for (int64_t k = 0; k < n; k++)                                                            \
            to[indices[k]] += values[k];                                                           \
    }
SCATTER(int64, int64_t)
SCATTER(float32, float)
SCATTER(float64, double)

/* One atomic add of 8 bytes for each index, all on the same 8 KiB of the table: in the first-level
 * cache, with nobody else there. `to` has 1000 elements of 8 bytes at least. */
void atomic_near(void *to, const int64_t *indices, int64_t n) {
    _Atomic uint64_t *words = to;
    for (int64_t k = 0; k < n; k++)
        atomic_fetch_add_explicit(words + indices[k] % 1000, 1, memory_order_relaxed);
}

/* A dense add by two threads, each on its half. The second one is awake when the clock starts. */
typedef struct halves {
    float *to;
    const float *values;
    int64_t n;
    _Atomic int awake, go, done;
} halves;

static void add(float *restrict to, const float *restrict values, int64_t from, int64_t end) {
    for (int64_t k = from; k < end; k++)
        to[k] += values[k];
}

static void *second_half(void *arg) {
    halves *h = arg;
    atomic_store(&h->awake, 1);
    while (!atomic_load(&h->go)) {
    }
    add(h->to, h->values, h->n / 2, h->n);
    atomic_store(&h->done, 1);
    return NULL;
}

/* Seconds that it takes, or -1. */
double plain_halves(float *to, const float *values, int64_t n) {
    halves h = {.to = to, .values = values, .n = n};
    pthread_t thread;
    if (pthread_create(&thread, NULL, second_half, &h)) return -1;
    while (!atomic_load(&h.awake)) {
    }
    const int64_t began = now_ns();
    atomic_store(&h.go, 1);
    add(to, values, 0, n / 2);
    while (!atomic_load(&h.done)) {
    }
    const double took = 1e-9 * (double)(now_ns() - began);
    pthread_join(thread, NULL);
    return took;
}
