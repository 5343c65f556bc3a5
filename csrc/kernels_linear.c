/* Sparse logistic regression by asynchronous SGD, on rows in CSR form.
 *
 * Weight and counter of a word (linear.h) change in the same exchange, so the counters cannot
 * tell another story than the weights: an update that is lost there is missing here. Each worker
 * counts what it sent, in a scalar of its own, and once all have stopped the sum of the counters
 * equals the sum of the sent, or updates were lost. update="racy" makes the exchange a load and a
 * store, as Hogwild! (Niu, Recht, Re, Wright, NIPS 2011) has it, and the counters fall short.
 *
 * merge="batch": for the length of a batch a worker keeps the weights that it touches in a table
 * of its own, steps there row by row, and then adds the differences to the shared words, one
 * exchange for each feature of the batch. Hot features, which nearly every row has, would
 * otherwise pull their cache lines from core to core at every row; this way it is once a batch.
 * merge="row" exchanges at every row; it is what the batch form is compared with.
 *
 * Differences must not be old when they are added: those of a worker that the system has put to
 * sleep for 10 ms belong to weights of some hundred batches ago, and the loss jumps. So the worker
 * looks at the shared cursor before and after: when the others have taken more than `max_ahead`
 * rows in between, it forgets what it did, of which nobody has seen anything, and does the batch
 * again on the weights of now.
 *
 * Who may call what: any number of workers at the same time on the same rows and weights, each
 * with a table and a sent of its own. Lock-free: an exchange fails only because another one
 * succeeded, and a batch is done again at most TRIES times.
 */
#include "linear.h"

/* The one place where shared weights change. */
static inline void add_update(uint64_t *shared, float step, uint32_t updates, bool racy) {
    uint64_t seen = c2_u64_load(shared, C2_RELAXED);
    for (;;) {
        word next = word_of(seen);
        next.weight += step;
        next.updates += updates;
        if (racy) {
            c2_u64_store(shared, bits_of(next), C2_RELAXED);
            return;
        }
        if (c2_u64_compare_exchange(shared, &seen, bits_of(next), C2_RELAXED)) return;
    }
}

/* ---- a batch of SGD --------------------------------------------------------------------- */

typedef struct touched {
    uint32_t feature;
    float before; /* its shared weight when the batch first met it */
} touched;
_Static_assert(sizeof(touched) == sizeof(int64_t), "the list lies in an int64 tensor too");

typedef struct sgd {
    c2_context *context;
    int64_t patience; /* elements and rows until the next look at whether the run is to stop */
    bool stopped;     /* what that look said */
    rows x;
    uint64_t *shared;
    const int64_t *cursor;
    int64_t max_ahead; /* negative: any */
    word *own;         /* slots words, all zero between batches: updates == 0 is "not met yet" */
    touched *list;     /* slots of them: the features met */
    float rate, keep;  /* weight = keep * weight - rate * gradient */
    bool racy;
    double loss; /* sum over the rows, each before its own step; only where wanted */
    int64_t sent;
} sgd;

/* 10 ms or so: long beside what a look costs, which may take the GIL, and short for a person. */
#define PATIENCE (1 << 20)

/* Whether the run is to stop: a batch may have any number of rows. */
static inline bool tired(sgd *s, int64_t elements) {
    if ((s->patience -= elements + 1) > 0) return false;
    s->patience = PATIENCE;
    return s->stopped = c2_stopping(s->context);
}

/* A batch on the worker's own table. Returns how many features it met, or -1 - that number when
 * an index changed under it, or the run is to stop. `valued` and `want_loss` are constants where it
 * is called. */
static inline int64_t run_rows(sgd *s, int64_t row, int64_t n, const bool valued,
                               const bool want_loss) {
    const rows *x = &s->x;
    int64_t met = 0;
    for (; n > 0; n--) {
        int64_t begin, end;
        if (!row_span(x, row, &begin, &end)) return -1 - met;
        float score = 0;
        for (int64_t k = begin; k < end; k++) {
            const uint32_t feature = feature_of(x, k);
            if (feature >= x->slots) return -1 - met;
            word *w = s->own + feature;
            if (w->updates == 0) {
                if (met == x->slots) return -1 - met; /* somebody else works on this table */
                w->weight = weight_of(s->shared + feature);
                s->list[met++] = (touched){feature, w->weight};
            }
            w->updates++;
            score += valued ? w->weight * x->values[k] : w->weight;
        }
        const float label = x->labels[row];
        const float step = s->rate * (label - probability(score));
        if (want_loss) s->loss += loss_of(score, label);
        for (int64_t k = begin; k < end; k++) {
            const uint32_t feature = feature_of(x, k);
            if (feature >= x->slots) return -1 - met;
            word *w = s->own + feature;
            w->weight = s->keep * w->weight + (valued ? step * x->values[k] : step);
        }
        s->sent += end - begin;
        if (++row == x->count) row = 0;
        if (tired(s, end - begin)) return -1 - met;
    }
    return met;
}

/* Ask for the words some steps before their exchange, for writing: an exchange on a line that
 * another core holds costs 100 ns, and exchanges do not overlap, but these requests do. */
#define AHEAD 16
#if defined(__x86_64__)
#define FOR_WRITING __attribute__((target("prfchw")))
#else
#define FOR_WRITING
#endif

FOR_WRITING static void merge(sgd *s, int64_t met) {
    for (int64_t k = 0; k < met; k++) {
        if (k + AHEAD < met) __builtin_prefetch(s->shared + s->list[k + AHEAD].feature, 1, 3);
        const touched t = s->list[k];
        if (t.feature >= s->x.slots) continue;
        word *w = s->own + t.feature;
        add_update(s->shared + t.feature, w->weight - t.before, w->updates, s->racy);
        *w = (word){0, 0};
    }
}

