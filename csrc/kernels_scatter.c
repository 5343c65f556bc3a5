/* Rows into a table by index: ScatterAssign, ScatterWeightedSum.
 *
 * ScatterWeightedSum is the one for blobs that threads share: it changes the elements by the
 * atomic adds of scatter.c and dense.c, in memory that it opens for them (stripes.h), so that no
 * update is lost, whatever else adds atomically to the same memory. The order is relaxed: who needs
 * to see an update takes that from an edge of the net or from a mutex. ScatterAssign uses plain
 * vector stores: of a row that others change meanwhile it leaves a mixture, but no torn element.
 */
#include <stdlib.h>

#include "dense.h"
#include "rows.h"
#include "scatter.h"
#include "stripes.h"

/* ---- ScatterAssign(DATA, INDICES, SLICES) -> DATA --------------------------------------- */

static int scatter_assign(c2_context *c) {
    const c2_tensor *data, *indices, *slices;
    c2_tensor rows;
    int status = c2_in_table(c, 0, C2_ANY, &data);
    if (status) return status;
    if (!(indices = c2_in_of(c, 1, C2_INDICES))) return C2_TYPE;
    status = c2_rows_of(c, data, indices, &rows);
    if (!status) status = c2_in_rows(c, 2, &rows, &slices);
    if (status) return status;
    const c2_index_list list = {c, indices, 1, data->shape[0]};
    if ((status = c2_indices_check(&list)) || slices->size == 0) return status;

    const int64_t bytes = slices->size / indices->size * c2_itemsize(data->dtype);
    int64_t at[C2_INDEX_CHUNK];
    for (int64_t from = 0; from < indices->size; from += C2_INDEX_CHUNK) {
        const int64_t m = c2_indices_chunk(&list, from);
        if ((status = c2_indices_take(&list, from, m, at))) return status;
        c2_rows_write(data->data, at, m, bytes, (const char *)slices->data + from * bytes);
    }
    return C2_OK;
}

/* ---- ScatterWeightedSum(X0, w0, INDICES, X1, w1, ...) -> X0 ------------------------------ */

enum { MAX_TERMS = 16, AHEAD = C2_AHEAD };
typedef struct term {
    const void *x;
    double weight;
} term;

/* sum[k] = the weighted sum of the terms at `from` + k. */
#define SUM_TERMS(t, T)                                                                            \
    static void sum_terms_##t(T *sum, int64_t n, const term *terms, int n_terms, int64_t from) {   \
        for (int i = 0; i < n_terms; i++) {                                                        \
            const T *x = (const T *)terms[i].x + from, w = (T)terms[i].weight;                     \
            for (int64_t k = 0; k < n; k++)                                                        \
                sum[k] = i ? sum[k] + w * x[k] : w * x[k];                                         \
        }                                                                                          \
    }
SUM_TERMS(f32, float)
SUM_TERMS(f64, double)

