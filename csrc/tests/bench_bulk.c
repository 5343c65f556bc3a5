/* The scatter-add and the dense add beside the plain loops that are their floor, in ns per
 * element: the best of ROUNDS rounds, in which all of them ran in turn. The plain loops are not
 * atomic: they say what the memory costs, and would lose updates with other writers.
 *
 *     make -C csrc bench [SMALL=1]        SMALL: a tenth of the elements
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "c2.h"
#include "platform.h"
#include "random_state.h"

enum { ROUNDS = 9 };
static int64_t n = 1000000, slots;
static int64_t *indices, *ints_in, *ints;
static float *floats_in, *floats;

static void plain_int(void) {
    for (int64_t k = 0; k < n; k++)
        ints[indices[k]] += ints_in[k];
}
static void plain_float(void) {
    for (int64_t k = 0; k < n; k++)
        floats[indices[k]] += floats_in[k];
}

#define DEFINE_ADDS(name, method, threads)                                                         \
    static void name##_int(void) {                                                                 \
        c2_add_at(C2_INT64, ints, slots, indices, C2_INT64, ints_in, 1, n, method, threads, NULL,  \
                  NULL);                                                                           \
    }                                                                                              \
    static void name##_float(void) {                                                               \
        c2_add_at(C2_FLOAT32, floats, slots, indices, C2_INT64, floats_in, 1, n, method, threads,  \
                  NULL, NULL);                                                                     \
    }
DEFINE_ADDS(chosen, C2_ADD_AUTO, 1)
DEFINE_ADDS(chosen_2, C2_ADD_AUTO, 2)
DEFINE_ADDS(direct, C2_ADD_DIRECT, 1)
DEFINE_ADDS(direct_2, C2_ADD_DIRECT, 2)
DEFINE_ADDS(private, C2_ADD_PRIVATE, 1)
DEFINE_ADDS(private_2, C2_ADD_PRIVATE, 2)
DEFINE_ADDS(cached, C2_ADD_CACHED, 1)
DEFINE_ADDS(cached_2, C2_ADD_CACHED, 2)

static const float one = 1;
static void plain_dense(void) {
    for (int64_t k = 0; k < n; k++)
        floats[k] += one * floats_in[k];
}
static void exact(void) {
    c2_dense_add(C2_FLOAT32, floats, floats_in, &one, n, 1);
}
static void exact_2(void) {
    c2_dense_add(C2_FLOAT32, floats, floats_in, &one, n, 2);
}
static void striped(void) {
    c2_dense_add_striped(C2_FLOAT32, floats, floats_in, &one, n, 1, NULL, 0);
}
static void striped_2(void) {
    c2_dense_add_striped(C2_FLOAT32, floats, floats_in, &one, n, 2, NULL, 0);
}

typedef struct subject {
    const char *name;
    void (*run)(void);
} subject;

static void measure(const char *title, const subject *subjects, int count) {
    double best[16];
    for (int round = 0; round < ROUNDS; round++)
        for (int k = 0; k < count; k++) {
            const int64_t began = c2_os_now();
            subjects[k].run();
            const double took = (double)(c2_os_now() - began) / (double)n;
            if (round == 0 || took < best[k]) best[k] = took;
        }
    printf("%s\n", title);
    for (int k = 0; k < count; k++)
        printf("    %-22s %7.2f\n", subjects[k].name, best[k]);
}
#define MEASURE(title, subjects) measure(title, subjects, (int)(sizeof subjects / sizeof *subjects))

/* Uniform, or Zipf with exponent 1.1, whose hot slots lie anywhere. */
static void draw_indices(int zipf) {
    if (!zipf) {
        for (int64_t k = 0; k < n; k++)
            indices[k] = (int64_t)(next_random() % (uint64_t)slots);
        return;
    }
    double *sums = malloc((size_t)slots * sizeof *sums), sum = 0;
    for (int64_t k = 0; k < slots; k++)
        sums[k] = sum += pow((double)(k + 1), -1.1);
    for (int64_t k = 0; k < n; k++) {
        const double wanted = (double)(next_random() >> 11) * 0x1p-53 * sum;
        int64_t least = 0, most = slots - 1;
        while (least < most) {
            const int64_t middle = (least + most) / 2;
            if (sums[middle] < wanted)
                least = middle + 1;
            else
                most = middle;
        }
        indices[k] = (int64_t)((uint64_t)least * 2654435761u % (uint64_t)slots);
    }
    free(sums);
}

int main(void) {
    if (getenv("SMALL")) n /= 10;
    const int64_t most = 10 * n;
    indices = malloc((size_t)n * sizeof *indices);
    ints_in = malloc((size_t)n * sizeof *ints_in);
    floats_in = malloc((size_t)n * sizeof *floats_in);
    ints = malloc((size_t)most * sizeof *ints);
    floats = malloc((size_t)most * sizeof *floats);
    for (int64_t k = 0; k < n; k++)
        floats_in[k] = (float)(ints_in[k] = 1);
    for (int64_t k = 0; k < most; k++)
        floats[k] = (float)(ints[k] = 0);

    static const subject of_int[] = {
        {"plain (not atomic)", plain_int},     {"chosen", chosen_int},
        {"chosen, 2 threads", chosen_2_int},   {"direct", direct_int},
        {"direct, 2 threads", direct_2_int},   {"private", private_int},
        {"private, 2 threads", private_2_int}, {"cached", cached_int},
        {"cached, 2 threads", cached_2_int}};
    static const subject of_float[] = {
        {"plain (not atomic)", plain_float},     {"chosen", chosen_float},
        {"chosen, 2 threads", chosen_2_float},   {"direct", direct_float},
        {"direct, 2 threads", direct_2_float},   {"private", private_float},
        {"private, 2 threads", private_2_float}, {"cached", cached_float},
        {"cached, 2 threads", cached_2_float}};
    static const subject dense[] = {{"plain (not atomic)", plain_dense},
                                    {"exact", exact},
                                    {"exact, 2 threads", exact_2},
                                    {"striped", striped},
                                    {"striped, 2 threads", striped_2}};
    for (int64_t size = 1000; size <= most; size *= size == 1000 ? n / 1000 : 10)
        for (int zipf = 0; zipf < 2; zipf++) {
            char title[80];
            slots = size;
            draw_indices(zipf);
            snprintf(title, sizeof title, "%lld adds of int64 to %lld slots, %s", (long long)n,
                     (long long)slots, zipf ? "Zipf" : "uniform");
            MEASURE(title, of_int);
            snprintf(title, sizeof title, "%lld adds of float32 to %lld slots, %s", (long long)n,
                     (long long)slots, zipf ? "Zipf" : "uniform");
            MEASURE(title, of_float);
        }
    MEASURE("dense add of float32", dense);
    return 0;
}
