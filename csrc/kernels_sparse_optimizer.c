/* SparseAdagrad: a step on some rows of a table. float32 or float64.
 *
 * param, moment, indices, grad, lr [, mutex] -> param, moment; arguments: 0 epsilon, 1 update. An
 * index that comes twice is stepped on twice, in turn.
 */
#include <tgmath.h>
#include "rows.h"
#include "scalar.h"
#include "update.h"

#define ADAGRAD(t, T, code, W)                                                                     \
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
    static int adagrad_##t(const c2_update *u, double lr, double epsilon, T *p, T *h,              \
                           const c2_index_list *list, const T *g, int64_t row) {                   \
        int64_t at[C2_INDEX_CHUNK];                                                                \
        for (int64_t from = 0; from < list->tensor->size; from += C2_INDEX_CHUNK) {                \
            const int64_t m = c2_indices_chunk(list, from);                                        \
            const int status = c2_indices_take(list, from, m, at);                                 \
            if (status) return status;                                                             \
            for (int64_t k = 0; k < m; k++)                                                        \
                adagrad_row_##t(u, (T)lr, (T)epsilon, p + at[k] * row, h + at[k] * row,            \
                                g + (from + k) * row, row);                                        \
        }                                                                                          \
        return C2_OK;                                                                              \
    }
C2_FLOAT_TYPES(ADAGRAD)

static int sparse_adagrad(c2_context *c) {
    int status = c2_update_in_place(c, 0, 0);
    if (!status) status = c2_update_in_place(c, 1, 1);
    const c2_tensor *p, *h, *indices, *g;
    if (!status) status = c2_in_table(c, 0, C2_FLOATS, &p);
    if (!status) status = c2_in_like(c, 1, p, 0, &h);
    if (status) return status;
    if (!(indices = c2_in_of(c, 2, C2_INDICES)) || !(g = c2_in(c, 3, p->dtype))) return C2_TYPE;
    int64_t row = 1;
    for (int d = 1; d < p->ndim; d++)
        row *= p->shape[d];
    if (g->size != indices->size * row)
        return c2_fail(c, C2_SHAPE, "input 3: grad is %s, %lld rows of %lld elements expected",
                       C2_TEXT(g), (long long)indices->size, (long long)row);
    const c2_index_list list = {c, indices, 2, p->shape[0]};
    if ((status = c2_indices_check(&list))) return status;
    double lr;
    c2_update u;
    if ((status = c2_in_real(c, 4, &lr))) return status;
    if ((status = c2_update_begin(c, 1, 5, p->data, &u))) return status;
    if (u.atomic) { /* element by element, so not in turns */
        c2_memory_open(c2_memory_of(p));
        c2_memory_open(c2_memory_of(h));
    }
    status = p->dtype == C2_FLOAT32
                 ? adagrad_f32(&u, lr, c->args[0].f, p->data, h->data, &list, g->data, row)
                 : adagrad_f64(&u, lr, c->args[0].f, p->data, h->data, &list, g->data, row);
    c2_update_end(&u);
    return status;
}

const c2_kernel_entry c2_kernels_sparse_optimizer[] = {
    {"SparseAdagrad", sparse_adagrad},
    {NULL, NULL},
};
