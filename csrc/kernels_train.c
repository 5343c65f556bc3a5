/* The operators of a linear model whose workers have a log in common (train_run.c): what they
 * accept.
 *
 * SparseLinearTrain is one batch of one worker; SparseLinearScore is what the weights say of rows.
 * Wrong input is found before anything changes: each row is looked at when it is first trained on,
 * and each index once more whenever it is used.
 */
#include "train.h"

enum { BATCH, LR, DECAY, L2, LOSS, STEP, INTERCEPT };
enum { IN_LOG = 5, IN_MARKS, IN_WEIGHTS, IN_APPLIED, IN_LEDGER, IN_LOSS, IN_VALUES };

/* Whether every index of n contiguous rows fits: one pass without a branch in it. */
static bool rows_fit(const rows *x, int64_t first, int64_t n) {
    int64_t begin, end, at = x->indptr[first];
    for (int64_t row = first; row < first + n; row++) {
        if (!row_span(x, row, &begin, &end) || begin != at) return false;
        at = end;
    }
    uint32_t top = 0;
    for (int64_t k = n ? x->indptr[first] : at; k < at; k++) {
        const uint32_t feature = (uint32_t)x->indices[k];
        top = feature > top ? feature : top;
    }
    return top < x->slots || !n || x->indptr[first] == at;
}

static int64_t first_bad(const rows *x, int64_t first, int64_t n) {
    n = n < x->count ? n : x->count;
    const int64_t to_end = n < x->count - first ? n : x->count - first;
    if (rows_fit(x, first, to_end) && rows_fit(x, 0, n - to_end)) return -1;
    return bad_row(x, first, n);
}

static int must_have(c2_context *c, int i, const c2_tensor *t, int64_t least, const char *what) {
    if (t->size >= least) return C2_OK;
    return c2_fail(c, C2_SHAPE, "input %d (%s) must have at least %lld elements; it has %lld", i,
                   what, (long long)least, (long long)t->size);
}

/* Inputs at, at + 1: indptr and indices; `values`, where given. */
static bool take_csr(c2_context *c, int at, int values, rows *x, int *status) {
    const c2_tensor *indptr = c2_in(c, at, C2_INT64), *indices = c2_in(c, at + 1, C2_INT32);
    const c2_tensor *scales = c->n_in > values ? c2_in(c, values, C2_FLOAT32) : NULL;
    *status = C2_TYPE;
    if (!indptr || !indices || (c->n_in > values && !scales)) return false;
    if ((*status = must_have(c, at, indptr, 2, "indptr")) != C2_OK) return false;
    *x = (rows){.indptr = indptr->data,
                .indices = indices->data,
                .values = scales ? scales->data : NULL,
                .count = indptr->size - 1,
                .elements = indices->size};
    if (scales) *status = must_have(c, values, scales, x->elements, "values");
    return *status == C2_OK;
}

/* The weights' tensor: slots, and whether pairs. */
static bool take_weights(c2_context *c, int i, int width, bool intercept, rows *x, float **data) {
    const c2_tensor *t = c2_in(c, i, C2_FLOAT32);
    if (!t) return false;
    x->slots = t->size / width - intercept;
    *data = t->data;
    if (t->size % width == 0 && x->slots >= 0 && x->slots <= (int64_t)INT32_MAX + 1) return true;
    c2_fail(c, C2_SHAPE,
            "input %d (weights) must have %d floats for each feature%s, at most 2^31 features; it "
            "has %lld",
            i, width, intercept ? " and as many for the intercept" : "", (long long)t->size);
    return false;
}

