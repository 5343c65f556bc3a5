/* Gradients of the operators of two inputs that broadcast: AddGradient, SubGradient, MulGradient.
 *
 * dC, A, B -> dA [, dB]: each element of an input gets the sum over the elements of dC that it
 * took part in. Arguments, as the forward operator's: 0 broadcast, 1 axis. float32 or float64.
 *
 * The walk is the forward one, dimension by dimension, with a step of 0 where an input was
 * repeated; the innermost dimension is one loop.
 */
#include <string.h>
#include "broadcast.h"
#include "scalar.h"

typedef struct walk {
    int ndim;
    int64_t shape[8], a_step[8], b_step[8]; /* of dC, and in elements */
} walk;

/* Steps of an input whose dimension 0 lies `shift` behind that of dC; 0 when it does not fit. */
static int steps_of(const c2_tensor *x, int shift, const walk *w, int64_t *step) {
    int64_t size = 1;
    for (int d = w->ndim - 1; d >= 0; d--)
        step[d] = 0;
    if (shift < 0 || shift + x->ndim > w->ndim) return 0;
    for (int d = x->ndim - 1; d >= 0; d--) {
        if (x->shape[d] != w->shape[d + shift] && x->shape[d] != 1) return 0;
        step[d + shift] = x->shape[d] == 1 ? 0 : size;
        size *= x->shape[d];
    }
    return 1;
}

static int plan_walk(c2_context *c, const c2_tensor *dc, const c2_tensor *a, const c2_tensor *b,
                     walk *w) {
    w->ndim = dc->ndim;
    memcpy(w->shape, dc->shape, sizeof w->shape);
    const int last = dc->ndim - b->ndim;
    const int shift =
        c->args[0].i && c->args[1].i >= 0 && c->args[1].i < 9 ? (int)c->args[1].i : last;
    if (!steps_of(a, dc->ndim - a->ndim, w, w->a_step))
        return c2_fail(c, C2_SHAPE, "input 1: A is %s, which was not broadcast to dC, %s",
                       C2_TEXT(a), C2_TEXT(dc));
    if (!steps_of(b, shift, w, w->b_step))
        return c2_fail(c, C2_SHAPE, "input 2: B is %s, which was not broadcast to dC, %s",
                       C2_TEXT(b), C2_TEXT(dc));
    return C2_OK;
}

/* out[i * step] += dc[i] * factor, where factor is other[i * other_step], or `sign` without one. */
#define REDUCE(t, T, code, W)                                                                      \
    static void row_##t(const T *dc, const T *other, int64_t other_step, T sign, T *out,           \
                        int64_t step, int64_t n) {                                                 \
        if (step == 0) {                                                                           \
            T sum = 0;                                                                             \
            for (int64_t k = 0; k < n; k++)                                                        \
                sum += other ? dc[k] * other[k * other_step] : dc[k];                              \
            *out += sign * sum;                                                                    \
        } else if (!other) {                                                                       \
            for (int64_t k = 0; k < n; k++)                                                        \
                out[k] += sign * dc[k];                                                            \
        } else {                                                                                   \
            for (int64_t k = 0; k < n; k++)                                                        \
                out[k] += sign * dc[k] * other[k * other_step];                                    \
        }                                                                                          \
    }                                                                                              \
    static void reduce_##t(const walk *w, const int64_t *step, const T *dc, const T *other,        \
                           const int64_t *other_step, T sign, T *out) {                            \
        const int last = w->ndim - 1;                                                              \
        int64_t at[8] = {0}, rows = 1;                                                             \
        for (int d = 0; d < last; d++)                                                             \
            rows *= w->shape[d];                                                                   \
        const int64_t n = last < 0 ? 1 : w->shape[last];                                           \
        for (int64_t r = 0; n && r < rows; r++) {                                                  \
            int64_t to = 0, from = 0;                                                              \
            for (int d = 0; d < last; d++) {                                                       \
                to += at[d] * step[d];                                                             \
                from += at[d] * other_step[d];                                                     \
            }                                                                                      \
            row_##t(dc + r * n, other ? other + from : NULL, last < 0 ? 0 : other_step[last],      \
                    sign, out + to, last < 0 ? 0 : step[last], n);                                 \
            for (int d = last - 1; d >= 0 && ++at[d] == w->shape[d]; d--)                          \
                at[d] = 0;                                                                         \
        }                                                                                          \
    }
C2_FLOAT_TYPES(REDUCE)

/* The gradient of one input; `other` is NULL for a sum. */
static int reduce(c2_context *c, int i, const c2_tensor *like, const walk *w, const int64_t *step,
                  const c2_tensor *dc, const c2_tensor *other, const int64_t *other_step,
                  double sign) {
    const c2_tensor *out = c2_out_like(c, i, like);
    if (!out) return C2_NO_MEMORY;
    if (out->size == 0) return C2_OK;
    memset(out->data, 0, (size_t)(out->size * c2_itemsize(out->dtype)));
    if (dc->size == 0) return C2_OK;
    const void *factor = other ? other->data : NULL;
    if (dc->dtype == C2_FLOAT32)
        reduce_f32(w, step, dc->data, factor, other_step, (float)sign, out->data);
    else
        reduce_f64(w, step, dc->data, factor, other_step, sign, out->data);
    return C2_OK;
}

static int gradient(c2_context *c, double sign_b, int product) {
    const c2_tensor *dc = c2_in_of(c, 0, C2_FLOATS);
    const c2_tensor *a = dc ? c2_in(c, 1, dc->dtype) : NULL;
    const c2_tensor *b = a ? c2_in(c, 2, dc->dtype) : NULL;
    if (!b) return C2_TYPE;
    walk w;
    int status = plan_walk(c, dc, a, b, &w);
    if (!status) status = reduce(c, 0, a, &w, w.a_step, dc, product ? b : NULL, w.b_step, 1);
    if (!status && c->n_out > 1)
        status = reduce(c, 1, b, &w, w.b_step, dc, product ? a : NULL, w.a_step, sign_b);
    return status;
}

static int add_gradient(c2_context *c) {
    return gradient(c, 1, 0);
}
static int sub_gradient(c2_context *c) {
    return gradient(c, -1, 0);
}
static int mul_gradient(c2_context *c) {
    return gradient(c, 1, 1);
}

const c2_kernel_entry c2_kernels_elementwise_gradient[] = {
    {"AddGradient", add_gradient},
    {"SubGradient", sub_gradient},
    {"MulGradient", mul_gradient},
    {NULL, NULL},
};
