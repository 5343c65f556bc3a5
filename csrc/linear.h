/* What the operators of sparse logistic regression have in common: the shared words that hold the
 * weights, and rows in CSR form.
 *
 * The weights are one int64 tensor of 8-byte words that all workers share:
 *
 *     word   bytes 0-3  float32   the weight
 *            bytes 4-7  uint32    how many updates the weight has had, modulo 2^32
 *
 *   changed by   any worker, whole, by one relaxed compare-exchange (kernels_linear.c);
 *   read by      anybody, whole, relaxed.
 *
 * Relaxed is enough: nobody concludes from one word what another holds. SGD bears weights that
 * are some updates old. Who wants the final weights joins the workers first, and that orders.
 *
 * Blobs may be replaced or written by others while a kernel runs: rows are checked before
 * anything changes, and each index once more when it is used, so wild memory is never touched.
 */
#ifndef C2_LINEAR_H
#define C2_LINEAR_H

#include <math.h>

#include "kernel.h"
#include "scalar.h"

typedef struct word {
    float weight;
    uint32_t updates;
} word;
_Static_assert(sizeof(word) == sizeof(int64_t), "a word is one int64");

static inline word word_of(uint64_t bits) {
    word w;
    memcpy(&w, &bits, sizeof w);
    return w;
}

static inline uint64_t bits_of(word w) {
    uint64_t bits;
    memcpy(&bits, &w, sizeof bits);
    return bits;
}

static inline float weight_of(const uint64_t *shared) {
    return word_of(c2_u64_load(shared, C2_RELAXED)).weight;
}

/* ---- rows ------------------------------------------------------------------------------- */

typedef struct rows {
    const int64_t *indptr; /* count + 1, row r is the elements indptr[r] .. indptr[r + 1] */
    const int32_t *indices;
    const float *values; /* NULL: all 1 */
    const float *labels; /* 0 or 1; NULL where not needed */
    int64_t count;
    int64_t elements;
    int64_t slots; /* features are 0 <= index < slots */
} rows;

static inline bool row_span(const rows *x, int64_t row, int64_t *begin, int64_t *end) {
    *begin = c2_i64_load(x->indptr + row, C2_RELAXED);
    *end = c2_i64_load(x->indptr + row + 1, C2_RELAXED);
    return 0 <= *begin && *begin <= *end && *end <= x->elements;
}

static inline uint32_t feature_of(const rows *x, int64_t k) {
    return (uint32_t)c2_i32_load(x->indices + k, C2_RELAXED);
}

/* The first of `n` rows from `first` on, wrapping around, that leads outside, or -1. */
static inline int64_t bad_row(const rows *x, int64_t first, int64_t n) {
    for (int64_t row = first; n > 0; n--) {
        int64_t begin, end;
        if (!row_span(x, row, &begin, &end)) return row;
        uint32_t top = 0; /* a negative index is a large one */
        for (int64_t k = begin; k < end; k++) {
            const uint32_t feature = (uint32_t)x->indices[k];
            top = feature > top ? feature : top;
        }
        if (begin < end && top >= x->slots) return row;
        if (++row == x->count) row = 0;
    }
    return -1;
}

/* How many rows the batch from `start` on has: a negative limit is none. */
static inline int64_t batch_rows(int64_t start, int64_t batch, int64_t limit) {
    const int64_t end = limit < 0 ? INT64_MAX : limit;
    return start >= end ? 0 : end - start < batch ? end - start : batch;
}

static inline float probability(float score) {
    return 1.0f / (1.0f + expf(-score));
}

/* -log of the probability that `score` gives to `label`; of use for any score. */
static inline double loss_of(float score, float label) {
    const double wrong = label > 0.5f ? -(double)score : (double)score;
    return wrong > 0 ? wrong + log1p(exp(-wrong)) : log1p(exp(wrong));
}

/* ---- what the operators check ----------------------------------------------------------- */

/* Inputs `at`: indptr, indices, labels (where wanted), weights, in this order; values, where
 * given, are input `values`. Fills x and returns the words, or NULL with the message written and
 * *status set. */
static inline uint64_t *take_rows(c2_context *c, int at, bool labelled, int values, rows *x,
                                  int *status) {
    const c2_tensor *indptr = c2_in(c, at, C2_INT64);
    const c2_tensor *indices = c2_in(c, at + 1, C2_INT32);
    const c2_tensor *labels = labelled ? c2_in(c, at + 2, C2_FLOAT32) : NULL;
    const int at_words = at + 2 + labelled;
    const c2_tensor *words = c2_in(c, at_words, C2_INT64);
    const c2_tensor *scales = c->n_in > values ? c2_in(c, values, C2_FLOAT32) : NULL;
    *status = C2_TYPE;
    if (!indptr || !indices || !words) return NULL;
    if ((labelled && !labels) || (c->n_in > values && !scales)) return NULL;
    *status = C2_SHAPE;
    *x = (rows){.indptr = indptr->data,
                .indices = indices->data,
                .values = scales ? scales->data : NULL,
                .labels = labels ? labels->data : NULL,
                .count = indptr->size - 1,
                .elements = indices->size,
                .slots = words->size};
    if (x->count < 1) {
        c2_fail(c, *status, "input %d (indptr) must have at least 2 elements, one row; it has %lld",
                at, (long long)indptr->size);
    } else if (labels && labels->size != x->count) {
        c2_fail(c, *status,
                "input %d (labels) must have %lld elements, one for each row; it has %lld", at + 2,
                (long long)x->count, (long long)labels->size);
    } else if (scales && scales->size != x->elements) {
        c2_fail(c, *status,
                "input %d (values) must have %lld elements, as many as indices; it has %lld",
                values, (long long)x->elements, (long long)scales->size);
    } else if (x->slots < 1 || x->slots > (int64_t)INT32_MAX + 1) {
        c2_fail(c, *status, "input %d (weights) must have 1 to 2^31 words; it has %lld", at_words,
                (long long)x->slots);
    } else {
        *status = C2_OK;
        return words->data; /* aligned, as every tensor is to its elements */
    }
    return NULL;
}

static inline int refuse_row(c2_context *c, int at, const rows *x, int64_t row) {
    return c2_fail(c, C2_INDEX,
                   "row %lld: its indptr (input %d) must rise within 0..%lld, and its indices "
                   "(input %d) be 0 <= index < %lld",
                   (long long)row, at, (long long)x->elements, at + 1, (long long)x->slots);
}

/* Element 0 of an int64 input that must not be negative; -1 with the message written. */
static inline int64_t take_start(c2_context *c, int *status) {
    const int64_t *start = c2_in_scalar(c, 0, C2_INT64);
    *status = C2_TYPE;
    if (!start) return -1;
    const int64_t at = c2_i64_load(start, C2_RELAXED);
    if (at < 0)
        *status =
            c2_fail(c, C2_VALUE, "input 0 (start) must not be negative; it is %lld", (long long)at);
    return at;
}

static inline int must_be_in_place(c2_context *c, int in, int out) {
    if (c->in[in] == c->out[out]) return C2_OK;
    return c2_fail(c, C2_VALUE, "output %d must be the blob of input %d", out, in);
}

static inline float *scalar_out(c2_context *c, int i) {
    const int64_t one = 1;
    const c2_tensor *out = c2_out(c, i, C2_FLOAT32, 1, &one);
    return out ? out->data : NULL;
}

/* kernels_linear_eval.c; the list is in kernels_linear.c */
int c2_sparse_logistic_loss(c2_context *c);
int c2_sparse_logistic_predict(c2_context *c);
int c2_sparse_logistic_monitor(c2_context *c);

#endif
