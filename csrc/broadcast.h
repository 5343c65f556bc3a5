/* Kernels of two inputs, element by element, with NumPy's broadcasting.
 *
 * A kernel gives one inner loop for each dtype that it takes; c2_binary does the rest: checks,
 * the shape of the output, and the walk over the outer dimensions. Dimensions that both inputs
 * cross without a jump are merged first, so equal shapes, a scalar and a trailing row cost one
 * call of the inner loop for each row, not for each element.
 *
 * Arguments of every such operator: 0 broadcast, 1 axis. NumPy's rule always holds; with
 * broadcast=1, Caffe2's older rule does: input 1 is laid against the dimensions of input 0 that
 * start at `axis` (-1: its last ones), and the output has the shape of input 0.
 *
 * In place: the output may be either input, when that input has the result's shape (else an
 * error, as in Caffe2); each element is read before it is written. Not when out_dtype is another
 * one: such an operator declares no pair.
 */
#ifndef C2_BROADCAST_H
#define C2_BROADCAST_H

#include "kernel_check.h"

/* out[k] = f(a[k * a_step], b[k * b_step]) for k < n; steps are 0 or 1 element. */
typedef void (*c2_inner)(const void *a, int a_step, const void *b, int b_step, void *out,
                         int64_t n);

/* loops[dtype] is the inner loop for inputs of that dtype, NULL for a dtype that is refused.
 * The output has out_dtype, or the inputs' where that is -1. */
int c2_binary(c2_context *c, const c2_inner loops[C2_DTYPES], int out_dtype);

/* An inner loop, `name`, from inputs of type T to an output of type R: F(x, y) is its element.
 * One loop for each way of stepping, so that the compiler sees constant steps and vectorizes. */
#define C2_INNER(name, T, R, F)                                                                    \
    static void name(const void *pa, int a_step, const void *pb, int b_step, void *po,             \
                     int64_t n) {                                                                  \
        const T *a = pa, *b = pb;                                                                  \
        R *out = po;                                                                               \
        if (a_step && b_step) {                                                                    \
            for (int64_t k = 0; k < n; k++)                                                        \
                out[k] = F(a[k], b[k]);                                                            \
        } else if (a_step) {                                                                       \
            const T y = *b;                                                                        \
            for (int64_t k = 0; k < n; k++)                                                        \
                out[k] = F(a[k], y);                                                               \
        } else {                                                                                   \
            const T x = *a;                                                                        \
            for (int64_t k = 0; k < n; k++)                                                        \
                out[k] = F(x, b[k]);                                                               \
        }                                                                                          \
    }

#endif
