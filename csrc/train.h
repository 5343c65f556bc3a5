/* Training a linear model with a log in common (train_run.c has the idea): a worker's job, and what
 * it does with one row.
 */
#ifndef C2_TRAIN_H
#define C2_TRAIN_H

#include "linear.h"
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

/* Elements of a ledger. */
enum { C2_FRONTIER, C2_SENT, C2_SENT_SUM, C2_RECEIVED, C2_RECEIVED_SUM, C2_BASE, C2_LEDGER };

typedef struct job {
    rows x; /* slots: features, the intercept not counted */
    float *log;
    uint8_t *marks, *applied;
    const int64_t *cursor; /* only to ask for its line; may be NULL */
    float *weights; /* slots + intercept; of pairs with the sum of squares behind for AdaGrad */
    int64_t *ledger;
    double *loss;
    int64_t limit, batch, batches;
    int64_t frontier, base; /* of the ledger, read once */
    double lr, decay;
    float l2;
    bool logistic, adagrad, intercept;
} job;

typedef struct span {
    int64_t at; /* its first position in the run */
    int64_t n;  /* rows; 0 is nothing */
    float rate;
} span;

static inline span span_of(const job *j, int64_t batch) {
    const int64_t at = batch * j->batch;
    const double passes = (double)(j->base + at) / (double)j->x.count;
    return (span){at, j->limit - at < j->batch ? j->limit - at : j->batch,
                  (float)(j->lr / (1 + j->decay * passes))};
}

/* Trains the batch at `start`, or none where that is beyond the run, and applies what others have
 * done of the positions below `handed_out`. C2_INDEX when a row led outside. (train_run.c) */
int c2_train_batch(job *j, int64_t start, int64_t handed_out);

/* A row's elements. Indices are read by volatile: what is used is what was checked, should somebody
 * write there meanwhile. (Relaxed atomic loads say the same and cost a third of the time, as gcc 12
 * moves nothing across them.) */
typedef struct row {
    const volatile uint32_t *at, *end; /* a negative index is a large one */
    const float *values;
} row;

static inline bool take_row(const rows *x, int64_t number, row *r) {
    const int64_t begin = *(const volatile int64_t *)(x->indptr + number);
    const int64_t end = *(const volatile int64_t *)(x->indptr + number + 1);
    if (begin < 0 || begin > end || end > x->elements) return false;
    const volatile uint32_t *first = (const volatile uint32_t *)x->indices;
    *r = (row){first + begin, first + end, x->values ? x->values + begin : NULL};
    return true;
}

/* ---- one row ---------------------------------------------------------------------------- */

/* 1 / sqrt(x) for x > 0, to about 22 bits: the root and the division would take most of the time of
 * an AdaGrad step. */
static inline float inverse_root(float x) {
#if defined(__SSE__)
    const float y = _mm_cvtss_f32(_mm_rsqrt_ss(_mm_set_ss(x)));
    return y * (1.5f - 0.5f * x * y * y); /* one step of Newton */
#else
    return 1 / sqrtf(x);
#endif
}

/* What is constant in an instance of the loop: the compiler makes one for each combination. */
typedef struct shape {
    bool valued, squares, shrinks;
    bool fused; /* the processor adds a product in one instruction */
} shape;
#define WIDE(s) ((s).squares ? 2 : 1)
#define INLINE  static inline __attribute__((always_inline))

/* a * b + c. (Without `fused`, __builtin_fmaf would be a call.) */
INLINE float add_product(float a, float b, float c, const shape s) {
    return s.fused ? __builtin_fmaf(a, b, c) : a * b + c;
}

#define TINY 1e-10f /* under the root: the first step of a weight is rate, not a division by 0 */

/* One weight of a row whose slope times the feature's value is g. */
INLINE void step(float *w, float g, float rate, float l2, const shape s) {
    if (s.squares) {
        w[1] = add_product(g, g, w[1], s);
        rate *= inverse_root(w[1] + TINY);
    }
    if (s.shrinks) g = add_product(-l2, w[0], g, s);
    w[0] = add_product(rate, g, w[0], s);
}

/* Four sums, as the additions of one would wait for each other. */
INLINE bool score_row(const job *j, row r, const shape s, float *score) {
    const uint64_t slots = (uint64_t)j->x.slots;
    const float *weights = j->weights;
    float sum[4] = {j->intercept ? weights[slots * WIDE(s)] : 0};
    for (; r.end - r.at >= 4; r.at += 4)
        for (int i = 0; i < 4; i++) {
            const uint64_t feature = r.at[i];
            if (feature >= slots) return false;
            sum[i] +=
                s.valued ? weights[feature * WIDE(s)] * *r.values++ : weights[feature * WIDE(s)];
        }
    for (; r.at < r.end; r.at++) {
        const uint64_t feature = *r.at;
        if (feature >= slots) return false;
        sum[0] += s.valued ? weights[feature * WIDE(s)] * *r.values++ : weights[feature * WIDE(s)];
    }
    *score = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    return true;
}

INLINE bool step_row(const job *j, row r, float g, float rate, const shape s) {
    const uint64_t slots = (uint64_t)j->x.slots;
    float *weights = j->weights;
    const float whole = rate * g; /* what most weights get: not for the loop to compute */
    for (; r.at < r.end; r.at++) {
        const uint64_t feature = *r.at;
        if (feature >= slots) return false;
        if (!s.valued && !s.squares && !s.shrinks)
            weights[feature] += whole;
        else
            step(weights + feature * WIDE(s), s.valued ? g * *r.values++ : g, rate, j->l2, s);
    }
    if (j->intercept) {
        const shape own = {s.valued, s.squares, false, s.fused};
        step(weights + slots * WIDE(s), g, rate, 0, own);
    }
    return true;
}

static inline float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* e^x to (2 + |x|) * 1e-7 of itself, between e^-87 and e^87; not a number stays so. A row waits for
 * it, and for expf, which saves its caller's sums first, longer. 2^n comes from the bits of n, and
 * 2^f, |f| <= 0.5, from the polynomial of degree 5 with the least relative error, 8e-8. */
INLINE float exponential(float x, const shape s) {
    x = x < -87 ? -87 : x > 87 ? 87 : x;
    const float whole = 12582912.0f; /* 1.5 * 2^23: what is added to it is rounded */
    const float y = x * 1.44269504f, shifted = y + whole;
    const float f = y - (shifted - whole), ff = f * f;
    const float low = add_product(f, 0.693146944f, 1.0f, s);
    const float middle = add_product(f, 0.0555071309f, 0.240221202f, s);
    const float high = add_product(f, 0.00132764713f, 0.00967554096f, s);
    const float power = add_product(ff, add_product(ff, high, middle, s), low, s);
    return power * float_of((c2_f32_bits(shifted) + 127) << 23);
}

/* Minus the derivative of the row's loss by its score. */
INLINE float slope(bool logistic, float score, float target, const shape s) {
    return target - (logistic ? 1 / (1 + exponential(-score, s)) : score);
}

#endif
