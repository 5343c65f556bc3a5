/* What stands between layers, and its gradients: Tanh, Softmax, Dropout; ReluGradient,
 * SigmoidGradient, TanhGradient, SoftmaxGradient, DropoutGrad. (Relu and Sigmoid themselves are in
 * kernels_math.c.) float32 or float64.
 *
 * A gradient is given the output Y of its operator, not the input, as in Caffe2: so the operator
 * may have run in place. Plain loops, in place where the schema says so.
 */
#include <tgmath.h>
#include "cpu.h"
#include "kernel_check.h"
#include "platform.h"
#include "random.h"
#include "scalar.h"
#include "softmax.h"

/* Y, dY -> dX[k] = F(y, dy). */
#define GRADIENT(name, F)                                                                          \
    static inline void name##_f32(const float *y, const float *dy, float *dx, int64_t n) {         \
        for (int64_t k = 0; k < n; k++)                                                            \
            dx[k] = F(y[k], dy[k]);                                                                \
    }                                                                                              \
    static inline void name##_f64(const double *y, const double *dy, double *dx, int64_t n) {      \
        for (int64_t k = 0; k < n; k++)                                                            \
            dx[k] = F(y[k], dy[k]);                                                                \
    }                                                                                              \
    static int name(c2_context *c) {                                                               \
        const c2_tensor *y = c2_in_of(c, 0, C2_FLOATS), *dy;                                       \
        if (!y) return C2_TYPE;                                                                    \
        const int status = c2_in_like(c, 1, y, 0, &dy);                                            \
        if (status) return status;                                                                 \
        const c2_tensor *dx = c2_out_like(c, 0, y);                                                \
        if (!dx) return C2_NO_MEMORY;                                                              \
        if (y->dtype == C2_FLOAT32)                                                                \
            name##_f32(y->data, dy->data, dx->data, y->size);                                      \
        else                                                                                       \
            name##_f64(y->data, dy->data, dx->data, y->size);                                      \
        return C2_OK;                                                                              \
    }
#define OF_RELU(y, dy)    ((y) > 0 ? (dy) : 0)
#define OF_SIGMOID(y, dy) ((dy) * (y) * (1 - (y)))
#define OF_TANH(y, dy)    ((dy) * (1 - (y) * (y)))
GRADIENT(relu_gradient, OF_RELU)
GRADIENT(sigmoid_gradient, OF_SIGMOID)
GRADIENT(tanh_gradient, OF_TANH)

#define TANH(t, T, code, W)                                                                        \
    static void tanh_##t(const T *x, T *y, int64_t n) {                                            \
        for (int64_t k = 0; k < n; k++)                                                            \
            y[k] = tanh(x[k]);                                                                     \
    }
C2_FLOAT_TYPES(TANH)

static int hyperbolic_tangent(c2_context *c) {
    const c2_tensor *x = c2_in_of(c, 0, C2_FLOATS);
    if (!x) return C2_TYPE;
    const c2_tensor *y = c2_out_like(c, 0, x);
    if (!y) return C2_NO_MEMORY;
    if (x->dtype == C2_FLOAT32)
        tanh_f32(x->data, y->data, x->size);
    else
        tanh_f64(x->data, y->data, x->size);
    return C2_OK;
}

/* ---- Softmax. Argument 0: axis, where rows end and classes begin ------------------------- */

static int softmax(c2_context *c) {
    const c2_tensor *x = c2_in_of(c, 0, C2_FLOATS);
    if (!x) return C2_TYPE;
    int64_t rows, classes;
    const int status = c2_classes(c, 0, x, c->args[0].i, &rows, &classes);
    if (status) return status;
    const c2_tensor *y = c2_out_like(c, 0, x);
    if (!y) return C2_NO_MEMORY;
    for (int64_t r = 0; r < rows; r++) {
        if (x->dtype == C2_FLOAT32)
            c2_softmax_f32((const float *)x->data + r * classes, classes,
                           (float *)y->data + r * classes);
        else
            c2_softmax_f64((const double *)x->data + r * classes, classes,
                           (double *)y->data + r * classes);
    }
    return C2_OK;
}

/* dx = y * (dy - <y, dy>), row by row. */
#define SOFTMAX_GRADIENT(t, T, code, W)                                                            \
    static void softmax_gradient_##t(const T *y, const T *dy, T *dx, int64_t n) {                  \
        T dot = 0;                                                                                 \
        for (int64_t k = 0; k < n; k++)                                                            \
            dot += y[k] * dy[k];                                                                   \
        for (int64_t k = 0; k < n; k++)                                                            \
            dx[k] = y[k] * (dy[k] - dot);                                                          \
    }
C2_FLOAT_TYPES(SOFTMAX_GRADIENT)

