/* Tensors out of nothing: ConstantFill, UniformFill, GaussianFill, XavierFill, and GivenTensor*Fill
 * from a list of values.
 *
 * The shape: arguments 0 shape, 1 input_as_shape, 2 extra_shape of every one of them. Without an
 * input it is `shape`; with one it is the input's, or with input_as_shape the input's int
 * elements, and `extra_shape` behind it. (That not both are given, and that the values fit, is
 * checked by the schema in python/caffe2op/operators/fill.py.)
 *
 * Random fills: with the argument `seed`, the same numbers on every run; without it, each run
 * has a stream of its own, told apart by a count of runs, the calling thread and the clock, so
 * that neither two threads nor a forked child repeat each other. Several threads may run them on
 * one blob; the result then is a mixture.
 */
#include <math.h>
#include <string.h>
#include "atomic.h"
#include "kernel_check.h"
#include "platform.h"
#include "random.h"
#include "scalar.h"

enum { SHAPE, INPUT_AS_SHAPE, EXTRA_SHAPE, FIRST, SECOND, SEED }; /* arguments */
enum { MAX_DIMS = 8 };

/* ---- the shape -------------------------------------------------------------------------- */

static int append(c2_context *c, c2_tensor *want, int64_t size) {
    if (size < 0)
        return c2_fail(c, C2_SHAPE, "a dimension of %lld given, 0 or more expected",
                       (long long)size);
    if (want->ndim == MAX_DIMS)
        return c2_fail(c, C2_SHAPE, "a shape of more than %d dimensions given", MAX_DIMS);
    want->shape[want->ndim++] = size;
    return C2_OK;
}

static int append_list(c2_context *c, c2_tensor *want, const int64_t *list, int64_t n) {
    int status = C2_OK;
    for (int64_t k = 0; k < n && !status; k++)
        status = append(c, want, list[k]);
    return status;
}

static int append_elements(c2_context *c, c2_tensor *want, const c2_tensor *x) {
    if (x->ndim != 1)
        return c2_fail(c, C2_SHAPE, "input 0: %s given, one dimension expected", C2_TEXT(x));
    int status = C2_OK;
    for (int64_t k = 0; k < x->size && !status; k++)
        status = append(c, want,
                        x->dtype == C2_INT32 ? c2_i32_load((int32_t *)x->data + k, C2_RELAXED)
                                             : c2_i64_load((int64_t *)x->data + k, C2_RELAXED));
    return status;
}

/* What output 0 is to be: a tensor without memory. Without any shape named it has `otherwise`
 * elements, or no dimension where that is negative. */
static int wanted(c2_context *c, int dtype, int64_t otherwise, c2_tensor *want) {
    const c2_arg *own = &c->args[SHAPE], *extra = &c->args[EXTRA_SHAPE];
    const int by_value = c->args[INPUT_AS_SHAPE].i != 0;
    int status;
    *want = (c2_tensor){.dtype = dtype, .size = 1};
    if (c->n_in > 0) {
        const c2_tensor *x = by_value ? c2_in_of(c, 0, C2_INDICES) : c2_in(c, 0, -1);
        if (!x) return C2_TYPE;
        status = by_value ? append_elements(c, want, x) : append_list(c, want, x->shape, x->ndim);
    } else if (own->given || otherwise < 0) {
        status = append_list(c, want, own->ints, own->count);
    } else {
        status = append(c, want, otherwise);
    }
    if (!status) status = append_list(c, want, extra->ints, extra->count);
    for (int d = 0; d < want->ndim && !status; d++)
        if (__builtin_mul_overflow(want->size, want->shape[d], &want->size))
            status = c2_fail(c, C2_SHAPE, "output 0: %s has too many elements", C2_TEXT(want));
    return status;
}

/* ---- constants and lists ---------------------------------------------------------------- */

#define FILL_INT(t, T, code, W)                                                                    \
    case code:                                                                                     \
        for (int64_t k = 0; k < out->size; k++)                                                    \
            ((T *)out->data)[k] = (T)value->i;                                                     \
        break;
#define FILL_FLOAT(t, T, code, W)                                                                  \
    case code:                                                                                     \
        for (int64_t k = 0; k < out->size; k++)                                                    \
            ((T *)out->data)[k] = (T)value->f;                                                     \
        break;

/* Arguments: FIRST value (a number: i and f both), SECOND dtype. */
static int constant_fill(c2_context *c) {
    c2_tensor want;
    const int status = wanted(c, (int)c->args[SECOND].i, -1, &want);
    if (status) return status;
    const c2_tensor *out = c2_out_like(c, 0, &want);
    if (!out) return C2_NO_MEMORY;
    const c2_arg *value = &c->args[FIRST];
    switch (out->dtype) {
        C2_INT_TYPES(FILL_INT)
        C2_FLOAT_TYPES(FILL_FLOAT)
    default: /* bool */ memset(out->data, value->i != 0, (size_t)out->size);
    }
    return C2_OK;
}