/* row[k] = row[k] * w0 + that sum, atomic for each element. */
#define UPDATE_ROW(t, T, code)                                                                     \
    static void update_row_##t(T *row, int64_t n, double w0, const term *terms, int n_terms,       \
                               int64_t from) {                                                     \
        const T one = 1, weight = (T)terms[0].weight;                                              \
        if (n_terms == 1 && w0 == 1) {                                                             \
            c2_dense_add(code, row, (const T *)terms[0].x + from, &weight, n, 1);                  \
            return;                                                                                \
        }                                                                                          \
        T sum[C2_INDEX_CHUNK];                                                                     \
        for (int64_t at = 0; at < n; at += C2_INDEX_CHUNK) {                                       \
            const int64_t m = n - at < C2_INDEX_CHUNK ? n - at : C2_INDEX_CHUNK;                   \
            sum_terms_##t(sum, m, terms, n_terms, from + at);                                      \
            if (w0 == 1) {                                                                         \
                c2_dense_add(code, row + at, sum, &one, m, 1);                                     \
                continue;                                                                          \
            }                                                                                      \
            for (int64_t k = 0; k < m; k++) {                                                      \
                T old = c2_##t##_load(row + at + k, C2_RELAXED);                                   \
                while (!c2_##t##_compare_exchange(row + at + k, &old, old * (T)w0 + sum[k],        \
                                                  C2_RELAXED)) {                                   \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
    }
UPDATE_ROW(f32, float, C2_FLOAT32)
UPDATE_ROW(f64, double, C2_FLOAT64)

/* table[index] += value for indices from .. from + n - 1, by the method that suits these indices,
 * whoever else is at work: nets have the same rounding at every run. A status, without a message.
 */
static int add_elements(const c2_index_list *list, const c2_tensor *x0, const void *values,
                        int64_t from, int64_t n) {
    const c2_tensor *t = list->tensor;
    const c2_adds a = {.dtype = x0->dtype,
                       .index_dtype = t->dtype,
                       .base = x0->data,
                       .slots = list->rows,
                       .indices = (const char *)t->data + from * c2_itemsize(t->dtype),
                       .values = values,
                       .value_mask = -1,
                       .n = n};
    double repeated;
    const int method = c2_adds_choose(&a, 1, 2, &repeated);
    const int status = c2_add_at(a.dtype, a.base, a.slots, a.indices, a.index_dtype, a.values, 1,
                                 a.n, method, 1, NULL, NULL);
    if (status != C2_NO_MEMORY) return status;
    return c2_add_at(a.dtype, a.base, a.slots, a.indices, a.index_dtype, a.values, 1, a.n,
                     C2_ADD_DIRECT, 1, NULL, NULL);
}

/* Rows of one element, with nothing but adds: what the scatter-add is for. The indices have been
 * checked; where one changes meanwhile, it stops there. */
static int scatter_elements(const c2_index_list *list, const c2_tensor *x0, const term *terms,
                            int n_terms) {
    enum { MOST = 1 << 16 };
    const int64_t size = list->tensor->size, room = size < MOST ? size : MOST;
    int status = C2_OK;
    if (n_terms == 1 && terms[0].weight == 1) {
        status = add_elements(list, x0, terms[0].x, 0, size);
    } else {
        void *sum = malloc((size_t)(room * c2_itemsize(x0->dtype)));
        if (!sum) return c2_fail(list->c, C2_NO_MEMORY, "no memory for %lld sums", (long long)room);
        for (int64_t from = 0; from < size && !status; from += MOST) {
            const int64_t m = size - from < MOST ? size - from : MOST;
            if (x0->dtype == C2_FLOAT32)
                sum_terms_f32(sum, m, terms, n_terms, from);
            else
                sum_terms_f64(sum, m, terms, n_terms, from);
            status = add_elements(list, x0, sum, from, m);
        }
        free(sum);
    }
    if (status == C2_INDEX)
        return c2_fail(list->c, C2_INDEX, "input %d: an index was changed by another thread",
                       list->input);
    return status;
}

static int scatter_weighted_sum(c2_context *c) {
    const c2_tensor *x0, *indices, *x = NULL;
    c2_tensor rows;
    double w0;
    term terms[MAX_TERMS];
    const int n_terms = (c->n_in - 3) / 2;
    int status = c2_in_table(c, 0, C2_FLOATS, &x0);
    if (!status) status = c2_in_float(c, 1, x0->dtype, &w0);
    if (status) return status;
    if (!(indices = c2_in_of(c, 2, C2_INDICES))) return C2_TYPE;
    if (n_terms > MAX_TERMS)
        return c2_fail(c, C2_VALUE, "%d slices with weights given, at most %d accepted", n_terms,
                       MAX_TERMS);
    status = c2_rows_of(c, x0, indices, &rows);
    for (int i = 0; i < n_terms && !status; i++) {
        status = c2_in_rows(c, 3 + 2 * i, &rows, &x);
        if (!status) status = c2_in_float(c, 4 + 2 * i, x0->dtype, &terms[i].weight);
        if (!status) terms[i].x = x->data;
    }
    if (status) return status;
    const c2_index_list list = {c, indices, 2, x0->shape[0]};
    if ((status = c2_indices_check(&list)) || x->size == 0) return status;

    c2_memory_open(c2_memory_of(x0)); /* rows are few and far: not in turns */
    const int64_t n = x->size / indices->size, item = c2_itemsize(x0->dtype);
    if (n == 1 && w0 == 1) return scatter_elements(&list, x0, terms, n_terms);
    int64_t at[C2_INDEX_CHUNK];
    for (int64_t from = 0; from < indices->size; from += C2_INDEX_CHUNK) {
        const int64_t m = c2_indices_chunk(&list, from);
        if ((status = c2_indices_take(&list, from, m, at))) return status;
        for (int64_t k = 0; k < m; k++) {
            const int64_t row = at[k] * n, slice = (from + k) * n;
            if (k + AHEAD < m) /* a locked operation waits for its line; ask for it in time */
                __builtin_prefetch((char *)x0->data + at[k + AHEAD] * n * item, 1);
            if (x0->dtype == C2_FLOAT32)
                update_row_f32((float *)x0->data + row, n, w0, terms, n_terms, slice);
            else
                update_row_f64((double *)x0->data + row, n, w0, terms, n_terms, slice);
        }
    }
    return C2_OK;
}

const c2_kernel_entry c2_kernels_scatter[] = {
    {"ScatterAssign", scatter_assign},
    {"ScatterWeightedSum", scatter_weighted_sum},
    {NULL, NULL},
};
