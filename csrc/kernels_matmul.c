/* Fully connected layers and matrix products: FC, FCGradient, MatMul. float32 or float64.
 *
 * The products come from a BLAS (gemm.h); what is here is shapes, and the bias, which is laid into
 * the output first so that the product adds to it in one pass.
 *
 * Plain loads and stores: weights that other threads change meanwhile are read as they are, some
 * elements older than others. Outputs are blobs of their own, never one of the inputs.
 */
#include <string.h>
#include "gemm.h"
#include "kernel_check.h"
#include "scalar.h"

/* A tensor seen as a matrix: the dimensions before `axis`, and those from it on. */
typedef struct matrix {
    const c2_tensor *t;
    int64_t rows, columns;
} matrix;

static int64_t product(const int64_t *shape, int from, int to) {
    int64_t n = 1;
    for (int d = from; d < to; d++)
        n *= shape[d];
    return n;
}

/* Input `i`, of one dtype with `like`, input 0, unless it is that itself. */
static int as_matrix(c2_context *c, int i, const c2_tensor *like, int64_t axis, matrix *x) {
    x->t = like ? c2_in_as(c, i, like, 0) : c2_in_of(c, i, C2_FLOATS);
    if (!x->t) return C2_TYPE;
    if (axis > x->t->ndim)
        return c2_fail(c, C2_SHAPE, "input %d: %s given, at least %lld dimensions expected", i,
                       C2_TEXT(x->t), (long long)axis);
    x->rows = product(x->t->shape, 0, (int)axis);
    x->columns = product(x->t->shape, (int)axis, x->t->ndim);
    return C2_OK;
}

/* Arguments of FC and FCGradient: 0 axis, 1 axis_w. X (M, K), W (N, K). */
static int fc_inputs(c2_context *c, matrix *x, matrix *w) {
    int status = as_matrix(c, 0, NULL, c->args[0].i, x);
    if (!status) status = as_matrix(c, 1, x->t, c->args[1].i, w);
    if (!status && x->columns != w->columns)
        status =
            c2_fail(c, C2_SHAPE,
                    "input 0: %s given, %lld rows of %lld; input 1, W, is %s, for rows of %lld",
                    C2_TEXT(x->t), (long long)x->rows, (long long)x->columns, C2_TEXT(w->t),
                    (long long)w->columns);
    return status;
}

/* X, W, b -> Y = X W^T + b. */
static int fc(c2_context *c) {
    matrix x = {0}, w = {0};
    int status = fc_inputs(c, &x, &w);
    if (status) return status;
    const c2_tensor *b = c2_in_as(c, 2, x.t, 0);
    if (!b) return C2_TYPE;
    if (b->ndim != 1 || b->size != w.rows)
        return c2_fail(c, C2_SHAPE, "input 2: b is %s, one for each of the %lld rows of W expected",
                       C2_TEXT(b), (long long)w.rows);
    int64_t shape[8];
    const int ndim = (int)c->args[0].i + 1;
    if (ndim > 8) return c2_fail(c, C2_SHAPE, "the output would have %d dimensions", ndim);
    memcpy(shape, x.t->shape, (size_t)(ndim - 1) * sizeof *shape);
    shape[ndim - 1] = w.rows;
    const c2_tensor *y = c2_out(c, 0, x.t->dtype, ndim, shape);
    if (!y) return C2_NO_MEMORY;
    const size_t row = (size_t)(w.rows * c2_itemsize(y->dtype));
    for (int64_t m = 0; row && m < x.rows; m++)
        memcpy((char *)y->data + (size_t)m * row, b->data, row);
    return c2_gemm(c, y->dtype, false, true, x.rows, w.rows, x.columns, x.t->data, w.t->data, 1,
                   y->data);
}

/* sums[n] = the sum of x[m][n] over m. */
#define COLUMN_SUMS(t, T, code, W)                                                                 \
    static void column_sums_##t(const T *restrict x, int64_t rows, int64_t columns,                \
                                T *restrict sums) {                                                \
        memset(sums, 0, (size_t)columns * sizeof *sums);                                           \
        for (int64_t m = 0; m < rows; m++)                                                         \
            for (int64_t n = 0; n < columns; n++)                                                  \
                sums[n] += x[m * columns + n];                                                     \
    }
C2_FLOAT_TYPES(COLUMN_SUMS)

/* X, W, dY -> dW = dY^T X, db = the column sums of dY [, dX = dY W]. */
static int fc_gradient(c2_context *c) {
    matrix x = {0}, w = {0};
    int status = fc_inputs(c, &x, &w);
    if (status) return status;
    const c2_tensor *dy = c2_in(c, 2, x.t->dtype);
    if (!dy) return C2_TYPE;
    const int64_t m = x.rows, n = w.rows, k = x.columns;
    if (dy->size != m * n)
        return c2_fail(c, C2_SHAPE, "input 2: dY is %s, %lld x %lld elements expected", C2_TEXT(dy),
                       (long long)m, (long long)n);
    const int dtype = dy->dtype;
    const c2_tensor *dw = c2_out_like(c, 0, w.t), *db = c2_out(c, 1, dtype, 1, &n);
    const c2_tensor *dx = c->n_out > 2 ? c2_out_like(c, 2, x.t) : NULL;
    if (!dw || !db || (c->n_out > 2 && !dx)) return C2_NO_MEMORY;
    if (n == 0) { /* db is empty too, and may have no memory */
    } else if (dtype == C2_FLOAT32)
        column_sums_f32(dy->data, m, n, db->data);
    else
        column_sums_f64(dy->data, m, n, db->data);
    status = c2_gemm(c, dtype, true, false, n, k, m, dy->data, x.t->data, 0, dw->data);
    if (!status && dx)
        status = c2_gemm(c, dtype, false, false, m, k, n, dy->data, w.t->data, 0, dx->data);
    return status;
}

/* A, B -> op(A) op(B). Arguments: 0 trans_a, 1 trans_b. */
static int matmul(c2_context *c) {
    const c2_tensor *a = c2_in_of(c, 0, C2_FLOATS);
    const c2_tensor *b = a ? c2_in_as(c, 1, a, 0) : NULL;
    if (!b) return C2_TYPE;
    if (a->ndim != 2 || b->ndim != 2)
        return c2_fail(c, C2_SHAPE, "input %d: %s given, two dimensions expected", a->ndim == 2,
                       C2_TEXT(a->ndim == 2 ? b : a));
    const bool ta = c->args[0].i, tb = c->args[1].i;
    const int64_t k = a->shape[ta ? 0 : 1];
    const int64_t shape[2] = {a->shape[ta ? 1 : 0], b->shape[tb ? 0 : 1]};
    if (b->shape[tb ? 1 : 0] != k)
        return c2_fail(c, C2_SHAPE,
                       "input 1: %s%s given, which does not fit behind %s%s of input 0", C2_TEXT(b),
                       tb ? " transposed" : "", C2_TEXT(a), ta ? " transposed" : "");
    const c2_tensor *y = c2_out(c, 0, a->dtype, 2, shape);
    if (!y) return C2_NO_MEMORY;
    return c2_gemm(c, a->dtype, ta, tb, shape[0], shape[1], k, a->data, b->data, 0, y->data);
}

const c2_kernel_entry c2_kernels_matmul[] = {
    {"FC", fc},
    {"FCGradient", fc_gradient},
    {"MatMul", matmul},
    {NULL, NULL},
};
