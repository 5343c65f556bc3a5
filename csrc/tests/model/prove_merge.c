/* Private parts that are merged into shared words: training with a table of each worker's own
 * (SparseLogisticSGD), and the bulk adds with a copy, or with sums of the hot slots.
 *
 * Each 8-byte word of the weights counts its updates in the very exchange that makes them, and each
 * worker counts what it sent: the two agree, whatever comes in between, or an update was lost. Of a
 * worker that dies, there is some part of its merge, and nothing twice. A batch that is done again,
 * since others came too far meanwhile, leaves no trace of its first try. What bulk adds sum to is
 * checked in whole numbers.
 */
#include <stdlib.h>

#include "atomic.h"
#include "linear.h"
#include "model.h"
#include "scatter.h"

extern const c2_kernel_entry c2_kernels_linear[];

/* ---- training: two rows, of which the first feature is in both ---------------------------- */

enum { ROWS = 2, SLOTS = 3, WORKERS = 3, MOST = 4 };
enum { START, CURSOR, INDPTR, INDICES, LABELS, WEIGHTS, TABLE, SENT, INPUTS };
static const int64_t indptr[ROWS + 1] = {0, 2, 4};
static const int32_t indices[] = {0, 1, 0, 2};
static const float labels[ROWS] = {1, 0};
static _Atomic int64_t cursor;
static int64_t weights[SLOTS];
static int64_t start_of[WORKERS], table[WORKERS][2 * SLOTS], sent[WORKERS];
static int max_ahead;
static const char *merge_by;

/* What operator.c does over blobs: here the worker's number is the context's `op`. */
const c2_tensor *c2_in(c2_context *c, int i, int dtype) {
    static c2_tensor of[WORKERS][INPUTS];
    const struct {
        const void *data;
        int64_t size;
    } inputs[INPUTS] = {[START] = {&start_of[c->op], 1},     [CURSOR] = {&cursor, 1},
                        [INDPTR] = {indptr, ROWS + 1},       [INDICES] = {indices, 4},
                        [LABELS] = {labels, ROWS},           [WEIGHTS] = {weights, SLOTS},
                        [TABLE] = {table[c->op], 2 * SLOTS}, [SENT] = {&sent[c->op], 1}};
    of[c->op][i] = (c2_tensor){.data = (void *)inputs[i].data, .size = inputs[i].size};
    return &of[c->op][i];
}
void *c2_in_scalar(c2_context *c, int i, int dtype) {
    return c2_in(c, i, dtype)->data;
}
const c2_tensor *c2_out(c2_context *c, int i, int dtype, int ndim, const int64_t *shape) {
    return NULL; /* the loss, which no test asks for */
}
int c2_stopping(const c2_context *c) {
    return 0;
}
int c2_fail(c2_context *c, int status, const char *format, ...) {
    return c->failed = status;
}
int c2_sparse_logistic_loss(c2_context *c) {
    return C2_OK;
}
int c2_sparse_logistic_predict(c2_context *c) {
    return C2_OK;
}
int c2_sparse_logistic_monitor(c2_context *c) {
    return C2_OK;
}

static void train(void) {
    const int me = model_self() - 1;
    /* batch, limit, lr, decay, l2, merge, max_ahead, update */
    const c2_arg args[] = {{.i = 1}, {.i = -1},       {.f = 0.5},       {.f = 0},
                           {.f = 0}, {.s = merge_by}, {.i = max_ahead}, {.s = "atomic"}};
    c2_blob *const blobs[INPUTS] = {0};
    c2_context c = {.in = blobs, .out = blobs, .n_in = INPUTS, .n_out = 3, .args = args, .op = me};
    while ((start_of[me] = add_rlx(&cursor, 1)) < model_size())
        MODEL_CHECK(c2_kernels_linear[0].kernel(&c) == C2_OK);
}

static void by_batch(void) {
    merge_by = "batch";
    max_ahead = -1;
}
static void by_row(void) {
    merge_by = "row";
    max_ahead = -1;
}
static void by_batch_again(void) {
    merge_by = "batch";
}

static void all_counted(void) {
    int64_t all_sent = 0, updates = 0, deaths = 0;
    for (int w = 0; w < model_count(); w++) {
        all_sent += sent[w];
        deaths += model_died(w);
        for (int k = 0; k < 2 * SLOTS && !model_died(w); k++)
            MODEL_CHECK(k >= SLOTS || table[w][k] == 0); /* nothing is left in it */
    }
    for (int k = 0; k < SLOTS; k++)
        updates += word_of((uint64_t)weights[k]).updates;
    MODEL_CHECK(updates >= all_sent);
    MODEL_CHECK(updates <= all_sent + 2 * deaths); /* a row has two elements */
    MODEL_CHECK(all_sent + 2 * deaths >= 2 * model_size());
    MODEL_CHECK(all_sent <= 2 * model_size());
}

