/* Rows of a table by index, copied or added up: Gather, SparseLengthsSum, SparseLengthsWeightedSum;
 * and for the gradient of such a sum, the rows' gradients:
 * SparseLengthsIndicesInGradientSumGradient.
 *
 * Plain vector loads: of a row that changes meanwhile they see a mixture of old and new elements.
 * No element is torn, as the processor moves aligned words of up to 8 bytes whole, in a vector too.
 */
#include <string.h>

#include "rows.h"
#include "scalar.h"

/* ---- Gather(DATA, INDICES) -> OUTPUT ---------------------------------------------------- */

static int gather(c2_context *c) {
    const c2_tensor *data, *indices, *out;
    c2_tensor rows;
    int status = c2_in_table(c, 0, C2_ANY, &data);
    if (status) return status;
    if (!(indices = c2_in_of(c, 1, C2_INDICES))) return C2_TYPE;
    if ((status = c2_rows_of(c, data, indices, &rows))) return status;
    const c2_index_list list = {c, indices, 1, data->shape[0]};
    if ((status = c2_indices_check(&list))) return status;
    if (!(out = c2_out_like(c, 0, &rows))) return C2_NO_MEMORY;
    if (out->size == 0) return C2_OK;

    const int64_t bytes = out->size / indices->size * c2_itemsize(out->dtype);
    int64_t at[C2_INDEX_CHUNK];
    for (int64_t from = 0; from < indices->size; from += C2_INDEX_CHUNK) {
        const int64_t m = c2_indices_chunk(&list, from);
        if ((status = c2_indices_take(&list, from, m, at))) return status;
        c2_rows_read(data->data, at, m, bytes, (char *)out->data + from * bytes);
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
    static int lengths_sum_##t(const c2_index_list *list, const T *data, int64_t n,                \
                               const T *weights, const c2_tensor *lengths, T *to) {                \
        int64_t at[C2_INDEX_CHUNK], from = 0, used = 0,                                            \
                                    have = 0; /* at[used..have) are indices to come */             \
        for (int64_t s = 0; s < lengths->size; s++, to += n) {                                     \
            int64_t left = length_at(lengths, s);                                                  \
            if (left < 0 || left > list->tensor->size - from - used)                               \
                return c2_fail(list->c, C2_VALUE, "the lengths were changed by another thread");   \
            for (int64_t d = 0; d < n; d++)                                                        \
                to[d] = 0;                                                                         \
            while (left > 0) {                                                                     \
                if (used == have) {                                                                \
                    from += have;                                                                  \
                    have = c2_indices_chunk(list, from);                                           \
                    used = 0;                                                                      \
                    const int status = c2_indices_take(list, from, have, at);                      \
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
    int status = c2_in_table(c, 0, C2_FLOATS, &data);
    if (!status && weighted) status = c2_in_list(c, 1, C2_BIT(data->dtype), &weights);
    if (!status) status = c2_in_list(c, at, C2_INDICES, &indices);
    if (!status) status = c2_in_list(c, at + 1, C2_BIT(C2_INT32), &lengths);
    if (status) return status;
    if (weights && weights->size != indices->size)
        return c2_fail(c, C2_SHAPE, "input 1: %s given, one weight for each of %s expected",
                       C2_TEXT(weights), C2_TEXT(indices));
    const c2_index_list list = {c, indices, at, data->shape[0]};
    if ((status = check_lengths(c, at + 1, lengths, indices->size))) return status;
    if ((status = c2_indices_check(&list))) return status;

    c2_tensor rows;
    if ((status = c2_rows_of(c, data, lengths, &rows))) return status;
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

/* ---- SparseLengthsIndicesInGradientSumGradient(dY, LENGTHS, INDICES) -> one row for each index:
 * that of its segment. ---- */

static int lengths_sum_gradient(c2_context *c) {
    const c2_tensor *dy, *lengths, *indices;
    int status = c2_in_table(c, 0, C2_FLOATS, &dy);
    if (!status) status = c2_in_list(c, 1, C2_BIT(C2_INT32), &lengths);
    if (!status) status = c2_in_list(c, 2, C2_INDICES, &indices);
    if (status) return status;
    if (dy->shape[0] != lengths->size)
        return c2_fail(c, C2_SHAPE, "input 1: LENGTHS is %s, one for each row of dY, %s, expected",
                       C2_TEXT(lengths), C2_TEXT(dy));
    if ((status = check_lengths(c, 1, lengths, indices->size))) return status;
    int64_t shape[8];
    memcpy(shape, dy->shape, sizeof shape);
    shape[0] = indices->size;
    const c2_tensor *out = c2_out(c, 0, dy->dtype, dy->ndim, shape);
    if (!out) return C2_NO_MEMORY;
    if (out->size == 0) return C2_OK;
    const size_t row = (size_t)(out->size / indices->size * c2_itemsize(out->dtype));
    const char *from = dy->data;
    char *to = out->data;
    for (int64_t s = 0, used = 0; s < lengths->size; s++, from += row) {
        const int64_t length = length_at(lengths, s);
        if (length < 0 || length > indices->size - used)
            return c2_fail(c, C2_VALUE, "the lengths were changed by another thread");
        used += length;
        for (int64_t k = 0; k < length; k++, to += row)
            memcpy(to, from, row);
    }
    return C2_OK;
}

const c2_kernel_entry c2_kernels_gather[] = {
    {"Gather", gather},
    {"SparseLengthsIndicesInGradientSumGradient", lengths_sum_gradient},
    {"SparseLengthsSum", sparse_lengths_sum},
    {"SparseLengthsWeightedSum", sparse_lengths_weighted_sum},
    {NULL, NULL},
};
