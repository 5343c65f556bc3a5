/* The tensor kernels by themselves: what threads and extreme shapes may do to them. That they
 * compute the right thing is tested against NumPy, in tests/operators. */
#define _GNU_SOURCE
#include "operators.h"
#include "threads.h"

static operator make_one(const char *type, int n_in, c2_blob *const *in, c2_blob *out,
                         const c2_arg *args, int n_args) {
    return make(type, n_in, in, 1, &out, args, n_args);
}

/* ---- threads ---- */

enum { THREADS = 3, INDICES = 300, WIDTH = 4, RUNS = SANITIZED ? 10 : 60 };

static void *run_often(void *arg) {
    for (int k = 0; k < RUNS; k++)
        CHECK_EQ(run(arg), C2_OK);
    return NULL;
}

static void in_threads(operator *operators) {
    pthread_t threads[THREADS];
    for (int k = 0; k < THREADS; k++)
        threads[k] = go(run_often, &operators[k]);
    for (int k = 0; k < THREADS; k++)
        pthread_join(threads[k], NULL);
}

/* X0 is one row; each operator changes each of its elements INDICES times a run. */
static void scatter(double weight0, double start, double slice, double expected) {
    const int64_t row[] = {1, WIDTH}, one = 1, n = INDICES, rows[] = {INDICES, WIDTH};
    double x0[WIDTH], slices[INDICES * WIDTH], weight = 1;
    const int32_t indices[INDICES] = {0};
    for (int k = 0; k < WIDTH; k++)
        x0[k] = start;
    for (int k = 0; k < INDICES * WIDTH; k++)
        slices[k] = slice;
    c2_blob *in[] = {tensor(C2_FLOAT64, 2, row, x0), tensor(C2_FLOAT64, 1, &one, &weight0),
                     tensor(C2_INT32, 1, &n, indices), tensor(C2_FLOAT64, 2, rows, slices),
                     tensor(C2_FLOAT64, 1, &one, &weight)};
    operator operators[THREADS];
    for (int k = 0; k < THREADS; k++)
        operators[k] = make_one("ScatterWeightedSum", 5, in, in[0], NULL, 0);
    in_threads(operators);
    const double *end = c2_blob_tensor(in[0])->data;
    for (int k = 0; k < WIDTH; k++)
        CHECK_EQ(end[k], expected);
    for (int k = 0; k < THREADS; k++)
        c2_net_free(operators[k].net);
    drop(in, 5);
}

TEST(scattered_adds_are_all_there) {
    scatter(1, 5, 3, 5 + 3.0 * THREADS * RUNS * INDICES);
}

/* Turned an even number of times in all. */
TEST(scattered_products_are_all_there) {
    scatter(-1, 7, 0, 7);
}

TEST(random_fills_at_once_differ) {
    const int64_t shape[] = {5, 9};
    const c2_arg args[] = {
        {.ints = shape, .count = 2, .given = 1}, {.i = 0}, {.i = 0}, {.f = 0}, {.f = 1}, {.i = 0}};
    c2_blob *out[THREADS];
    operator operators[THREADS];
    for (int k = 0; k < THREADS; k++) {
        out[k] = c2_blob_new();
        operators[k] = make_one("UniformFill", 0, out, out[k], args, 6);
    }
    in_threads(operators);
    for (int k = 1; k < THREADS; k++)
        CHECK(memcmp(c2_blob_tensor(out[0])->data, c2_blob_tensor(out[k])->data, 45 * 4) != 0);
    for (int k = 0; k < THREADS; k++)
        c2_net_free(operators[k].net);
    drop(out, THREADS);
}

#ifndef __SANITIZE_THREAD__ /* it is a race, and meant to be one */
static _Atomic int changing;

static void *change(void *arg) {
    volatile int64_t *indices = arg;
    while (load_acq(&changing)) {
        for (int k = 0; k < INDICES; k++)
            indices[k] = (INT64_C(1) << 60) + k;
        for (int k = 0; k < INDICES; k++)
            indices[k] = 1;
    }
    return NULL;
}