static int softmax_gradient(c2_context *c) {
    const c2_tensor *y = c2_in_of(c, 0, C2_FLOATS), *dy;
    if (!y) return C2_TYPE;
    int64_t rows, n;
    int status = c2_classes(c, 0, y, c->args[0].i, &rows, &n);
    if (!status) status = c2_in_like(c, 1, y, 0, &dy);
    if (status) return status;
    const c2_tensor *dx = c2_out_like(c, 0, y);
    if (!dx) return C2_NO_MEMORY;
    for (int64_t r = 0; r < rows; r++) {
        if (y->dtype == C2_FLOAT32)
            softmax_gradient_f32((const float *)y->data + r * n, (const float *)dy->data + r * n,
                                 (float *)dx->data + r * n, n);
        else
            softmax_gradient_f64((const double *)y->data + r * n, (const double *)dy->data + r * n,
                                 (double *)dx->data + r * n, n);
    }
    return C2_OK;
}

/* ---- Dropout(X [, iter]). Arguments: 0 ratio, 1 is_test, 2 seed --------------------------- */

/* How many unseeded runs have begun: only tells their streams apart, so relaxed is enough. */
static _Atomic uint64_t streams;

/* The stream of this run. With a seed, it is the iteration's where there is one, else always the
 * same; mixed, so that the streams of neighbouring iterations do not overlap. */
static int stream_of(c2_context *c, uint64_t *stream) {
    const void *iteration = c->n_in > 1 ? c2_in_scalar(c, 1, C2_INT64) : NULL;
    if (c->n_in > 1 && !iteration) return C2_TYPE;
    const uint64_t turn = iteration ? (uint64_t)c2_i64_load(iteration, C2_RELAXED) : 0;
    if (c->args[2].given)
        *stream = mix64((uint64_t)c->args[2].i + mix64(turn));
    else
        *stream = mix64((uint64_t)c2_os_now() + add_rlx(&streams, 1) * 2 + 1);
    return C2_OK;
}

#define DROPOUT(t, T, code, W)                                                                     \
    static void dropout_##t(const T *x, T *y, bool *mask, int64_t n, uint64_t seed,                \
                            uint64_t threshold, T scale) {                                         \
        for (int64_t k = 0; k < n; k++) {                                                          \
            const bool keep = c2_random_bits(seed, (uint64_t)k) >> 32 >= threshold;                \
            mask[k] = keep;                                                                        \
            y[k] = keep ? x[k] * scale : 0;                                                        \
        }                                                                                          \
    }                                                                                              \
    static void dropout_gradient_##t(const T *dy, const bool *mask, T *dx, int64_t n, T scale) {   \
        for (int64_t k = 0; k < n; k++)                                                            \
            dx[k] = mask[k] ? dy[k] * scale : 0;                                                   \
    }
C2_FLOAT_TYPES(DROPOUT)

static int dropout(c2_context *c) {
    const c2_tensor *x = c2_in_of(c, 0, C2_FLOATS);
    if (!x) return C2_TYPE;
    const double ratio = c->args[1].i ? 0 : c->args[0].f;
    uint64_t seed;
    const int status = stream_of(c, &seed);
    if (status) return status;
    const c2_tensor *mask = c2_out(c, 1, C2_BOOL, x->ndim, x->shape);
    const c2_tensor *y = mask ? c2_out_like(c, 0, x) : NULL;
    if (!y) return C2_NO_MEMORY;
    const uint64_t threshold = (uint64_t)(ratio * 4294967296.0);
    if (x->dtype == C2_FLOAT32)
        dropout_f32(x->data, y->data, mask->data, x->size, seed, threshold,
                    (float)(1 / (1 - ratio)));
    else
        dropout_f64(x->data, y->data, mask->data, x->size, seed, threshold, 1 / (1 - ratio));
    return C2_OK;
}

static int dropout_gradient(c2_context *c) {
    const c2_tensor *dy = c2_in_of(c, 0, C2_FLOATS), *mask = dy ? c2_in(c, 1, C2_BOOL) : NULL;
    if (!mask) return C2_TYPE;
    if (!c2_same_shape(dy, mask))
        return c2_fail(c, C2_SHAPE, "input 1: the mask is %s, dY is %s", C2_TEXT(mask),
                       C2_TEXT(dy));
    const double ratio = c->args[1].i ? 0 : c->args[0].f;
    const c2_tensor *dx = c2_out_like(c, 0, dy);
    if (!dx) return C2_NO_MEMORY;
    if (dy->dtype == C2_FLOAT32)
        dropout_gradient_f32(dy->data, mask->data, dx->data, dy->size, (float)(1 / (1 - ratio)));
    else
        dropout_gradient_f64(dy->data, mask->data, dx->data, dy->size, 1 / (1 - ratio));
    return C2_OK;
}

const c2_kernel_entry c2_kernels_activation[] = {
    {"Tanh", hyperbolic_tangent},
    {"TanhGradient", tanh_gradient},
    {"ReluGradient", relu_gradient},
    {"SigmoidGradient", sigmoid_gradient},
    {"Softmax", softmax},
    {"SoftmaxGradient", softmax_gradient},
    {"Dropout", dropout},
    {"DropoutGrad", dropout_gradient},
    {NULL, NULL},
};