/* Argument: FIRST values, in `list`. */
#define GIVEN(name, T, dtype, list)                                                                \
    static int name(c2_context *c) {                                                               \
        c2_tensor want;                                                                            \
        const c2_arg *values = &c->args[FIRST];                                                    \
        const int status = wanted(c, dtype, values->count, &want);                                 \
        if (status) return status;                                                                 \
        if (want.size != values->count)                                                            \
            return c2_fail(c, C2_SHAPE, "%lld values given for output 0: %s",                      \
                           (long long)values->count, C2_TEXT(&want));                              \
        const c2_tensor *out = c2_out_like(c, 0, &want);                                           \
        if (!out) return C2_NO_MEMORY;                                                             \
        for (int64_t k = 0; k < out->size; k++)                                                    \
            ((T *)out->data)[k] = (T)values->list[k];                                              \
        return C2_OK;                                                                              \
    }
GIVEN(given_f32, float, C2_FLOAT32, floats)
GIVEN(given_f64, double, C2_FLOAT64, floats)
GIVEN(given_i32, int32_t, C2_INT32, ints)
GIVEN(given_i64, int64_t, C2_INT64, ints)
GIVEN(given_b8, bool, C2_BOOL, ints)

/* ---- random numbers --------------------------------------------------------------------- */

/* How many unseeded fills have begun: only tells their streams apart, so relaxed is enough. */
static _Atomic uint64_t streams;

static uint64_t stream(const c2_arg *seed) {
    if (seed->given) return (uint64_t)seed->i;
    const uint64_t when = mix64((uint64_t)c2_os_now() + add_rlx(&streams, 1) * 2 + 1);
    return mix64(when ^ c2_os_self());
}

/* In [0, 1), as many bits as a float holds: then a fill of [0, 1) never rounds up to 1. */
static inline double unit(uint64_t bits) {
    return (double)(int64_t)(bits >> 40) * 0x1p-24;
}

static int uniform(c2_context *c, const c2_tensor *want, double least, double most,
                   const c2_arg *seed_arg) {
    const c2_tensor *out = c2_out_like(c, 0, want);
    if (!out) return C2_NO_MEMORY;
    const uint64_t seed = stream(seed_arg);
    float *y = out->data;
    for (int64_t k = 0; k < out->size; k++)
        y[k] = (float)(least + (most - least) * unit(c2_random_bits(seed, (uint64_t)k)));
    return C2_OK;
}

/* Arguments: FIRST min, SECOND max, SEED. */
static int uniform_fill(c2_context *c) {
    c2_tensor want;
    const int status = wanted(c, C2_FLOAT32, -1, &want);
    if (status) return status;
    return uniform(c, &want, c->args[FIRST].f, c->args[SECOND].f, &c->args[SEED]);
}

/* X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural
 * networks", AISTATS 2010; with the fan-in alone, as in Caffe2. Argument: FIRST seed. */
static int xavier_fill(c2_context *c) {
    c2_tensor want;
    const int status = wanted(c, C2_FLOAT32, -1, &want);
    if (status) return status;
    if (want.ndim == 0)
        return c2_fail(c, C2_SHAPE, "output 0: %s given, one dimension or more expected",
                       C2_TEXT(&want));
    const double most = want.size ? sqrt(3.0 * (double)want.shape[0] / (double)want.size) : 0;
    return uniform(c, &want, -most, most, &c->args[FIRST]);
}

/* Two normal numbers out of two uniform ones: G. E. P. Box, M. E. Muller, "A Note on the
 * Generation of Random Normal Deviates", Ann. Math. Statist. 29 (1958).
 * Arguments: FIRST mean, SECOND std, SEED. */
static int gaussian_fill(c2_context *c) {
    c2_tensor want;
    const int status = wanted(c, C2_FLOAT32, -1, &want);
    if (status) return status;
    const c2_tensor *out = c2_out_like(c, 0, &want);
    if (!out) return C2_NO_MEMORY;
    const double mean = c->args[FIRST].f, std = c->args[SECOND].f, turn = 6.283185307179586;
    const uint64_t seed = stream(&c->args[SEED]);
    float *y = out->data;
    for (int64_t k = 0; k < out->size; k += 2) {
        /* in (0, 1], of 53 bits: the logarithm reaches 8.5 standard deviations */
        const uint64_t bits = c2_random_bits(seed, (uint64_t)k);
        const double u = (double)(int64_t)((bits >> 11) + 1) * 0x1p-53;
        const double angle = turn * unit(c2_random_bits(seed, (uint64_t)k + 1));
        const double radius = std * sqrt(-2 * log(u));
        y[k] = (float)(mean + radius * cos(angle));
        if (k + 1 < out->size) y[k + 1] = (float)(mean + radius * sin(angle));
    }
    return C2_OK;
}

const c2_kernel_entry c2_kernels_fill[] = {
    {"ConstantFill", constant_fill},   {"UniformFill", uniform_fill},
    {"GaussianFill", gaussian_fill},   {"XavierFill", xavier_fill},
    {"GivenTensorFill", given_f32},    {"GivenTensorDoubleFill", given_f64},
    {"GivenTensorIntFill", given_i32}, {"GivenTensorInt64Fill", given_i64},
    {"GivenTensorBoolFill", given_b8}, {NULL, NULL},
};