static int take_job(c2_context *c, job *j) {
    int status;
    const c2_arg *args = c->args;
    *j = (job){.batch = args[BATCH].i,
               .lr = args[LR].f,
               .decay = args[DECAY].f,
               .l2 = (float)args[L2].f,
               .logistic = !strcmp(args[LOSS].s, "log"),
               .adagrad = !strcmp(args[STEP].s, "adagrad"),
               .intercept = args[INTERCEPT].i != 0};
    if (!take_csr(c, 2, IN_VALUES, &j->x, &status)) return status;
    const c2_tensor *targets = c2_in(c, 4, C2_FLOAT32), *log = c2_in(c, IN_LOG, C2_FLOAT32),
                    *marks = c2_in(c, IN_MARKS, C2_UINT8),
                    *applied = c2_in(c, IN_APPLIED, C2_UINT8),
                    *ledger = c2_in(c, IN_LEDGER, C2_INT64);
    j->loss = c2_in_scalar(c, IN_LOSS, C2_FLOAT64);
    if (!targets || !log || !marks || !applied || !ledger || !j->loss) return C2_TYPE;
    if (!take_weights(c, IN_WEIGHTS, j->adagrad ? 2 : 1, j->intercept, &j->x, &j->weights))
        return C2_SHAPE;
    j->limit = log->size;
    j->batches = j->limit / j->batch + (j->limit % j->batch != 0);
    if ((status = must_have(c, 4, targets, j->x.count, "targets")) != C2_OK ||
        (status = must_have(c, IN_MARKS, marks, j->batches, "marks")) != C2_OK ||
        (status = must_have(c, IN_APPLIED, applied, j->batches, "applied")) != C2_OK ||
        (status = must_have(c, IN_LEDGER, ledger, C2_LEDGER, "ledger")) != C2_OK)
        return status;
    j->x.labels = targets->data;
    j->log = log->data;
    j->marks = marks->data;
    j->applied = applied->data;
    j->ledger = ledger->data;
    j->frontier = c2_i64_load(j->ledger + C2_FRONTIER, C2_RELAXED);
    j->base = c2_i64_load(j->ledger + C2_BASE, C2_RELAXED);
    if (j->frontier < 0 || j->base < 0 || j->base > INT64_MAX / 2)
        return c2_fail(c, C2_VALUE, "input %d (ledger) must hold rows, 0 to 2^62", IN_LEDGER);
    for (int i = 0; i < 6; i++)
        if ((status = must_be_in_place(c, IN_LOG + i, i)) != C2_OK) return status;
    return C2_OK;
}

static int sparse_linear_train(c2_context *c) {
    job j;
    int status;
    const int64_t start = take_start(c, &status);
    if (start < 0) return status;
    const int64_t *cursor = c2_in_scalar(c, 1, C2_INT64);
    if (!cursor) return C2_TYPE;
    if ((status = take_job(c, &j)) != C2_OK) return status;
    j.cursor = cursor;
    if (start < j.limit) {
        const int64_t batch = start / j.batch;
        if (start % j.batch)
            return c2_fail(c, C2_VALUE,
                           "input 0 (start) must be a multiple of batch_size %lld; it is %lld",
                           (long long)j.batch, (long long)start);
        if (j.applied[batch] || c2_u8_load(j.marks + batch, C2_RELAXED))
            return c2_fail(c, C2_VALUE, "input 0 (start): the batch at %lld is trained already",
                           (long long)start);
        /* In the first pass only: it costs as much as a third of the training. */
        const bool new = j.base + start < j.x.count;
        const int64_t bad = new ? first_bad(&j.x, j.base + start, span_of(&j, batch).n) : -1;
        if (bad >= 0) return refuse_row(c, 2, &j.x, bad);
    }
    status = c2_train_batch(&j, start, c2_i64_load(cursor, C2_RELAXED));
    return status == C2_OK ? status : c2_fail(c, status, "the rows changed while workers ran");
}

/* ---- scores ----------------------------------------------------------------------------- */

static int sparse_linear_score(c2_context *c) {
    job j = {.intercept = c->args[1].i != 0};
    int status;
    if (!take_csr(c, 0, 3, &j.x, &status)) return status;
    const bool pairs = strcmp(c->args[0].s, "adagrad") == 0;
    if (!take_weights(c, 2, pairs ? 2 : 1, j.intercept, &j.x, &j.weights)) return C2_SHAPE;
    const int64_t bad = first_bad(&j.x, 0, j.x.count);
    if (bad >= 0) return refuse_row(c, 0, &j.x, bad);
    const c2_tensor *out = c2_out(c, 0, C2_FLOAT32, 1, &j.x.count);
    if (!out) return C2_NO_MEMORY;
    for (int64_t number = 0; number < j.x.count; number++) {
        row r;
        if (!take_row(&j.x, number, &r) ||
            !score_row(&j, r, (shape){j.x.values != NULL, pairs, false, false},
                       (float *)out->data + number))
            return refuse_row(c, 0, &j.x, number);
    }
    return C2_OK;
}

const c2_kernel_entry c2_kernels_train[] = {{"SparseLinearTrain", sparse_linear_train},
                                            {"SparseLinearScore", sparse_linear_score},
                                            {NULL, NULL}};
