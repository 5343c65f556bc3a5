/* Sparse linear and logistic regression by several workers, without one shared weight.
 *
 * What workers would share, the weights, is what they fight for: a cache line that two cores write
 * goes from one to the other at every row, and takes longer than the row's arithmetic. But the step
 * of a row is known from the row and one float, the slope g of its loss. So each worker has weights
 * of its own, and what is shared is a log: element p holds the g of position p. Who takes a batch
 * of positions writes its slopes into the log and marks the batch; everybody else, before and
 * between own rows, applies the marked batches that it has not applied yet. All weights so get
 * every step, each in its own order. Four bytes a row go from core to core, in order, and no
 * operation is a read-modify-write.
 *
 * (Replicas that exchange what they did are the way of HogWild++, Zhang, Hsieh and Akella, ICDM
 * 2016, and of SySCD, Ioannou, Mendler-Duenner and Parnell, NeurIPS 2019; there deltas of weights
 * are exchanged, here one float a row. The rule of AdaGrad: Duchi, Hazan and Singer, JMLR 2011.)
 *
 *     log     float32, one for each position of a run          shared
 *     marks   uint8, one for each batch                        shared
 *                0   not finished
 *                1   finished: its part of the log will not change any more
 *             0 -> 1 by the batch's worker, released; a reader acquires the 1 and then finds the
 *             slopes. Nobody writes 0 but who prepares the next run, when no worker is in this one.
 *     weights, applied, ledger, loss                           one worker's own, plain
 *
 * Who may call what: any number of workers at the same time, each with batches of its own (taken
 * from one cursor) and state of its own. Wait-free: nobody waits for anybody; the batch of a worker
 * that sleeps is applied by the others when it is there, whatever came in between.
 *
 * Staleness: when a worker begins a batch, its weights hold every batch that was marked, but the
 * newest, which is applied row by row between its own. So a row lacks at most one unfinished batch
 * of each other worker and one more: workers * batch rows; and what others do while its own batch
 * runs, about as much again. (A worker that the system puts to sleep in the middle of a batch is
 * the exception, for the rest of that one batch.)
 *
 * The count: the ledger has how many slopes the worker sent and received, its own included, and the
 * sum of position * bits of each. After a run all workers' received must equal the sum of all sent.
 */
#include "cpu.h"
#include "train.h"

/* ---- what the log tells afterwards ------------------------------------------------------ */

