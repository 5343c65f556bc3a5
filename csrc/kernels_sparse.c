/* Rows by index: Gather, SparseLengthsSum, SparseLengthsWeightedSum, ScatterAssign,
 * ScatterWeightedSum. A row is what one index of the first dimension of DATA selects.
 *
 * Indices are int32 or int64; 0 <= index < rows, negative ones are refused, as in Caffe2. All
 * are checked before the first write. Another thread may change them meanwhile, so each is read
 * once more, into memory of our own, and checked there again before it is used: no index ever
 * leads out of the tensor, and one that went bad in between ends the operator with an error
 * after a part of its work.
 *
 * ScatterWeightedSum is the one for blobs that threads share: it changes the elements by the
 * atomic adds of scatter.c and dense.c, in memory that it opens for them (stripes.h), so that no
 * update is lost, whatever else adds atomically to the same memory. The order is relaxed: who needs
 * to see an update takes that from an edge of the net or from a mutex. The others use plain vector
 * loads and stores: of a row that changes meanwhile they see, or leave, a mixture of old and new
 * elements. No element is torn, as the processor moves aligned words of up to 8 bytes whole, in a
 * vector too.
 */
#include <stdlib.h>
#include <string.h>

#include "dense.h"
#include "kernel_check.h"
#include "scatter.h"
#include "stripes.h"

/* ---- indices ---------------------------------------------------------------------------- */

enum { CHUNK = 256, AHEAD = C2_AHEAD };

typedef struct index_list {
    c2_context *c;
    const c2_tensor *tensor;
    int input;    /* which input it is, for messages */
    int64_t rows; /* what they select from */
} index_list;

/* Copies n indices as int64. A call that the compiler does not look into: what is checked
 * afterwards is the copy, never the caller's memory once more. */
__attribute__((noinline)) static void read_indices(const c2_tensor *t, int64_t from, int64_t n,
                                                   int64_t *to) {
    if (t->dtype == C2_INT32) {
        const int32_t *p = (const int32_t *)t->data + from;
        for (int64_t k = 0; k < n; k++)
            to[k] = p[k];
    } else {
        memcpy(to, (const int64_t *)t->data + from, (size_t)n * sizeof *to);
    }
}

static int out_of_range(const index_list *list, int64_t from, const int64_t *at) {
    int64_t k = 0;
    while ((uint64_t)at[k] < (uint64_t)list->rows)
        k++;
    return c2_fail(list->c, C2_INDEX,
                   "input %d: index %lld at position %lld given, 0 <= index < %lld expected",
                   list->input, (long long)at[k], (long long)(from + k), (long long)list->rows);
}

/* Indices from, from + 1, ... into `to`, n <= CHUNK of them, each checked after it was read. */
static int take(const index_list *list, int64_t from, int64_t n, int64_t *to) {
    read_indices(list->tensor, from, n, to);
    uint64_t bad = 0; /* its sign bit: that of an index, or of last - index, was set */
    const uint64_t last = (uint64_t)list->rows - 1;
    for (int64_t k = 0; k < n; k++)
        bad |= (uint64_t)to[k] | (last - (uint64_t)to[k]);
    return bad >> 63 ? out_of_range(list, from, to) : C2_OK;
}

static int64_t chunk(const index_list *list, int64_t from) {
    const int64_t left = list->tensor->size - from;
    return left < CHUNK ? left : CHUNK;
}

static int check_indices(const index_list *list) {
    int64_t to[CHUNK];
    int status = C2_OK;
    for (int64_t from = 0; from < list->tensor->size && !status; from += CHUNK)
        status = take(list, from, chunk(list, from), to);
    return status;
}

/* ---- shapes ----------------------------------------------------------------------------- */

/* Input `i`, with at least one dimension and a dtype of the list. */
static int data_input(c2_context *c, int i, unsigned dtypes, const c2_tensor **data) {
    *data = c2_in_of(c, i, dtypes);
    if (!*data) return C2_TYPE;
    if ((*data)->ndim > 0) return C2_OK;
    return c2_fail(c, C2_SHAPE, "input %d: %s given, one dimension or more expected", i,
                   C2_TEXT(*data));
}

/* Input `i`, with exactly one dimension and a dtype of the list. */
static int list_input(c2_context *c, int i, unsigned dtypes, const c2_tensor **x) {
    *x = c2_in_of(c, i, dtypes);
    if (!*x) return C2_TYPE;
    if ((*x)->ndim == 1) return C2_OK;
    return c2_fail(c, C2_SHAPE, "input %d: %s given, one dimension expected", i, C2_TEXT(*x));
}

