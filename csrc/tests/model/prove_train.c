/* Linear models whose workers have a log of slopes in common: each worker gets every step that any
 * of them made, once; a step is seen whole; and one that dies costs its own unfinished batch only.
 *
 * Squared loss with whole targets, a rate of 1 and features of value 1: all floats are whole
 * numbers, so a sum is the same in any order, and each worker's weights must equal what the log
 * says.
 */
#include <stdlib.h>

#include "atomic.h"
#include "model.h"
#include "train.h"

enum { ROWS = 4, SLOTS = 3, WORKERS = 3, BATCHES = 6 };
static const int64_t indptr[ROWS + 1] = {0, 2, 3, 5, 6};
static const int32_t indices[] = {0, 1, 0, 0, 2, 1}; /* feature 0 is hot */
static const float targets[ROWS] = {3, -2, 5, 1};

static _Atomic int64_t cursor;
static float log_of[BATCHES]; /* plain: marks must order it */
static uint8_t marks[BATCHES];
static struct {
    int64_t ledger[C2_LEDGER];
    float weights[SLOTS + 1];
    uint8_t applied[BATCHES];
    double loss;
} of[WORKERS];
static int batch;

static job job_of(int worker) {
    return (job){.x = {.indptr = indptr,
                       .indices = indices,
                       .labels = targets,
                       .count = ROWS,
                       .elements = sizeof indices / sizeof *indices,
                       .slots = SLOTS},
                 .log = log_of,
                 .marks = marks,
                 .applied = of[worker].applied,
                 .weights = of[worker].weights,
                 .ledger = of[worker].ledger,
                 .loss = &of[worker].loss,
                 .limit = model_size(),
                 .batch = batch,
                 .batches = model_size() / batch,
                 .frontier = of[worker].ledger[C2_FRONTIER],
                 .lr = 1,
                 .intercept = true};
}

static void work(int worker) {
    for (;;) {
        job j = job_of(worker);
        const int64_t start = add_rlx(&cursor, batch);
        MODEL_CHECK(c2_train_batch(&j, start, load_rlx(&cursor)) == C2_OK);
        if (start >= j.limit) return;
    }
}

static void worker(void) {
    work(model_self() - 1);
}

static void batches_of_one(void) {
    batch = 1;
}
static void batches_of_two(void) {
    batch = 2;
}

/* When all have ended: each takes what the last batches left, and then has every marked one. */
static void all_have_all(void) {
    const int64_t batches = model_size() / batch;
    float want[SLOTS + 1] = {0};
    int64_t marked = 0, sum = 0, deaths = 0;
    for (int64_t b = 0; b < batches; b++) {
        if (!marks[b]) continue;
        for (int64_t p = b * batch; p < (b + 1) * batch; p++) {
            for (int64_t k = indptr[p % ROWS]; k < indptr[p % ROWS + 1]; k++)
                want[indices[k]] += log_of[p];
            want[SLOTS] += log_of[p];
            sum += (p + 1) * (int64_t)c2_f32_bits(log_of[p]);
            marked++;
        }
    }
    for (int w = 0; w < model_count(); w++) {
        if (model_died(w)) {
            deaths++;
            continue;
        }
        work(w);
        MODEL_CHECK(of[w].ledger[C2_RECEIVED] == marked);
        MODEL_CHECK(of[w].ledger[C2_RECEIVED_SUM] == sum);
        for (int k = 0; k <= SLOTS; k++)
            MODEL_CHECK(of[w].weights[k] == want[k]);
    }
    if (deaths < model_count()) MODEL_CHECK(marked + deaths * batch >= model_size());
    int64_t sent = 0;
    for (int w = 0; w < model_count(); w++)
        sent += of[w].ledger[C2_SENT];
    MODEL_CHECK(sent >= marked && sent <= marked + deaths * batch);
}

#define TEST(text, how, ...)                                                                       \
    .name = text, .setup = how, .end = all_have_all, .threads = {__VA_ARGS__}

static const model_test tests[] = {
    {TEST("2 workers, 4 batches", batches_of_one, worker, worker), .size = 4,
     .bounds = {.stale = 2}},
    {TEST("2 workers, 2 batches of two", batches_of_two, worker, worker), .size = 4,
     .bounds = {.stale = 3}},
    {TEST("2 workers, 6 batches: every row again", batches_of_one, worker, worker), .size = 6,
     .bounds = {.stale = 1, .preemptions = 4}},
    {TEST("3 workers, 3 batches", batches_of_one, worker, worker, worker), .size = 3,
     .bounds = {.stale = 1, .preemptions = 3}},
    {TEST("3 workers, one of which dies", batches_of_one, worker, worker, worker), .size = 3,
     .mortal = 7, .processes = true, .bounds = {.stale = 1, .preemptions = 2, .deaths = 1}},
    {TEST("2 workers, both may die", batches_of_one, worker, worker), .size = 3, .mortal = 3,
     .processes = true, .bounds = {.stale = 2, .deaths = 2}},
    {0}};

int main(int argc, char **argv) {
    return model_main(argc, argv, "train", tests);
}
