/* Rows of a table that a list of indices selects: what the kernels of rows have in common.
 *
 * A row is what one index of the first dimension selects. Indices are int32 or int64;
 * 0 <= index < rows, negative ones are refused, as in Caffe2. All are checked before the first
 * write. Another thread may change them meanwhile, so each is read once more, into memory of the
 * kernel's own, and checked there again before it is used: no index ever leads out of the table,
 * and one that went bad in between ends the operator with an error after a part of its work.
 */
#ifndef C2_ROWS_H
#define C2_ROWS_H

#include "kernel_check.h"

/* Input `i`, with a dtype of the list, and at least one dimension; or exactly one. A status; the
 * message is written. */
int c2_in_table(c2_context *c, int i, unsigned dtypes, const c2_tensor **table);
int c2_in_list(c2_context *c, int i, unsigned dtypes, const c2_tensor **list);

/* A row of `table` for each element of `indices`, as a tensor without memory. A status. */
int c2_rows_of(c2_context *c, const c2_tensor *table, const c2_tensor *indices, c2_tensor *rows);

/* Input `i`: such rows, exactly. A status. */
int c2_in_rows(c2_context *c, int i, const c2_tensor *rows, const c2_tensor **x);

typedef struct c2_index_list {
    c2_context *c;
    const c2_tensor *tensor; /* of one of C2_INDICES */
    int input;               /* which input it is, for messages */
    int64_t rows;            /* what they select from */
} c2_index_list;

/* Whether all are in range. A status. */
int c2_indices_check(const c2_index_list *list);

enum { C2_INDEX_CHUNK = 256 };

/* How many there are from `from` on, C2_INDEX_CHUNK at the most. */
static inline int64_t c2_indices_chunk(const c2_index_list *list, int64_t from) {
    const int64_t left = list->tensor->size - from;
    return left < C2_INDEX_CHUNK ? left : C2_INDEX_CHUNK;
}

/* Indices from, from + 1, ... into `to`, n <= C2_INDEX_CHUNK of them, each checked after it was
 * read. A status. */
int c2_indices_take(const c2_index_list *list, int64_t from, int64_t n, int64_t *to);

/* The n rows `at`, of `bytes` each, one after the other: out of the table, or into it. */
void c2_rows_read(const char *restrict table, const int64_t *restrict at, int64_t n, int64_t bytes,
                  char *restrict to);
void c2_rows_write(char *restrict table, const int64_t *restrict at, int64_t n, int64_t bytes,
                   const char *restrict from);

#endif
