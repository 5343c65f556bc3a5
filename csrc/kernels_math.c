/* Arithmetic on tensors: Copy, Add, Sub, Mul, Sum, Scale, WeightedSum, Relu, Sigmoid.
 *
 * Plain loads and stores, so that the loops vectorize: two of these on the same blob at the same
 * time are safe for memory, and may lose each other's values (ScatterWeightedSum, in
 * kernels_scatter.c, and WeightedSum with `atomic` do not). Integers wrap: the work is done on the
 * unsigned word. Every kernel may run in place, on any of its inputs.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "broadcast.h"
#include "update.h"

/* Add, Sub and Mul take these types; T computes and does not overflow. */
#define ARITHMETIC_TYPES(X)                                                                        \
    X(i32, uint32_t, C2_INT32)                                                                     \
    X(i64, uint64_t, C2_INT64)                                                                     \
    X(f32, float, C2_FLOAT32)                                                                      \
    X(f64, double, C2_FLOAT64)

/* ---- Add, Sub, Mul ---------------------------------------------------------------------- */

#define PLUS(x, y)  ((x) + (y))
#define MINUS(x, y) ((x) - (y))
#define TIMES(x, y) ((x) * (y))

#define BINARY(t, T, dtype)                                                                        \
    C2_INNER(add_##t, T, T, PLUS)                                                                  \
    C2_INNER(sub_##t, T, T, MINUS)                                                                 \
    C2_INNER(mul_##t, T, T, TIMES)
ARITHMETIC_TYPES(BINARY)

#define BINARY_KERNEL(name)                                                                        \
    static int name(c2_context *c) {                                                               \
        static const c2_inner loops[C2_DTYPES] = {ARITHMETIC_TYPES(BINARY_##name)};                \
        return c2_binary(c, loops, -1);                                                            \
    }
#define BINARY_add(t, T, dtype) [dtype] = add_##t,
#define BINARY_sub(t, T, dtype) [dtype] = sub_##t,
#define BINARY_mul(t, T, dtype) [dtype] = mul_##t,
BINARY_KERNEL(add)
BINARY_KERNEL(sub)
BINARY_KERNEL(mul)

/* ---- one input -------------------------------------------------------------------------- */

static int copy(c2_context *c) {
    const c2_tensor *x = c2_in(c, 0, -1);
    if (!x) return C2_TYPE;
    const c2_tensor *y = c2_out_like(c, 0, x);
    if (!y) return C2_NO_MEMORY;
    if (x->size) memmove(y->data, x->data, (size_t)(x->size * c2_itemsize(x->dtype)));
    return C2_OK;
}

/* y[k] = F(x[k], p) for float32 and float64, with `p` a number of that type. */
#define UNARY(name, F, argument)                                                                   \
    static int name(c2_context *c) {                                                               \
        const c2_tensor *x = c2_in_of(c, 0, C2_FLOATS);                                            \
        if (!x) return C2_TYPE;                                                                    \
        const c2_tensor *y = c2_out_like(c, 0, x);                                                 \
        if (!y) return C2_NO_MEMORY;                                                               \
        if (x->dtype == C2_FLOAT32)                                                                \
            name##_f32(x->data, (float)(argument), y->data, x->size);                              \
        else                                                                                       \
            name##_f64(x->data, (double)(argument), y->data, x->size);                             \
        return C2_OK;                                                                              \
    }
#define UNARY_LOOP(name, t, T, F)                                                                  \
    static void name##_##t(const T *x, T p, T *y, int64_t n) {                                     \
        (void)p;                                                                                   \
        for (int64_t k = 0; k < n; k++)                                                            \
            y[k] = F(x[k], p);                                                                     \
    }

#define RELU(x, p) ((x) <= 0 ? 0 : (x)) /* a NaN stays one */
UNARY_LOOP(relu, f32, float, RELU)
UNARY_LOOP(relu, f64, double, RELU)
UNARY(relu, RELU, 0)

UNARY_LOOP(scale, f32, float, TIMES)
UNARY_LOOP(scale, f64, double, TIMES)
UNARY(scale, TIMES, c->args[0].f)

#define SIGMOID_F32(x, p) (1 / (1 + expf(-(x))))
#define SIGMOID_F64(x, p) (1 / (1 + exp(-(x))))
UNARY_LOOP(sigmoid, f32, float, SIGMOID_F32)
UNARY_LOOP(sigmoid, f64, double, SIGMOID_F64)
UNARY(sigmoid, SIGMOID, 0)

/* ---- any number of inputs --------------------------------------------------------------- */

/* An X and its weight. FEW of them stand on the stack, more on the heap. */
enum { FEW = 8 };
typedef struct term {
    const void *x;
    double weight;
} term;

/* Read every X (inputs 0, step, 2 * step, ...: each like input 0) and, where step is 2, the
 * weight behind it. `few` has room for FEW; *terms is that, or to be freed. */
static int read_terms(c2_context *c, unsigned dtypes, int step, term *few, term **terms,
                      const c2_tensor **first) {
    *first = c2_in_of(c, 0, dtypes);
    if (!*first) return C2_TYPE;
    const int n = c->n_in / step;
    *terms = n <= FEW ? few : malloc((size_t)n * sizeof **terms);
    if (!*terms) return c2_fail(c, C2_NO_MEMORY, "no memory to list %d inputs", n);
    int status = C2_OK;
    for (int k = 0; k < n && !status; k++) {
        const c2_tensor *x = *first;
        if (k > 0) status = c2_in_like(c, k * step, *first, 0, &x);
        if (!status && step == 2)
            status = c2_in_float(c, k * step + 1, (*first)->dtype, &(*terms)[k].weight);
        if (!status) (*terms)[k].x = x->data;
    }
    return status;
}

/* A block at a time in a buffer of its own, so that the output may be the memory of any X, and
 * each X crosses the cache once. */
enum { BLOCK = 512 };

#define SUM_LOOPS(t, T, dtype)                                                                     \
    static void sum_##t(const term *terms, int n, T *out, int64_t size) {                          \
        T sum[BLOCK];                                                                              \
        if (n == 1) {                                                                              \
            if (size) memmove(out, terms[0].x, (size_t)size * sizeof *out);                        \
            return;                                                                                \
        }                                                                                          \
        for (int64_t from = 0; from < size; from += BLOCK) {                                       \
            const int64_t m = size - from < BLOCK ? size - from : BLOCK;                           \
            const T *a = (const T *)terms[0].x + from, *b = (const T *)terms[1].x + from;          \
            T *y = n == 2 ? out + from : sum;                                                      \
            for (int64_t k = 0; k < m; k++)                                                        \
                y[k] = a[k] + b[k];                                                                \
            if (n == 2) continue;                                                                  \
            for (int i = 2; i < n; i++) {                                                          \
                const T *x = (const T *)terms[i].x + from;                                         \
                for (int64_t k = 0; k < m; k++)                                                    \
                    sum[k] += x[k];                                                                \
            }                                                                                      \
            memcpy(out + from, sum, (size_t)m * sizeof *sum);                                      \
        }                                                                                          \
    }
ARITHMETIC_TYPES(SUM_LOOPS)

/* With `add`, to what is in `out`, atomically; the first term, which is `out`, stays out of it. */
#define WEIGHTED_LOOPS(t, T, code)                                                                 \
    static void weighted_##t(const term *terms, int n, const c2_target *out, int64_t size,         \
                             const c2_update *u) {                                                 \
        const bool add = u->atomic;                                                                \
        T sum[BLOCK];                                                                              \
        for (int64_t from = 0; from < size; from += BLOCK) {                                       \
            const int64_t m = size - from < BLOCK ? size - from : BLOCK;                           \
            for (int i = add; i < n; i++) {                                                        \
                const T *x = (const T *)terms[i].x + from, w = (T)terms[i].weight;                 \
                for (int64_t k = 0; k < m; k++)                                                    \
                    sum[k] = i > add ? sum[k] + w * x[k] : w * x[k];                               \
            }                                                                                      \
            if (!add)                                                                              \
                memcpy((T *)out->data + from, sum, (size_t)m * sizeof *sum);                       \
            else if (n > 1)                                                                        \
                c2_update_add(u, out, from, sum, 1, m);                                            \
        }                                                                                          \
    }
WEIGHTED_LOOPS(f32, float, C2_FLOAT32)
WEIGHTED_LOOPS(f64, double, C2_FLOAT64)

#define SUM_DTYPE(t, T, dtype) | C2_BIT(dtype)
#define SUM_CASE(t, T, dtype)                                                                      \
    case dtype: sum_##t(terms, c->n_in, out->data, out->size); break;

static int sum(c2_context *c) {
    term few[FEW], *terms = few;
    const c2_tensor *first, *out = NULL;
    int status = read_terms(c, 0 ARITHMETIC_TYPES(SUM_DTYPE), 1, few, &terms, &first);
    if (!status && !(out = c2_out_like(c, 0, first))) status = C2_NO_MEMORY;
    if (!status) {
        switch (first->dtype) { ARITHMETIC_TYPES(SUM_CASE) }
    }
    if (terms != few) free(terms);
    return status;
}

static int weighted_sum(c2_context *c) {
    term few[FEW], *terms = few;
    const c2_tensor *first, *out = NULL;
    const c2_update u = {.atomic = c->args[0].i};
    int status = read_terms(c, C2_FLOATS, 2, few, &terms, &first);
    if (!status && u.atomic && (c->in[0] != c->out[0] || terms[0].weight != 1))
        status = c2_fail(c, C2_VALUE, "atomic: in place on input 0 and a weight_0 of 1 expected");
    if (!status && !(out = c2_out_like(c, 0, first))) status = C2_NO_MEMORY;
    if (!status) {
        const c2_target target = c2_update_target(&u, out);
        if (first->dtype == C2_FLOAT32)
            weighted_f32(terms, c->n_in / 2, &target, out->size, &u);
        else
            weighted_f64(terms, c->n_in / 2, &target, out->size, &u);
    }
    if (terms != few) free(terms);
    return status;
}

const c2_kernel_entry c2_kernels_math[] = {
    {"Copy", copy}, {"Add", add},         {"Sub", sub},
    {"Mul", mul},   {"Sum", sum},         {"Scale", scale},
    {"Relu", relu}, {"Sigmoid", sigmoid}, {"WeightedSum", weighted_sum},
    {NULL, NULL},
};
