/* See rows.h. */
#include "rows.h"

#include <string.h>

/* ---- shapes ----------------------------------------------------------------------------- */

int c2_in_table(c2_context *c, int i, unsigned dtypes, const c2_tensor **table) {
    *table = c2_in_of(c, i, dtypes);
    if (!*table) return C2_TYPE;
    if ((*table)->ndim > 0) return C2_OK;
    return c2_fail(c, C2_SHAPE, "input %d: %s given, one dimension or more expected", i,
                   C2_TEXT(*table));
}

int c2_in_list(c2_context *c, int i, unsigned dtypes, const c2_tensor **x) {
    *x = c2_in_of(c, i, dtypes);
    if (!*x) return C2_TYPE;
    if ((*x)->ndim == 1) return C2_OK;
    return c2_fail(c, C2_SHAPE, "input %d: %s given, one dimension expected", i, C2_TEXT(*x));
}

int c2_rows_of(c2_context *c, const c2_tensor *table, const c2_tensor *indices, c2_tensor *rows) {
    *rows = (c2_tensor){.dtype = table->dtype, .ndim = indices->ndim + table->ndim - 1};
    if (rows->ndim > 8)
        return c2_fail(c, C2_SHAPE, "%s selected by %s has %d dimensions, at most 8 expected",
                       C2_TEXT(table), C2_TEXT(indices), rows->ndim);
    memcpy(rows->shape, indices->shape, (size_t)indices->ndim * sizeof *rows->shape);
    memcpy(rows->shape + indices->ndim, table->shape + 1,
           (size_t)(table->ndim - 1) * sizeof *rows->shape);
    return C2_OK;
}

int c2_in_rows(c2_context *c, int i, const c2_tensor *rows, const c2_tensor **x) {
    *x = c2_in(c, i, -1);
    if (!*x) return C2_TYPE;
    if ((*x)->dtype == rows->dtype && c2_same_shape(*x, rows)) return C2_OK;
    return c2_fail(c, (*x)->dtype == rows->dtype ? C2_SHAPE : C2_TYPE,
                   "input %d: %s given, %s expected", i, C2_TEXT(*x), C2_TEXT(rows));
}

/* ---- indices ---------------------------------------------------------------------------- */

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

static int out_of_range(const c2_index_list *list, int64_t from, const int64_t *at) {
    int64_t k = 0;
    while ((uint64_t)at[k] < (uint64_t)list->rows)
        k++;
    return c2_fail(list->c, C2_INDEX,
                   "input %d: index %lld at position %lld given, 0 <= index < %lld expected",
                   list->input, (long long)at[k], (long long)(from + k), (long long)list->rows);
}

int c2_indices_take(const c2_index_list *list, int64_t from, int64_t n, int64_t *to) {
    read_indices(list->tensor, from, n, to);
    uint64_t bad = 0; /* its sign bit: that of an index, or of last - index, was set */
    const uint64_t last = (uint64_t)list->rows - 1;
    for (int64_t k = 0; k < n; k++)
        bad |= (uint64_t)to[k] | (last - (uint64_t)to[k]);
    return bad >> 63 ? out_of_range(list, from, to) : C2_OK;
}

int c2_indices_check(const c2_index_list *list) {
    int64_t to[C2_INDEX_CHUNK];
    int status = C2_OK;
    for (int64_t from = 0; from < list->tensor->size && !status; from += C2_INDEX_CHUNK)
        status = c2_indices_take(list, from, c2_indices_chunk(list, from), to);
    return status;
}

/* ---- copies ----------------------------------------------------------------------------- */

/* A constant size is a move, not a call. */
#define COPY_ROWS(FROM, TO)                                                                        \
    switch (bytes) {                                                                               \
    case 4:                                                                                        \
        for (int64_t k = 0; k < n; k++)                                                            \
            memcpy(TO, FROM, 4);                                                                   \
        break;                                                                                     \
    case 8:                                                                                        \
        for (int64_t k = 0; k < n; k++)                                                            \
            memcpy(TO, FROM, 8);                                                                   \
        break;                                                                                     \
    default:                                                                                       \
        for (int64_t k = 0; k < n; k++)                                                            \
            memcpy(TO, FROM, (size_t)bytes);                                                       \
    }

void c2_rows_read(const char *restrict table, const int64_t *restrict at, int64_t n, int64_t bytes,
                  char *restrict to) {
    COPY_ROWS(table + at[k] * bytes, to + k * bytes)
}

void c2_rows_write(char *restrict table, const int64_t *restrict at, int64_t n, int64_t bytes,
                   const char *restrict from) {
    COPY_ROWS(from + k * bytes, table + at[k] * bytes)
}