/* A row of `data` for each element of `indices`, as a tensor without memory. */
static int rows_of(c2_context *c, const c2_tensor *data, const c2_tensor *indices,
                   c2_tensor *rows) {
    *rows = (c2_tensor){.dtype = data->dtype, .ndim = indices->ndim + data->ndim - 1};
    if (rows->ndim > 8)
        return c2_fail(c, C2_SHAPE, "%s selected by %s has %d dimensions, at most 8 expected",
                       C2_TEXT(data), C2_TEXT(indices), rows->ndim);
    memcpy(rows->shape, indices->shape, (size_t)indices->ndim * sizeof *rows->shape);
    memcpy(rows->shape + indices->ndim, data->shape + 1,
           (size_t)(data->ndim - 1) * sizeof *rows->shape);
    return C2_OK;
}

/* Input `i`: such rows, exactly. */
static int rows_input(c2_context *c, int i, const c2_tensor *rows, const c2_tensor **x) {
    *x = c2_in(c, i, -1);
    if (!*x) return C2_TYPE;
    if ((*x)->dtype == rows->dtype && c2_same_shape(*x, rows)) return C2_OK;
    return c2_fail(c, (*x)->dtype == rows->dtype ? C2_SHAPE : C2_TYPE,
                   "input %d: %s given, %s expected", i, C2_TEXT(*x), C2_TEXT(rows));
}

/* ---- Gather(DATA, INDICES) -> OUTPUT ---------------------------------------------------- */

/* to[k] = from[k] for rows of `bytes`, where `from` or `to` is the row of an index. */
#define COPY_ROWS(FROM, TO)                                                                        \
    switch (bytes) {                                                                               \
    case 4: /* a constant size is a move, not a call */                                            \
        for (int64_t k = 0; k < m; k++)                                                            \
            memcpy(TO, FROM, 4);                                                                   \
        break;                                                                                     \
    case 8:                                                                                        \
        for (int64_t k = 0; k < m; k++)                                                            \
            memcpy(TO, FROM, 8);                                                                   \
        break;                                                                                     \
    default:                                                                                       \
        for (int64_t k = 0; k < m; k++)                                                            \
            memcpy(TO, FROM, (size_t)bytes);                                                       \
    }

static int gather(c2_context *c) {
    const c2_tensor *data, *indices, *out;
    c2_tensor rows;
    int status = data_input(c, 0, C2_ANY, &data);
    if (status) return status;
    if (!(indices = c2_in_of(c, 1, C2_INDICES))) return C2_TYPE;
    if ((status = rows_of(c, data, indices, &rows))) return status;
    const index_list list = {c, indices, 1, data->shape[0]};
    if ((status = check_indices(&list))) return status;
    if (!(out = c2_out_like(c, 0, &rows))) return C2_NO_MEMORY;
    if (out->size == 0) return C2_OK;

    const int64_t bytes = out->size / indices->size * c2_itemsize(out->dtype);
    const char *rows_in = data->data;
    int64_t at[CHUNK];
    for (int64_t from = 0; from < indices->size; from += CHUNK) {
        const int64_t m = chunk(&list, from);
        if ((status = take(&list, from, m, at))) return status;
        char *to = (char *)out->data + from * bytes;
        COPY_ROWS(rows_in + at[k] * bytes, to + k * bytes)
    }
    return C2_OK;
}

/* ---- ScatterAssign(DATA, INDICES, SLICES) -> DATA --------------------------------------- */

static int scatter_assign(c2_context *c) {
    const c2_tensor *data, *indices, *slices;
    c2_tensor rows;
    int status = data_input(c, 0, C2_ANY, &data);
    if (status) return status;
    if (!(indices = c2_in_of(c, 1, C2_INDICES))) return C2_TYPE;
    status = rows_of(c, data, indices, &rows);
    if (!status) status = rows_input(c, 2, &rows, &slices);
    if (status) return status;
    const index_list list = {c, indices, 1, data->shape[0]};
    if ((status = check_indices(&list)) || slices->size == 0) return status;

    const int64_t bytes = slices->size / indices->size * c2_itemsize(data->dtype);
    char *rows_out = data->data;
    int64_t at[CHUNK];
    for (int64_t from = 0; from < indices->size; from += CHUNK) {
        const int64_t m = chunk(&list, from);
        if ((status = take(&list, from, m, at))) return status;
        const char *x = (const char *)slices->data + from * bytes;
        COPY_ROWS(x + k * bytes, rows_out + at[k] * bytes)
    }
    return C2_OK;
}

/* ---- ScatterWeightedSum(X0, w0, INDICES, X1, w1, ...) -> X0 ------------------------------ */

