/* FC, MatMul and the optimizers by themselves: without a BLAS, with three plain loops for one, and
 * from threads. That they compute the right thing for every shape is tested against NumPy, in
 * tests/operators. */
#define _GNU_SOURCE
#include "../update.c"

#include "gemm.h"
#include "operators.h"
#include "threads.h"

/* c = op(a) op(b) + beta c, by definition. */
#define PLAIN_GEMM(name, T)                                                                        \
    static void name(int order, int ta, int tb, int64_t m, int64_t n, int64_t k, T alpha,          \
                     const T *a, int64_t lda, const T *b, int64_t ldb, T beta, T *c,               \
                     int64_t ldc) {                                                                \
        CHECK_EQ(order, 101);                                                                      \
        for (int64_t i = 0; i < m; i++)                                                            \
            for (int64_t j = 0; j < n; j++) {                                                      \
                T sum = 0;                                                                         \
                for (int64_t l = 0; l < k; l++)                                                    \
                    sum += a[ta == 111 ? i * lda + l : l * lda + i] *                              \
                           b[tb == 111 ? l * ldb + j : j * ldb + l];                               \
                c[i * ldc + j] = alpha * sum + (beta == 0 ? 0 : beta * c[i * ldc + j]);            \
            }                                                                                      \
    }
PLAIN_GEMM(plain_sgemm, float)
PLAIN_GEMM(plain_dgemm, double)

/* ---- products ---- */

/* X (2, 3), W (2, 3), b (2): whole numbers, so every product is exact. */
static const float X[] = {1, 2, 3, -1, 0, 4}, W[] = {2, 0, 1, -3, 1, 1}, B[] = {10, 20};
static const double XD[] = {1, 2, 3, -1, 0, 4}, WD[] = {2, 0, 1, -3, 1, 1}, BD[] = {10, 20};
static const double Y[] = {15, 22, 12, 27};

static int fc_status(int dtype, double *y, char *message) {
    const int64_t matrix[] = {2, 3}, two = 2;
    const c2_arg axes[] = {{.i = 1}, {.i = 1}};
    const int f = dtype == C2_FLOAT32;
    c2_blob *blobs[] = {tensor(dtype, 2, matrix, f ? (const void *)X : XD),
                        tensor(dtype, 2, matrix, f ? (const void *)W : WD),
                        tensor(dtype, 1, &two, f ? (const void *)B : BD), c2_blob_new()};
    operator o = make("FC", 3, blobs, 1, blobs + 3, axes, 2);
    const int status = run(&o);
    if (status)
        strcpy(message, o.run.message);
    else {
        const c2_tensor *t = c2_blob_tensor(blobs[3]);
        CHECK_EQ(t->size, 4);
        for (int k = 0; k < 4; k++)
            y[k] = f ? ((const float *)t->data)[k] : ((const double *)t->data)[k];
    }
    c2_net_free(o.net);
    drop(blobs, 4);
    return status;
}

TEST(without_a_blas_a_product_says_so) {
    double y[4];
    char message[512] = "";
    CHECK_EQ(fc_status(C2_FLOAT32, y, message), C2_SYSTEM);
    CHECK(strstr(message, "caffe2op[nets]") != NULL);
    CHECK_EQ(fc_status(C2_FLOAT64, y, message), C2_SYSTEM);
}

TEST(products_are_those_of_the_pointers) {
    c2_set_gemm(plain_sgemm, plain_dgemm);
    for (int dtype = C2_FLOAT32; dtype <= C2_FLOAT64; dtype++) {
        double y[4] = {0};
        char message[512] = "";
        CHECK_EQ(fc_status(dtype, y, message), C2_OK);
        for (int k = 0; k < 4; k++)
            CHECK_EQ(y[k], Y[k]);
    }
}

/* ---- steps from threads ---- */

enum { THREADS = 3, SIZE = 3000, RUNS = SANITIZED ? 20 : 200 };

static void *run_often(void *arg) {
    for (int k = 0; k < RUNS; k++)
        CHECK_EQ(run(arg), C2_OK);
    return NULL;
}

/* Every worker adds 1 to every element at every run: a float holds the sum exactly. */
static void add_ones(const char *mode, int with_mutex) {
    const int64_t n = SIZE;
    float p[SIZE] = {0}, g[SIZE], lr = 1;
    int64_t word = 0;
    const c2_arg args[] = {{.s = mode, .given = 1}};
    for (int k = 0; k < SIZE; k++)
        g[k] = 1;
    const int64_t one = 1;
    c2_blob *in[] = {tensor(C2_FLOAT32, 1, &n, p), tensor(C2_FLOAT32, 1, &n, g),
                     tensor(C2_FLOAT32, 1, &one, &lr), tensor(C2_INT64, 1, &one, &word)};
    operator operators[THREADS];
    pthread_t threads[THREADS];
    for (int k = 0; k < THREADS; k++)
        operators[k] = make("SGD", 3 + with_mutex, in, 1, in, args, 1);
    for (int k = 0; k < THREADS; k++)
        threads[k] = go(run_often, &operators[k]);
    for (int k = 0; k < THREADS; k++)
        pthread_join(threads[k], NULL);
    const float *end = c2_blob_tensor(in[0])->data;
    for (int k = 0; k < SIZE; k++)
        CHECK_EQ(end[k], THREADS * RUNS);
    for (int k = 0; k < THREADS; k++)
        c2_net_free(operators[k].net);
    drop(in, 4);
}

TEST(steps_are_all_there) {
    add_ones("atomic", 0);
    add_ones("locked", 0);
    add_ones("locked", 1);
}

static void lock_it(void *data) {
    CHECK_EQ(c2_mutex_lock(lock_of(data), 0), C2_OK);
}

/* The mutex of a tensor, held by the parent at the moment of the fork. */
TEST(a_forked_child_can_lock) {
    float data[4] = {0};
    void *mutex = lock_of(data);
    CHECK_EQ(c2_mutex_lock(mutex, -1), C2_OK);
    join_child(child(lock_it, data));
    CHECK_EQ(c2_mutex_unlock(mutex), C2_OK);
}

int main(void) {
    RUN(without_a_blas_a_product_says_so);
    RUN(products_are_those_of_the_pointers);
    RUN(steps_are_all_there);
    RUN(a_forked_child_can_lock);
    return report();
}