static void forget(sgd *s, int64_t met) {
    for (int64_t k = 0; k < met; k++)
        if (s->list[k].feature < s->x.slots) s->own[s->list[k].feature] = (word){0, 0};
    s->sent = 0;
    s->loss = 0;
}

#define TRIES 8

static int batch_merged(sgd *s, int64_t row, int64_t n, bool want_loss) {
    for (int try = 1;; try++) {
        const int64_t before = c2_i64_load(s->cursor, C2_RELAXED);
        const int64_t met = s->x.values ? want_loss ? run_rows(s, row, n, true, true)
                                                    : run_rows(s, row, n, true, false)
                            : want_loss ? run_rows(s, row, n, false, true)
                                        : run_rows(s, row, n, false, false);
        if (met < 0) {
            forget(s, -1 - met);
            return s->stopped ? C2_STOPPED : C2_INDEX;
        }
        const int64_t after = c2_i64_load(s->cursor, C2_RELAXED);
        if (s->max_ahead < 0 || after - before <= s->max_ahead || try == TRIES) {
            merge(s, met);
            return C2_OK;
        }
        forget(s, met);
    }
}

/* The same with every step on the shared words at once. */
static int row_merged(sgd *s, int64_t row, int64_t n, bool want_loss) {
    const rows *x = &s->x;
    for (; n > 0; n--) {
        int64_t begin, end;
        if (!row_span(x, row, &begin, &end)) return C2_INDEX;
        float score = 0;
        for (int64_t k = begin; k < end; k++) {
            const uint32_t feature = feature_of(x, k);
            if (feature >= x->slots) return C2_INDEX;
            const float weight = weight_of(s->shared + feature);
            score += x->values ? weight * x->values[k] : weight;
        }
        const float label = x->labels[row];
        const float step = s->rate * (label - probability(score));
        if (want_loss) s->loss += loss_of(score, label);
        for (int64_t k = begin; k < end; k++) {
            const uint32_t feature = feature_of(x, k);
            if (feature >= x->slots) return C2_INDEX;
            uint64_t *shared = s->shared + feature;
            const float shrink = s->keep == 1 ? 0 : (s->keep - 1) * weight_of(shared);
            add_update(shared, shrink + (x->values ? step * x->values[k] : step), 1, s->racy);
            s->sent++;
        }
        if (++row == x->count) row = 0;
        if (tired(s, end - begin)) return C2_STOPPED;
    }
    return C2_OK;
}

/* ---- SparseLogisticSGD ------------------------------------------------------------------- */

enum { SGD_BATCH, SGD_LIMIT, SGD_LR, SGD_DECAY, SGD_L2, SGD_MERGE, SGD_MAX_AHEAD, SGD_UPDATE };

static int sparse_logistic_sgd(c2_context *c) {
    sgd s = {.context = c, .patience = PATIENCE};
    int status;
    int64_t start = take_start(c, &status);
    if (start < 0) return status;
    s.cursor = c2_in_scalar(c, 1, C2_INT64);
    if (!s.cursor) return C2_TYPE;
    s.shared = take_rows(c, 2, true, 8, &s.x, &status);
    if (!s.shared) return status;
    const c2_tensor *table = c2_in(c, 6, C2_INT64);
    int64_t *sent = c2_in_scalar(c, 7, C2_INT64);
    if (!table || !sent) return C2_TYPE;
    for (int i = 0; i < 3; i++)
        if ((status = must_be_in_place(c, 5 + i, i)) != C2_OK) return status;
    if (table->size != 2 * s.x.slots)
        return c2_fail(c, C2_SHAPE,
                       "input 6 (table) must have %lld elements, two for each word of weights; it "
                       "has %lld",
                       (long long)(2 * s.x.slots), (long long)table->size);
    s.max_ahead = c->args[SGD_MAX_AHEAD].i;
    s.own = table->data;
    s.list = (touched *)((int64_t *)table->data + s.x.slots);

    const int64_t n = batch_rows(start, c->args[SGD_BATCH].i, c->args[SGD_LIMIT].i);
    const double rate =
        c->args[SGD_LR].f / (1 + c->args[SGD_DECAY].f * ((double)start / (double)s.x.count));
    s.rate = (float)rate;
    s.keep = (float)(1 - rate * c->args[SGD_L2].f);
    s.racy = !strcmp(c->args[SGD_UPDATE].s, "racy");
    const bool by_row = !strcmp(c->args[SGD_MERGE].s, "row"), want_loss = c->n_out > 3;

    const int64_t row = start % s.x.count;
    const int64_t bad = bad_row(&s.x, row, n < s.x.count ? n : s.x.count);
    if (bad >= 0) return refuse_row(c, 2, &s.x, bad);
    float *loss = want_loss ? scalar_out(c, 3) : NULL;
    if (want_loss && !loss) return C2_NO_MEMORY;
    status = by_row ? row_merged(&s, row, n, want_loss) : batch_merged(&s, row, n, want_loss);
    /* the worker's own scalar; atomic for those who watch it */
    c2_i64_fetch_add(sent, s.sent, C2_RELAXED);
    if (status == C2_STOPPED) return status;
    if (status != C2_OK) return c2_fail(c, status, "the rows changed while the operator ran");
    if (loss) *loss = n ? (float)(s.loss / (double)n) : 0;
    return C2_OK;
}

const c2_kernel_entry c2_kernels_linear[] = {{"SparseLogisticSGD", sparse_logistic_sgd},
                                             {"SparseLogisticLoss", c2_sparse_logistic_loss},
                                             {"SparseLogisticPredict", c2_sparse_logistic_predict},
                                             {"SparseLogisticMonitor", c2_sparse_logistic_monitor},
                                             {NULL, NULL}};
