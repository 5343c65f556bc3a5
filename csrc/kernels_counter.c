/* Operators on a counter: a blob that holds one word, the count as an int64.
 *
 *     word   the count; starts at init_count >= 0. CountUp + 1, CountDown - 1 (below zero too),
 *            ResetCounter replaces it. Each is one atomic operation by any thread; it wraps at
 *            the ends of int64.
 *
 * The read-modify-writes are acq_rel and the reads acquire: who finds the count down to zero
 * sees what the ones who counted did before. Outputs are 0-D, stored without tearing, so
 * several workers may name the same output blob.
 */
#include "kernel.h"
#include "scalar.h"

static int init_count(c2_context *c, int64_t *count) {
    *count = c->args[0].i;
    if (*count >= 0) return C2_OK;
    return c2_fail(c, C2_VALUE, "init_count must be at least 0, not %lld", (long long)*count);
}

static int create_counter(c2_context *c) {
    int64_t count;
    if (init_count(c, &count) != C2_OK) return C2_VALUE;
    return c2_out_word(c, 0, C2_COUNTER, (uint64_t)count) ? C2_OK : C2_NO_MEMORY;
}

/* counter -> [the count before] */
static int reset_counter(c2_context *c) {
    int64_t count;
    if (init_count(c, &count) != C2_OK) return C2_VALUE;
    _Atomic uint64_t *word = c2_in_word(c, 0, C2_COUNTER);
    if (!word) return C2_TYPE;
    const c2_tensor *before = NULL;
    if (c->n_out > 0 && !(before = c2_out(c, 0, C2_INT64, 0, NULL))) return C2_NO_MEMORY;
    const int64_t old = (int64_t)swap_acq_rel(word, (uint64_t)count);
    if (before) c2_i64_store(before->data, old, C2_RELAXED);
    return C2_OK;
}

/* counter -> the count before */
static int count_up(c2_context *c) {
    _Atomic uint64_t *word = c2_in_word(c, 0, C2_COUNTER);
    if (!word) return C2_TYPE;
    const c2_tensor *before = c2_out(c, 0, C2_INT64, 0, NULL);
    if (!before) return C2_NO_MEMORY;
    c2_i64_store(before->data, (int64_t)add_acq_rel(word, 1), C2_RELAXED);
    return C2_OK;
}

/* counter -> done: whether the count was zero or below before */
static int count_down(c2_context *c) {
    _Atomic uint64_t *word = c2_in_word(c, 0, C2_COUNTER);
    if (!word) return C2_TYPE;
    const c2_tensor *done = c2_out(c, 0, C2_BOOL, 0, NULL);
    if (!done) return C2_NO_MEMORY;
    c2_b8_store(done->data, (int64_t)sub_acq_rel(word, 1) <= 0, C2_RELAXED);
    return C2_OK;
}

/* counter -> done: whether the count is zero or below */
static int check_counter_done(c2_context *c) {
    _Atomic uint64_t *word = c2_in_word(c, 0, C2_COUNTER);
    if (!word) return C2_TYPE;
    const c2_tensor *done = c2_out(c, 0, C2_BOOL, 0, NULL);
    if (!done) return C2_NO_MEMORY;
    c2_b8_store(done->data, (int64_t)load_acq(word) <= 0, C2_RELAXED);
    return C2_OK;
}

/* counter -> the count */
static int retrieve_count(c2_context *c) {
    _Atomic uint64_t *word = c2_in_word(c, 0, C2_COUNTER);
    if (!word) return C2_TYPE;
    const c2_tensor *count = c2_out(c, 0, C2_INT64, 0, NULL);
    if (!count) return C2_NO_MEMORY;
    c2_i64_store(count->data, (int64_t)load_acq(word), C2_RELAXED);
    return C2_OK;
}

const c2_kernel_entry c2_kernels_counter[] = {
    {"CreateCounter", create_counter},
    {"ResetCounter", reset_counter},
    {"CountUp", count_up},
    {"CountDown", count_down},
    {"CheckCounterDone", check_counter_done},
    {"RetrieveCount", retrieve_count},
    {NULL, NULL},
};