/* ---- bulk adds --------------------------------------------------------------------------- */

enum { HOT = 1, COLD = 2 };
static int64_t counts[SLOTS];
static const int64_t places[] = {HOT, COLD, HOT, 0, HOT};
enum { ADDS = sizeof places / sizeof *places };
static const int64_t ones[ADDS] = {1, 1, 1, 1, 1};
static c2_hot hot;

static void adds_with_a_copy(void) {
    MODEL_CHECK(c2_add_at(C2_INT64, counts, SLOTS, places, C2_INT64, ones, 1, ADDS, C2_ADD_PRIVATE,
                          1, NULL, NULL) == C2_OK);
}
static void adds_directly(void) {
    MODEL_CHECK(c2_add_at(C2_INT64, counts, SLOTS, places, C2_INT64, ones, 1, ADDS, C2_ADD_DIRECT,
                          1, NULL, NULL) == C2_OK);
}

/* One slot hot, as no sample of five would find; the flush goes through all places of the table. */
static void adds_with_hot_sums(void) {
    const c2_adds adds = {.dtype = C2_INT64,
                          .index_dtype = C2_INT64,
                          .base = counts,
                          .slots = SLOTS,
                          .indices = places,
                          .values = ones,
                          .value_mask = -1,
                          .n = ADDS,
                          .hot = &hot};
    int64_t *sums = calloc(C2_HOT, sizeof *sums);
    MODEL_CHECK(c2_adds_cached(&adds, sums, 0, ADDS) == ADDS);
    c2_adds_flush(&adds, sums);
}

static void one_hot(void) {
    memset(&hot, 0xff, sizeof hot);
    hot.slot[hot_place(HOT)] = HOT;
}

static void all_added(void) {
    for (int slot = 0; slot < SLOTS; slot++) {
        int64_t times = 0;
        for (int k = 0; k < ADDS; k++)
            times += places[k] == slot;
        MODEL_CHECK(counts[slot] == times * model_count());
    }
}

/* Of the dead: each slot has all it would have got, or a part, but no more. */
static void all_added_but_of_the_dead(void) {
    for (int slot = 0; slot < SLOTS; slot++) {
        int64_t times = 0, least = 0;
        for (int k = 0; k < ADDS; k++)
            times += places[k] == slot;
        for (int t = 0; t < model_count(); t++)
            least += model_died(t) ? 0 : times;
        MODEL_CHECK(least <= counts[slot] && counts[slot] <= times * model_count());
    }
}

#define TEST(text, how, out, ...) .name = text, .setup = how, .end = out, .threads = {__VA_ARGS__}

static const model_test tests[] = {
    {TEST("2 workers, 3 batches, merged by batch", by_batch, all_counted, train, train), .size = 3,
     .bounds = {.stale = 1, .preemptions = 4}},
    {TEST("2 workers, a batch is done again", by_batch_again, all_counted, train, train), .size = 3,
     .bounds = {.stale = 1, .preemptions = 3}},
    {TEST("2 workers, merged row by row", by_row, all_counted, train, train), .size = 2,
     .bounds = {.stale = 1, .preemptions = 4}},
    {TEST("3 workers, merged by batch", by_batch, all_counted, train, train, train), .size = 3,
     .bounds = {.stale = 1, .preemptions = 2}},
    {TEST("2 workers, one of which dies", by_batch, all_counted, train, train), .size = 3,
     .mortal = 3, .processes = true, .bounds = {.stale = 1, .preemptions = 3, .deaths = 1}},
    {TEST("2 workers row by row, one of which dies", by_row, all_counted, train, train), .size = 2,
     .mortal = 3, .processes = true, .bounds = {.stale = 1, .preemptions = 3, .deaths = 1}},
    {TEST("2 that add with a copy", NULL, all_added, adds_with_a_copy, adds_with_a_copy),
     .bounds = {.stale = 1, .preemptions = 4}},
    {TEST("a copy, hot sums and direct adds", one_hot, all_added, adds_with_a_copy,
          adds_with_hot_sums, adds_directly),
     .bounds = {.stale = 1, .preemptions = 2}},
    {TEST("2 that add, one dies", one_hot, all_added_but_of_the_dead, adds_with_a_copy,
          adds_with_hot_sums),
     .mortal = 3, .processes = true, .bounds = {.stale = 1, .preemptions = 3, .deaths = 1}},
    {0}};

int main(int argc, char **argv) {
    return model_main(argc, argv, "merge", tests);
}
