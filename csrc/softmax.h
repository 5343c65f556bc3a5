/* A row of class probabilities, for Softmax and SoftmaxWithLoss. */
#ifndef C2_SOFTMAX_H
#define C2_SOFTMAX_H

#include <tgmath.h>
#include "kernel_check.h"
#include "scalar.h"

/* The dimensions of `x` before `axis` are rows, the others classes: at least one class. */
static inline int c2_classes(c2_context *c, int input, const c2_tensor *x, int64_t axis,
                             int64_t *rows, int64_t *classes) {
    if (axis > x->ndim)
        return c2_fail(c, C2_SHAPE, "input %d: %s given, at least %lld dimensions expected", input,
                       C2_TEXT(x), (long long)axis);
    *rows = *classes = 1;
    for (int d = 0; d < x->ndim; d++)
        *(d < axis ? rows : classes) *= x->shape[d];
    if (*classes > 0) return C2_OK;
    return c2_fail(c, C2_SHAPE, "input %d: %s given, at least one class expected", input,
                   C2_TEXT(x));
}

/* y = exp(x - max) / their sum, which stays finite for any finite x; y may be x. Returns
 * log(sum of exp(x)), so that -log y[k] is that minus x[k], without the rounding of y. */
#define C2_SOFTMAX(t, T, code, W)                                                                  \
    static inline T c2_softmax_##t(const T *x, int64_t n, T *y) {                                  \
        T top = x[0], sum = 0;                                                                     \
        for (int64_t k = 1; k < n; k++)                                                            \
            top = x[k] > top ? x[k] : top;                                                         \
        for (int64_t k = 0; k < n; k++)                                                            \
            sum += y[k] = exp(x[k] - top);                                                         \
        const T scale = 1 / sum;                                                                   \
        for (int64_t k = 0; k < n; k++)                                                            \
            y[k] *= scale;                                                                         \
        return log(sum) + top;                                                                     \
    }
C2_FLOAT_TYPES(C2_SOFTMAX)

#endif
