/* Gradients that are rows of a table, and a step on just those rows:
 * SparseLengthsIndicesInGradientSumGradient, SparseAdagrad. float32 or float64.
 *
 * Indices are checked before the first write, and each once more when it is read for use: one
 * that another thread changed in between ends the operator after a part of its work.
 */
#include <tgmath.h>
#include <string.h>
#include "kernel_check.h"
#include "scalar.h"
#include "update.h"

static inline int64_t integer_at(const c2_tensor *t, int64_t k) {
    return t->dtype == C2_INT32 ? c2_i32_load((const int32_t *)t->data + k, C2_RELAXED)
                                : c2_i64_load((const int64_t *)t->data + k, C2_RELAXED);
}

/* ---- SparseLengthsIndicesInGradientSumGradient: dY, LENGTHS, INDICES -> one row for each index */

static int lengths_sum_gradient(c2_context *c) {
    const c2_tensor *dy = c2_in_of(c, 0, C2_FLOATS);
    const c2_tensor *lengths = dy ? c2_in(c, 1, C2_INT32) : NULL;
    const c2_tensor *indices = lengths ? c2_in_of(c, 2, C2_INDICES) : NULL;
    if (!indices) return C2_TYPE;
    if (lengths->ndim != 1 || dy->ndim < 1 || dy->shape[0] != lengths->size)
        return c2_fail(c, C2_SHAPE, "input 1: LENGTHS is %s, one for each row of dY, %s, expected",
                       C2_TEXT(lengths), C2_TEXT(dy));
    int64_t total = 0, shape[8];
    for (int64_t s = 0; s < lengths->size; s++) {
        const int64_t length = integer_at(lengths, s);
        if (length < 0)
            return c2_fail(c, C2_VALUE, "input 1: length %lld at position %lld given",
                           (long long)length, (long long)s);
        total += length;
    }
    if (indices->ndim != 1 || total != indices->size)
        return c2_fail(c, C2_SHAPE, "input 1: the lengths make %lld, INDICES is %s",
                       (long long)total, C2_TEXT(indices));
    memcpy(shape, dy->shape, sizeof shape);
    shape[0] = total;
    const c2_tensor *out = c2_out(c, 0, dy->dtype, dy->ndim, shape);
    if (!out) return C2_NO_MEMORY;
    if (out->size == 0) return C2_OK;
    const size_t row = (size_t)(out->size / total * c2_itemsize(out->dtype));
    int64_t k = 0;
    for (int64_t s = 0; s < lengths->size; s++) {
        const int64_t length = integer_at(lengths, s);
        if (length < 0 || length > total - k)
            return c2_fail(c, C2_SHAPE, "input 1: the lengths changed while they were read");
        for (int64_t end = k + length; k < end; k++)
            memcpy((char *)out->data + (size_t)k * row, (const char *)dy->data + (size_t)s * row,
                   row);
    }
    return C2_OK;
}

/* ---- SparseAdagrad: param, moment, indices, grad, lr [, mutex] -> param, moment ------------ */
/* Arguments: 0 epsilon, 1 update. An index that comes twice is stepped on twice, in turn. */

#define ADAGRAD_ROW(t, T, code, W)                                                                 \
    static void adagrad_row_##t(const c2_update *u, T lr, T epsilon, T *p, T *h, const T *g,       \
                                int64_t n) {                                                       \
        if (u->atomic) {                                                                           \
            for (int64_t k = 0; k < n; k++) {                                                      \
                const T square = g[k] * g[k];                                                      \
                const T now = c2_##t##_fetch_add(h + k, square, C2_RELAXED) + square;              \
                c2_##t##_fetch_add(p + k, lr * g[k] / (sqrt(now) + epsilon), C2_RELAXED);          \
            }                                                                                      \
        } else {                                                                                   \
            for (int64_t k = 0; k < n; k++) {                                                      \
                h[k] += g[k] * g[k];                                                               \
                p[k] += lr * g[k] / (sqrt(h[k]) + epsilon);                                        \
            }                                                                                      \
        }                                                                                          \
    }                                                                                              \
    static int64_t adagrad_rows_##t(const c2_update *u, double lr, double epsilon,                 \
                                    const c2_tensor *p, T *h, const c2_tensor *indices,            \
                                    const T *g, int64_t row) {                                     \
        for (int64_t i = 0; i < indices->size; i++) {                                              \
            const int64_t at = integer_at(indices, i);                                             \
            if ((uint64_t)at >= (uint64_t)p->shape[0]) return i;                                   \
            adagrad_row_##t(u, (T)lr, (T)epsilon, (T *)p->data + at * row, h + at * row,           \
                            g + i * row, row);                                                     \
        }                                                                                          \
        return -1;                                                                                 \
    }
C2_FLOAT_TYPES(ADAGRAD_ROW)

static int wrong_index(c2_context *c, const c2_tensor *indices, int64_t i, int64_t rows) {
    return c2_fail(c, C2_INDEX,
                   "input 2: index %lld at position %lld given, 0 <= index < %lld expected",
                   (long long)integer_at(indices, i), (long long)i, (long long)rows);
}

static int sparse_adagrad(c2_context *c) {
    int status = c2_update_in_place(c, 0, 0);
    if (!status) status = c2_update_in_place(c, 1, 1);
    if (status) return status;
    const c2_tensor *p = c2_in_of(c, 0, C2_FLOATS), *h, *indices, *g;
    if (!p) return C2_TYPE;
    if (p->ndim < 1)
        return c2_fail(c, C2_SHAPE, "input 0: %s given, one dimension or more expected",
                       C2_TEXT(p));
    if ((status = c2_in_like(c, 1, p, 0, &h))) return status;
    if (!(indices = c2_in_of(c, 2, C2_INDICES)) || !(g = c2_in(c, 3, p->dtype))) return C2_TYPE;
    int64_t row = 1;
    for (int d = 1; d < p->ndim; d++)
        row *= p->shape[d];
    if (g->size != indices->size * row)
        return c2_fail(c, C2_SHAPE, "input 3: grad is %s, %lld rows of %lld elements expected",
                       C2_TEXT(g), (long long)indices->size, (long long)row);
    for (int64_t i = 0; i < indices->size; i++)
        if ((uint64_t)integer_at(indices, i) >= (uint64_t)p->shape[0])
            return wrong_index(c, indices, i, p->shape[0]);
    double lr;
    c2_update u;
    if ((status = c2_in_real(c, 4, &lr))) return status;
    if ((status = c2_update_begin(c, 1, 5, p->data, &u))) return status;
    if (u.atomic) { /* element by element, so not in turns */
        c2_memory_open(c2_memory_of(p));
        c2_memory_open(c2_memory_of(h));
    }
    const int64_t bad =
        p->dtype == C2_FLOAT32
            ? adagrad_rows_f32(&u, lr, c->args[0].f, p, h->data, indices, g->data, row)
            : adagrad_rows_f64(&u, lr, c->args[0].f, p, h->data, indices, g->data, row);
    c2_update_end(&u);
    return bad < 0 ? C2_OK : wrong_index(c, indices, bad, p->shape[0]);
}

const c2_kernel_entry c2_kernels_sparse_optimizer[] = {
    {"SparseLengthsIndicesInGradientSumGradient", lengths_sum_gradient},
    {"SparseAdagrad", sparse_adagrad},
    {NULL, NULL},
};
