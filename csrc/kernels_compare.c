/* Comparisons and logic: LT, LE, GT, GE, EQ, NE, And, Or, Xor, Not. The output is bool.
 *
 * Every dtype compares with itself, element by element, with the broadcasting of broadcast.h;
 * a NaN differs from everything, itself included. Logic takes bools only. A bool is a byte that
 * somebody else may have written: any that is not 0 counts as true, and what is written is 0 or
 * 1. Plain loads and stores, as in kernels_math.c.
 */
#include "broadcast.h"
#include "dtype.h"

#define LESS(x, y)     ((x) < (y))
#define AT_MOST(x, y)  ((x) <= (y))
#define MORE(x, y)     ((x) > (y))
#define AT_LEAST(x, y) ((x) >= (y))
#define EQUAL(x, y)    ((x) == (y))
#define DIFFER(x, y)   ((x) != (y))

/* X(kernel, element) */
#define COMPARISONS(X)                                                                             \
    X(lt, LESS)                                                                                    \
    X(le, AT_MOST)                                                                                 \
    X(gt, MORE)                                                                                    \
    X(ge, AT_LEAST)                                                                                \
    X(eq, EQUAL)                                                                                   \
    X(ne, DIFFER)

#define TRUTH(v) ((v) != 0)
#define BOOL_INNER(kernel, F)                                                                      \
    static inline uint8_t kernel##_truth(uint8_t x, uint8_t y) {                                   \
        return F(TRUTH(x), TRUTH(y));                                                              \
    }                                                                                              \
    C2_INNER(kernel##_b8, uint8_t, uint8_t, kernel##_truth)

#define TYPED(t, T, dtype, W)                                                                      \
    C2_INNER(lt_##t, T, uint8_t, LESS)                                                             \
    C2_INNER(le_##t, T, uint8_t, AT_MOST)                                                          \
    C2_INNER(gt_##t, T, uint8_t, MORE)                                                             \
    C2_INNER(ge_##t, T, uint8_t, AT_LEAST)                                                         \
    C2_INNER(eq_##t, T, uint8_t, EQUAL)                                                            \
    C2_INNER(ne_##t, T, uint8_t, DIFFER)
C2_NUMBER_TYPES(TYPED)
COMPARISONS(BOOL_INNER)

#define ENTRY_lt(t, T, dtype, W) [dtype] = lt_##t,
#define ENTRY_le(t, T, dtype, W) [dtype] = le_##t,
#define ENTRY_gt(t, T, dtype, W) [dtype] = gt_##t,
#define ENTRY_ge(t, T, dtype, W) [dtype] = ge_##t,
#define ENTRY_eq(t, T, dtype, W) [dtype] = eq_##t,
#define ENTRY_ne(t, T, dtype, W) [dtype] = ne_##t,
#define COMPARISON(kernel, F)                                                                      \
    static int kernel(c2_context *c) {                                                             \
        static const c2_inner loops[C2_DTYPES] = {[C2_BOOL] = kernel##_b8,                         \
                                                  C2_NUMBER_TYPES(ENTRY_##kernel)};                \
        return c2_binary(c, loops, C2_BOOL);                                                       \
    }
COMPARISONS(COMPARISON)

#define BOTH(x, y)   ((x) & (y))
#define EITHER(x, y) ((x) | (y))

/* X(kernel, element) */
#define LOGIC(X)                                                                                   \
    X(and, BOTH)                                                                                   \
    X(or, EITHER)                                                                                  \
    X(xor, DIFFER)
LOGIC(BOOL_INNER)

#define LOGICAL(kernel, F)                                                                         \
    static int kernel(c2_context *c) {                                                             \
        static const c2_inner loops[C2_DTYPES] = {[C2_BOOL] = kernel##_b8};                        \
        return c2_binary(c, loops, C2_BOOL);                                                       \
    }
LOGIC(LOGICAL)

static int negate(c2_context *c) {
    const c2_tensor *x = c2_in(c, 0, C2_BOOL);
    if (!x) return C2_TYPE;
    const c2_tensor *y = c2_out_like(c, 0, x);
    if (!y) return C2_NO_MEMORY;
    const uint8_t *in = x->data;
    uint8_t *out = y->data;
    for (int64_t k = 0; k < x->size; k++)
        out[k] = in[k] == 0;
    return C2_OK;
}

const c2_kernel_entry c2_kernels_compare[] = {
    {"LT", lt},   {"LE", le}, {"GT", gt},   {"GE", ge},      {"EQ", eq},   {"NE", ne},
    {"And", and}, {"Or", or}, {"Xor", xor}, {"Not", negate}, {NULL, NULL},
};