enum { MAX_TERMS = 16 };
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
        T sum[CHUNK];                                                                              \
        for (int64_t at = 0; at < n; at += CHUNK) {                                                \
            const int64_t m = n - at < CHUNK ? n - at : CHUNK;                                     \
            sum_terms_##t(sum, m, terms, n_terms, from + at);                                      \
            if (w0 == 1) {                                                                         \
                c2_dense_exact(code, row + at, sum, m, false);                                     \
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

/* The scatter-add by the method that suits these indices, whoever else is at work: nets have the
 * same rounding at every run. */
static int add_elements(const c2_adds *a) {
    double repeated;
    const int method = c2_adds_choose(a, 1, 2, &repeated);
    const int status = c2_add_at(a->dtype, a->base, a->slots, a->indices, a->index_dtype, a->values,
                                 1, a->n, method, 1, NULL, NULL);
    if (status != C2_NO_MEMORY) return status;
    return c2_add_at(a->dtype, a->base, a->slots, a->indices, a->index_dtype, a->values, 1, a->n,
                     C2_ADD_DIRECT, 1, NULL, NULL);
}

/* Rows of one element, with nothing but adds: what the scatter-add is for. The indices have been
 * checked; where one changes meanwhile, it stops there. */
static int scatter_elements(const index_list *list, const c2_tensor *x0, const term *terms,
                            int n_terms) {
    enum { MOST = 1 << 16 };
    const c2_tensor *t = list->tensor;
    const int64_t index_size = c2_itemsize(t->dtype), room = t->size < MOST ? t->size : MOST;
    void *sum = malloc((size_t)(room * c2_itemsize(x0->dtype)));
    if (!sum) return c2_fail(list->c, C2_NO_MEMORY, "no memory for %lld sums", (long long)room);
    int status = C2_OK;
    for (int64_t from = 0; from < t->size && !status; from += MOST) {
        const int64_t m = t->size - from < MOST ? t->size - from : MOST;
        if (x0->dtype == C2_FLOAT32)
            sum_terms_f32(sum, m, terms, n_terms, from);
        else
            sum_terms_f64(sum, m, terms, n_terms, from);
        status = add_elements(&(c2_adds){.dtype = x0->dtype,
                                         .index_dtype = t->dtype,
                                         .base = x0->data,
                                         .slots = list->rows,
                                         .indices = (const char *)t->data + from * index_size,
                                         .values = sum,
                                         .value_mask = -1,
                                         .n = m});
    }
    free(sum);
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
    int status = data_input(c, 0, C2_FLOATS, &x0);
    if (!status) status = c2_in_float(c, 1, x0->dtype, &w0);
    if (status) return status;
    if (!(indices = c2_in_of(c, 2, C2_INDICES))) return C2_TYPE;
    if (n_terms > MAX_TERMS)
        return c2_fail(c, C2_VALUE, "%d slices with weights given, at most %d accepted", n_terms,
                       MAX_TERMS);
    status = rows_of(c, x0, indices, &rows);
    for (int i = 0; i < n_terms && !status; i++) {
        status = rows_input(c, 3 + 2 * i, &rows, &x);
        if (!status) status = c2_in_float(c, 4 + 2 * i, x0->dtype, &terms[i].weight);
        if (!status) terms[i].x = x->data;
    }
    if (status) return status;
    const index_list list = {c, indices, 2, x0->shape[0]};
    if ((status = check_indices(&list)) || x->size == 0) return status;

    c2_memory_open(c2_memory_of(x0)); /* rows are few and far: not in turns */
    const int64_t n = x->size / indices->size, item = c2_itemsize(x0->dtype);
    if (n == 1 && w0 == 1) return scatter_elements(&list, x0, terms, n_terms);
    int64_t at[CHUNK];
    for (int64_t from = 0; from < indices->size; from += CHUNK) {
        const int64_t m = chunk(&list, from);
        if ((status = take(&list, from, m, at))) return status;
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

/* ---- SparseLengthsSum(DATA, INDICES, LENGTHS), ...WeightedSum(DATA, WEIGHTS, INDICES, LENGTHS)
 * Row s of the output is the sum of the next LENGTHS[s] rows that INDICES select. ---- */

static int32_t length_at(const c2_tensor *lengths, int64_t s) {
    return c2_i32_load((const int32_t *)lengths->data + s, C2_RELAXED);
}

static int check_lengths(c2_context *c, int i, const c2_tensor *lengths, int64_t n_indices) {
    int64_t sum = 0;
    for (int64_t s = 0; s < lengths->size; s++) {
        const int32_t length = length_at(lengths, s);
        if (length < 0)
            return c2_fail(c, C2_VALUE, "input %d: length %d at position %lld given, >= 0 expected",
                           i, (int)length, (long long)s);
        sum += length;
    }
    if (sum == n_indices) return C2_OK;
    return c2_fail(c, C2_SHAPE, "input %d: the lengths add up to %lld, %lld (the indices) expected",
                   i, (long long)sum, (long long)n_indices);
}

/* n elements of a row; `weights` may be NULL. Each length is read again, and bounded again. */
#define LENGTHS_SUM(t, T)                                                                          \
    static int lengths_sum_##t(const index_list *list, const T *data, int64_t n, const T *weights, \
                               const c2_tensor *lengths, T *to) {                                  \
        int64_t at[CHUNK], from = 0, used = 0, have = 0; /* at[used..have) are indices to come */  \
        for (int64_t s = 0; s < lengths->size; s++, to += n) {                                     \
            int64_t left = length_at(lengths, s);                                                  \
            if (left < 0 || left > list->tensor->size - from - used)                               \
                return c2_fail(list->c, C2_VALUE, "the lengths were changed by another thread");   \
            for (int64_t d = 0; d < n; d++)                                                        \
                to[d] = 0;                                                                         \
            while (left > 0) {                                                                     \
                if (used == have) {                                                                \
                    from += have;                                                                  \
                    have = chunk(list, from);                                                      \
                    used = 0;                                                                      \
                    const int status = take(list, from, have, at);                                 \
                    if (status) return status;                                                     \
                }                                                                                  \
                const int64_t m = left < have - used ? left : have - used;                         \
                const T *w = weights ? weights + from + used : NULL;                               \
                add_rows_##t(data, n, at + used, w, m, to);                                        \
                used += m;                                                                         \
                left -= m;                                                                         \
            }                                                                                      \
        }                                                                                          \
        return C2_OK;                                                                              \
    }

#define ADD_ROWS(t, T)                                                                             \
    static inline void add_rows_##t(const T *data, int64_t n, const int64_t *at, const T *weights, \
                                    int64_t m, T *to) {                                            \
        if (n == 1) { /* the sum stays in a register */                                            \
            T sum = to[0];                                                                         \
            for (int64_t k = 0; k < m; k++)                                                        \
                sum += weights ? weights[k] * data[at[k]] : data[at[k]];                           \
            to[0] = sum;                                                                           \
            return;                                                                                \
        }                                                                                          \
        for (int64_t k = 0; k < m; k++) {                                                          \
            const T *row = data + at[k] * n;                                                       \
            if (weights) {                                                                         \
                const T w = weights[k];                                                            \
                for (int64_t d = 0; d < n; d++)                                                    \
                    to[d] += w * row[d];                                                           \
            } else {                                                                               \
                for (int64_t d = 0; d < n; d++)                                                    \
                    to[d] += row[d];                                                               \
            }                                                                                      \
        }                                                                                          \
    }
ADD_ROWS(f32, float)
ADD_ROWS(f64, double)
LENGTHS_SUM(f32, float)
LENGTHS_SUM(f64, double)

/* `weighted` is 1 when input 1 are weights, and the rest stands one further. */
static int lengths_sum(c2_context *c, int weighted) {
    const int at = 1 + weighted;
    const c2_tensor *data, *weights = NULL, *indices, *lengths;
    int status = data_input(c, 0, C2_FLOATS, &data);
    if (!status && weighted) status = list_input(c, 1, C2_BIT(data->dtype), &weights);
    if (!status) status = list_input(c, at, C2_INDICES, &indices);
    if (!status) status = list_input(c, at + 1, C2_BIT(C2_INT32), &lengths);
    if (status) return status;
    if (weights && weights->size != indices->size)
        return c2_fail(c, C2_SHAPE, "input 1: %s given, one weight for each of %s expected",
                       C2_TEXT(weights), C2_TEXT(indices));
    const index_list list = {c, indices, at, data->shape[0]};
    if ((status = check_lengths(c, at + 1, lengths, indices->size))) return status;
    if ((status = check_indices(&list))) return status;

    c2_tensor rows;
    if ((status = rows_of(c, data, lengths, &rows))) return status;
    const c2_tensor *out = c2_out_like(c, 0, &rows);
    if (!out) return C2_NO_MEMORY;
    if (out->size == 0) return C2_OK;
    const int64_t n = out->size / lengths->size;
    const void *w = weights ? weights->data : NULL;
    if (out->dtype == C2_FLOAT32)
        return lengths_sum_f32(&list, data->data, n, w, lengths, out->data);
    return lengths_sum_f64(&list, data->data, n, w, lengths, out->data);
}

static int sparse_lengths_sum(c2_context *c) {
    return lengths_sum(c, 0);
}
static int sparse_lengths_weighted_sum(c2_context *c) {
    return lengths_sum(c, 1);
}

const c2_kernel_entry c2_kernels_sparse[] = {
    {"Gather", gather},
    {"ScatterAssign", scatter_assign},
    {"ScatterWeightedSum", scatter_weighted_sum},
    {"SparseLengthsSum", sparse_lengths_sum},
    {"SparseLengthsWeightedSum", sparse_lengths_weighted_sum},
    {NULL, NULL},
};