TEST(indices_that_change_meanwhile_are_not_followed) {
    const int64_t table[] = {3, WIDTH}, n = INDICES, rows[] = {INDICES, WIDTH}, one = 1;
    static float data[3 * WIDTH], slices[INDICES * WIDTH], weights[INDICES];
    static int64_t indices[INDICES];
    const float factor = 1;
    const int32_t lengths = INDICES;
    c2_blob *list = c2_blob_new(), *x = tensor(C2_FLOAT32, 2, table, data), *out = c2_blob_new();
    CHECK_EQ(c2_blob_share(list, C2_INT64, 1, &n, indices), C2_OK);
    c2_blob *s = tensor(C2_FLOAT32, 2, rows, slices), *w = tensor(C2_FLOAT32, 1, &n, weights),
            *f = tensor(C2_FLOAT32, 1, &one, &factor), *l = tensor(C2_INT32, 1, &one, &lengths);
    operator operators[] = {
        make_one("Gather", 2, (c2_blob *[]){x, list}, out, NULL, 0),
        make_one("SparseLengthsSum", 3, (c2_blob *[]){x, list, l}, out, NULL, 0),
        make_one("SparseLengthsWeightedSum", 4, (c2_blob *[]){x, w, list, l}, out, NULL, 0),
        make_one("ScatterAssign", 3, (c2_blob *[]){x, list, s}, x, NULL, 0),
        make_one("ScatterWeightedSum", 5, (c2_blob *[]){x, f, list, s, f}, x, NULL, 0),
    };
    store_rel(&changing, 1);
    const pthread_t thread = go(change, indices);
    for (int k = 0; k < 5; k++) {
        for (int round = 0; round < 20 * RUNS; round++) {
            const int status = run(&operators[k]);
            CHECK(status == C2_OK || status == C2_INDEX);
        }
        c2_net_free(operators[k].net);
    }
    store_rel(&changing, 0);
    pthread_join(thread, NULL);
    drop((c2_blob *[]){list, x, out, s, w, f, l}, 7);
}
#endif

/* ---- shapes ---- */

static const c2_arg no_broadcast[] = {{.i = 0}, {.i = -1}};

TEST(empty_tensors_of_immense_shape) {
    const int64_t big = INT64_C(1) << 40, shape[] = {0, big, big, big};
    const int64_t none = 0, two = 2;
    const int32_t zeros[] = {0, 0};
    c2_blob *x = tensor(C2_FLOAT32, 4, shape, NULL), *out = c2_blob_new(),
            *empty = tensor(C2_INT64, 1, &none, NULL), *lengths = tensor(C2_INT32, 1, &two, zeros),
            *y = tensor(C2_FLOAT32, 4, (int64_t[]){1, 1, 1, 0}, NULL);
    operator add = make_one("Add", 2, (c2_blob *[]){x, x}, out, no_broadcast, 2),
             gather = make_one("Gather", 2, (c2_blob *[]){x, empty}, out, NULL, 0),
             sums = make_one("SparseLengthsSum", 3, (c2_blob *[]){x, empty, lengths}, out, NULL, 0),
             unlike = make_one("Add", 2, (c2_blob *[]){x, y}, out, no_broadcast, 2);
    CHECK_EQ(run(&add), C2_OK);
    CHECK_EQ(run(&gather), C2_OK);
    CHECK_EQ(c2_blob_tensor(out)->size, 0);
    CHECK_EQ(run(&sums), C2_NO_MEMORY); /* two rows of 2^120 elements */
    CHECK_EQ(run(&unlike), C2_SHAPE);
    operator all[] = {add, gather, sums, unlike};
    for (int k = 0; k < 4; k++)
        c2_net_free(all[k].net);
    drop((c2_blob *[]){x, out, empty, lengths, y}, 5);
}

TEST(the_longest_text_of_a_tensor_fits) {
    const int64_t most = INT64_MAX, a[] = {0, most, most, most, most, most, most, most};
    const int64_t b[] = {0, most, most, most, most, most, most, most - 1};
    c2_blob *in[] = {tensor(C2_FLOAT32, 8, a, NULL), tensor(C2_FLOAT32, 8, b, NULL)};
    c2_blob *out = c2_blob_new();
    operator add = make_one("Add", 2, in, out, no_broadcast, 2);
    CHECK_EQ(run(&add), C2_SHAPE);
    const size_t length = strlen(add.run.message);
    CHECK(strstr(add.run.message, "9223372036854775806) does not broadcast") != NULL);
    CHECK(length > 0 && add.run.message[length - 1] == ')');
    CHECK_EQ(c2_blob_kind(out), C2_EMPTY);
    c2_net_free(add.net);
    drop(in, 2);
    c2_blob_free(out);
}

int main(void) {
    RUN(scattered_adds_are_all_there);
    RUN(scattered_products_are_all_there);
    RUN(random_fills_at_once_differ);
#ifndef __SANITIZE_THREAD__
    RUN(indices_that_change_meanwhile_are_not_followed);
#endif
    RUN(empty_tensors_of_immense_shape);
    RUN(the_longest_text_of_a_tensor_fits);
    return report();
}