static int64_t wrapping_sum(int64_t a, int64_t b) {
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

static int64_t check_of(const job *j, span of) {
    uint64_t sum = 0;
    for (int64_t p = of.at; p < of.at + of.n; p++)
        sum += (uint64_t)(p + 1) * c2_f32_bits(j->log[p]);
    return (int64_t)sum;
}

/* The sum of the rows' losses, each before its own step. The probability of the right answer is 1
 * minus the slope's absolute value; the logarithm of a product stands for many. */
static double loss_in(const job *j, span of) {
    double sum = 0, odds = 1;
    for (int64_t p = of.at; p < of.at + of.n; p++) {
        const double g = j->log[p];
        if (!j->logistic) {
            sum += 0.5 * g * g;
            continue;
        }
        const double right = 1 - fabs(g);
        odds *= right > 1e-7 ? right : 1e-7;
        if (odds < 1e-200) {
            sum -= log(odds);
            odds = 1;
        }
    }
    return sum - log(odds);
}

/* ---- own rows, and another's between them ----------------------------------------------- */

INLINE bool run_other(const job *j, span of, const shape s) {
    int64_t number = (j->base + of.at) % j->x.count;
    for (int64_t p = of.at; p < of.at + of.n; p++) {
        row r;
        if (!take_row(&j->x, number, &r) || !step_row(j, r, j->log[p], of.rate, s)) return false;
        if (++number == j->x.count) number = 0;
    }
    return true;
}

#define NEAR_END 16 /* rows: some 300 ns, in which a line comes from another core */
#define WIDE_ROW 32 /* elements of a row that keep the core busy by themselves */
#define AHEAD                                                                                      \
    128 /* elements: rows of little work in two places are too much for the processor's            \
           own guesses of what comes next */
#define LINE_SIZE 64

/* Asks for the two lines that the end of the batch writes, which other cores hold: a store that
 * waits for its line holds up every store behind it. */
static inline void request_end(const job *j, span own) {
    cpu_want_line(j->cursor);
    cpu_want_line(j->marks + own.at / j->batch);
}

/* The next row of a span, if there is one; round the end of the rows. */
INLINE bool next_row(const job *j, int64_t *number, const bool wide, row *r) {
    if (!take_row(&j->x, *number, r)) return false;
    if (!wide) __builtin_prefetch((const void *)(r->at + AHEAD), 0, 3);
    if (++*number == j->x.count) *number = 0;
    return true;
}

/* Trains the rows of `own`, with one of `other` before each step, as far as there are any: a row
 * waits for its score, then for the exponential, and there is time meanwhile for a row whose slope
 * is known. The first rows are alone, while the slopes come from the other core. Wide rows wait for
 * nothing, and `other` is in one piece. */
INLINE bool run_both(const job *j, span own, span other, const shape s) {
    const bool wide = j->x.elements / j->x.count >= WIDE_ROW;
    const int64_t alone = wide ? 2 : 8, last = own.n > NEAR_END ? own.n - NEAR_END : 0;
    int64_t number = (j->base + own.at) % j->x.count;
    int64_t other_number = (j->base + other.at) % j->x.count;
    int64_t p = other.at;
    const int64_t end = other.at + other.n;
    for (int64_t i = 0; i < own.n; i++) {
        row r, of;
        float score;
        if (i == last) request_end(j, own);
        if (wide && i == alone) {
            if (!run_other(j, other, s)) return false;
            p = end;
        }
        const float target = j->x.labels[number];
        if (!next_row(j, &number, wide, &r) || !score_row(j, r, s, &score)) return false;
        if (p < end && i >= alone) {
            if (!next_row(j, &other_number, wide, &of) ||
                !step_row(j, of, j->log[p++], other.rate, s))
                return false;
        }
        const float g = slope(j->logistic, score, target, s);
        if (!step_row(j, r, g, own.rate, s)) return false;
        j->log[own.at + i] = g;
    }
    return run_other(j, (span){p, end - p, other.rate}, s);
}

INLINE bool run_spans(const job *from, span own, span other, const shape s) {
    const job copy = *from, *j = &copy; /* of which the compiler knows that nobody changes it */
    const int64_t floats = LINE_SIZE / sizeof *j->log; /* of the log; its lines come all at once */
    for (int64_t i = 0; i < other.n; i += floats)
        __builtin_prefetch(j->log + other.at + i, 0, 3);
    for (int64_t i = 0; i < own.n; i += floats)
        cpu_want_line(j->log + own.at + i);
    if (!run_both(j, own, other, s)) return false;
    const int64_t sent = check_of(j, own), received = check_of(j, other);
    *j->loss += loss_in(j, own);
    j->ledger[C2_SENT] += own.n;
    j->ledger[C2_RECEIVED] += own.n + other.n;
    j->ledger[C2_SENT_SUM] = wrapping_sum(j->ledger[C2_SENT_SUM], sent);
    j->ledger[C2_RECEIVED_SUM] =
        wrapping_sum(j->ledger[C2_RECEIVED_SUM], wrapping_sum(sent, received));
    return true;
}

#define INSTANCE(target, fused, name, valued, squares, shrinks)                                    \
    target static bool name(job *j, span own, span other) {                                        \
        return run_spans(j, own, other, (shape){valued, squares, shrinks, fused});                 \
    }
#define INSTANCES(target, fused, prefix)                                                           \
    INSTANCE(target, fused, prefix##sgd, false, false, false)                                      \
    INSTANCE(target, fused, prefix##sgd_l2, false, false, true)                                    \
    INSTANCE(target, fused, prefix##adagrad, false, true, false)                                   \
    INSTANCE(target, fused, prefix##adagrad_l2, false, true, true)                                 \
    INSTANCE(target, fused, prefix##sgd_valued, true, false, false)                                \
    INSTANCE(target, fused, prefix##sgd_valued_l2, true, false, true)                              \
    INSTANCE(target, fused, prefix##adagrad_valued, true, true, false)                             \
    INSTANCE(target, fused, prefix##adagrad_valued_l2, true, true, true)
#define TABLE(prefix)                                                                              \
    {                                                                                              \
        {{prefix##sgd, prefix##sgd_l2}, {prefix##adagrad, prefix##adagrad_l2}}, {                  \
            {prefix##sgd_valued, prefix##sgd_valued_l2}, {                                         \
                prefix##adagrad_valued, prefix##adagrad_valued_l2                                  \
            }                                                                                      \
        }                                                                                          \
    }

typedef bool (*runs)(job *, span, span);
INSTANCES(, false, plain_)
static const runs plain[2][2][2] = TABLE(plain_);

/* The same for processors that add a product in one instruction, which shortens the chain that each
 * row waits for: 5-8 % less time a row. Results differ by rounding. */
#if defined(__x86_64__)
INSTANCES(__attribute__((target("avx2,fma"))), true, fused_)
static const runs fused[2][2][2] = TABLE(fused_);
#endif

static runs choose(const job *j) {
    const bool valued = j->x.values != NULL, shrinks = j->l2 > 0;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return fused[valued][j->adagrad][shrinks];
#endif
    return plain[valued][j->adagrad][shrinks];
}

/* Applies the marked batches below `end`, but the last of them, which is returned. */
static bool catch_up(job *j, runs run, int64_t end, span *last) {
    const span none = {0, 0, 0};
    int64_t gap = -1;
    bool fine = true;
    *last = none;
    for (int64_t b = j->frontier; b < end; b++) {
        if (j->applied[b]) continue;
        if (c2_u8_load(j->marks + b, C2_ACQUIRE)) { /* meets the release below */
            if (last->n) fine &= run(j, none, *last);
            *last = span_of(j, b);
            j->applied[b] = 1;
        } else if (gap < 0) {
            gap = b;
        }
    }
    if (j->frontier < end) j->ledger[C2_FRONTIER] = gap < 0 ? end : gap;
    return fine;
}

int c2_train_batch(job *j, int64_t start, int64_t handed_out) {
    const runs run = choose(j);
    const int64_t taken = handed_out / j->batch + (handed_out % j->batch != 0);
    span own = {0, 0, 0}, last;
    const int64_t batch = start / j->batch;
    if (start < j->limit) own = span_of(j, batch);
    if (own.n) j->applied[batch] = 1; /* before the look round, which so passes over it */
    const bool fine = catch_up(j, run, taken < j->batches ? taken : j->batches, &last);
    if (!run(j, own, last) || !fine) return C2_INDEX;
    if (own.n) c2_u8_store(j->marks + batch, 1, C2_RELEASE); /* the slopes are in the log */
    return C2_OK;
}
