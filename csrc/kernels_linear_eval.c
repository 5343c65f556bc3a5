/* What the weights of a sparse logistic regression are worth: loss, probabilities, and a monitor
 * that looks now and then while others train.
 *
 * All of them read the weights word by word, relaxed, while workers may change them: what comes
 * out belongs to no single moment then. Once the workers are joined it is exact.
 */
#include "linear.h"
#include "platform.h"

/* Scores of the rows from the weights as they are now; C2_INDEX when a row leads outside. */
static inline int score_row(const rows *x, const uint64_t *shared, int64_t row, float *score) {
    int64_t begin, end;
    if (!row_span(x, row, &begin, &end)) return C2_INDEX;
    float sum = 0;
    for (int64_t k = begin; k < end; k++) {
        const uint32_t feature = feature_of(x, k);
        if (feature >= x->slots) return C2_INDEX;
        const float weight = weight_of(shared + feature);
        sum += x->values ? weight * x->values[k] : weight;
    }
    *score = sum;
    return C2_OK;
}

static int mean_loss(c2_context *c, int at, const rows *x, const uint64_t *shared, double *mean) {
    double sum = 0;
    for (int64_t row = 0; row < x->count; row++) {
        float score;
        if (score_row(x, shared, row, &score) != C2_OK) return refuse_row(c, at, x, row);
        sum += loss_of(score, x->labels[row]);
    }
    *mean = sum / (double)x->count;
    return C2_OK;
}

int c2_sparse_logistic_loss(c2_context *c) {
    rows x;
    int status;
    double mean;
    const uint64_t *shared = take_rows(c, 0, true, 4, &x, &status);
    if (!shared) return status;
    if ((status = mean_loss(c, 0, &x, shared, &mean)) != C2_OK) return status;
    float *loss = scalar_out(c, 0);
    if (!loss) return C2_NO_MEMORY;
    *loss = (float)mean;
    return C2_OK;
}

int c2_sparse_logistic_predict(c2_context *c) {
    rows x;
    int status;
    const uint64_t *shared = take_rows(c, 0, false, 3, &x, &status);
    if (!shared) return status;
    const int64_t bad = bad_row(&x, 0, x.count);
    if (bad >= 0) return refuse_row(c, 0, &x, bad);
    const c2_tensor *out = c2_out(c, 0, C2_FLOAT32, 1, &x.count);
    if (!out) return C2_NO_MEMORY;
    float *probabilities = out->data;
    for (int64_t row = 0; row < x.count; row++) {
        float score;
        if (score_row(&x, shared, row, &score) != C2_OK) return refuse_row(c, 0, &x, row);
        probabilities[row] = probability(score);
    }
    return C2_OK;
}

enum { MONITOR_BATCH, MONITOR_LIMIT, MONITOR_EVERY, MONITOR_TARGET };
enum { POINT = 3 }; /* seconds, rows, loss */

/* Every `every` rows of the cursor belong to exactly one batch, whose worker evaluates and fills
 * the point of that number: no two workers write the same one, and none is left out. The loss is
 * written last, and released, so that who acquires a loss that is not 0 finds the rest. */
int c2_sparse_logistic_monitor(c2_context *c) {
    rows x;
    int status;
    const int64_t start = take_start(c, &status);
    if (start < 0) return status;
    const uint64_t *shared = take_rows(c, 1, true, 6, &x, &status);
    if (!shared) return status;
    const c2_tensor *history = c2_in(c, 5, C2_FLOAT64);
    if (!history) return C2_TYPE;
    if ((status = must_be_in_place(c, 5, 0)) != C2_OK) return status;
    const int64_t n = batch_rows(start, c->args[MONITOR_BATCH].i, c->args[MONITOR_LIMIT].i);
    const int64_t every = c->args[MONITOR_EVERY].i, passed = (start + n) / every;
    const bool due = passed != start / every;
    if (due && history->size / POINT < passed)
        return c2_fail(c, C2_SHAPE,
                       "input 5 (history) has room for %lld points; this is point %lld",
                       (long long)(history->size / POINT), (long long)passed);
    double loss = 0;
    if (due && (status = mean_loss(c, 1, &x, shared, &loss)) != C2_OK) return status;
    /* Nothing can go wrong any more but that there is no memory for this. */
    const int64_t one = 1;
    const c2_tensor *reached = c2_out(c, 1, C2_BOOL, 1, &one);
    if (!reached) return C2_NO_MEMORY;
    *(bool *)reached->data = false;
    if (!due) return C2_OK;
    double *point = (double *)history->data + (passed - 1) * POINT;
    c2_f64_store(point, (double)c2_os_now() * 1e-9, C2_RELAXED);
    c2_f64_store(point + 1, (double)(passed * every), C2_RELAXED);
    c2_f64_store(point + 2, loss, C2_RELEASE);
    *(bool *)reached->data = loss <= c->args[MONITOR_TARGET].f;
    return C2_OK;
}
