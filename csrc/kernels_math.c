/* Arithmetic on tensors: Copy, Add, Sub, Mul, Sum, Scale, WeightedSum, Relu, Sigmoid.
 *
 * Plain loads and stores, so that the loops vectorize: two of these on the same blob at the same
 * time are safe for memory, and may lose each other's values (ScatterWeightedSum, in
 * kernels_sparse.c, does not). Integers wrap: the work is done on the unsigned word. Every
 * kernel may run in place, on any of its inputs.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "broadcast.h"
#include "dtype.h"

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
        for (int64_t k = 0; k < n; k++) y[k] = F(x[k], p);                          \
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

