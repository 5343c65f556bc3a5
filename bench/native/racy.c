/* What one writes first: logistic regression by SGD over CSR rows, one thread, float weights, no
 * atomics. Two threads may run it on the same weights: that is Hogwild!, and loses updates. */
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <time.h>

typedef struct rows {
    const int64_t *indptr;
    const int32_t *indices;
    const float *labels;
    int64_t count;
} rows;

static void pass(const rows *x, float *weights, float lr, int64_t from, int64_t to) {
    for (int64_t row = from; row < to; row++) {
        const int64_t begin = x->indptr[row], end = x->indptr[row + 1];
        float score = 0;
        for (int64_t k = begin; k < end; k++)
            score += weights[x->indices[k]];
        const float step = lr * (x->labels[row] - 1 / (1 + expf(-score)));
        for (int64_t k = begin; k < end; k++)
            weights[x->indices[k]] += step;
    }
}

typedef struct half {
    const rows *x;
    float *weights;
    float lr;
} half;

static void *second_half(void *arg) {
    const half *h = arg;
    pass(h->x, h->weights, h->lr, h->x->count / 2, h->x->count);
    return NULL;
}

/* Seconds that a pass takes with 1 or 2 threads. */
double bench_racy(const int64_t *indptr, const int32_t *indices, const float *labels, int64_t count,
                  float *weights, float lr, int threads) {
    const rows x = {indptr, indices, labels, count};
    half h = {&x, weights, lr};
    pthread_t thread;
    struct timespec began, ended;
    clock_gettime(CLOCK_MONOTONIC, &began);
    if (threads == 2 && pthread_create(&thread, NULL, second_half, &h)) return -1;
    pass(&x, weights, lr, 0, threads == 2 ? count / 2 : count);
    if (threads == 2) pthread_join(thread, NULL);
    clock_gettime(CLOCK_MONOTONIC, &ended);
    return (double)(ended.tv_sec - began.tv_sec) + 1e-9 * (double)(ended.tv_nsec - began.tv_nsec);
}
