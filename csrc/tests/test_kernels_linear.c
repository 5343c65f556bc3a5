/* kernels_linear.c: two workers on the same weights lose nothing when they exchange, in either
 * form, and do lose when they only load and store; the counters tell which. A batch that others
 * have overtaken is done again. */
#define _GNU_SOURCE
#include <math.h>

/* Runs in the middle of a batch: between the score of a row and the step that follows from it. */
static void (*in_a_batch)(void);

static float expf_with_hook(float x) {
    if (in_a_batch) in_a_batch();
    return expf(x);
}

#define expf expf_with_hook
#include "../kernels_linear.c"
#undef expf

#include "blob.h"
#include "threads.h"

/* Every row has the same hot features, and one of its own. */
enum { ROWS = 64, WIDTH = 6, HOT = WIDTH - 1, SLOTS = HOT + ROWS, WORKERS = 2 };

static int64_t indptr[ROWS + 1];
static int32_t indices[ROWS * WIDTH];
static float labels[ROWS];
static int64_t weights[SLOTS], tables[WORKERS][2 * SLOTS], sent[WORKERS];

typedef struct worker {
    c2_net *net;
    int64_t runs;
    int status;
} worker;

/* Workers begin together, or the first would be done before the second starts. */
static _Atomic int ready;

static void *work(void *arg) {
    worker *w = arg;
    add_acq_rel(&ready, 1);
    while (load_acq(&ready) < WORKERS)
        c2_os_relax();
    for (int64_t k = 0; k < w->runs && w->status == C2_OK; k++) {
        c2_run run = {0};
        w->status = c2_net_run(w->net, &run);
    }
    return NULL;
}

static c2_blob *blob_on(int dtype, int64_t size, void *data) {
    c2_blob *b = c2_blob_new();
    CHECK_EQ(c2_blob_share(b, dtype, 1, &size, data), C2_OK);
    return b;
}

/* Trains with WORKERS threads; returns how many of the updates sent are not found. */
static int64_t lost(const char *merge, const char *update, int64_t batch, int64_t runs) {
    for (int r = 0; r < ROWS; r++) {
        indptr[r + 1] = (int64_t)(r + 1) * WIDTH;
        for (int k = 0; k < HOT; k++)
            indices[r * WIDTH + k] = k;
        indices[r * WIDTH + HOT] = HOT + r;
        labels[r] = (float)(r % 2);
    }
    memset(weights, 0, sizeof weights);
    memset(sent, 0, sizeof sent);
    atomic_store(&ready, 0);
    int64_t start = 0;
    c2_blob *const common[] = {blob_on(C2_INT64, 1, &start), blob_on(C2_INT64, ROWS + 1, indptr),
                               blob_on(C2_INT32, ROWS * WIDTH, indices),
                               blob_on(C2_FLOAT32, ROWS, labels),
                               blob_on(C2_INT64, SLOTS, weights)};
    /* batch_size, limit, lr, decay, l2, merge, max_ahead, update */
    const c2_arg args[] = {{.i = batch}, {.i = -1},    {.f = 0.1}, {.f = 0},
                           {.f = 0},     {.s = merge}, {.i = -1},  {.s = update}};
    worker workers[WORKERS];
    pthread_t threads[WORKERS];
    c2_blob *own[WORKERS][2];
    for (int w = 0; w < WORKERS; w++) {
        own[w][0] = blob_on(C2_INT64, 2 * SLOTS, tables[w]);
        own[w][1] = blob_on(C2_INT64, 1, &sent[w]);
        c2_blob *in[8] = {common[0], common[0], common[1], common[2],
                          common[3], common[4], own[w][0], own[w][1]};
        workers[w] = (worker){c2_net_new(1), runs, C2_OK};
        CHECK_EQ(c2_net_set(workers[w].net, 0, c2_kernel_find("SparseLogisticSGD"), NULL, 8, in, 3,
                            in + 5, args, 8),
                 C2_OK);
    }
    for (int w = 0; w < WORKERS; w++)
        threads[w] = go(work, &workers[w]);
    int64_t missing = 0;
    for (int w = 0; w < WORKERS; w++) {
        pthread_join(threads[w], NULL);
        CHECK_EQ(workers[w].status, C2_OK);
        CHECK_EQ(sent[w], runs * batch * WIDTH);
        missing += sent[w];
        c2_net_free(workers[w].net);
        c2_blob_free(own[w][0]);
        c2_blob_free(own[w][1]);
        for (int k = 0; k < SLOTS; k++)
            CHECK_EQ(tables[w][k], 0);
    }
    for (int k = 0; k < 5; k++)
        c2_blob_free(common[k]);
    for (int k = 0; k < SLOTS; k++)
        missing -= word_of((uint64_t)weights[k]).updates;
    return missing;
}

TEST(batches_lose_nothing) {
    CHECK_EQ(lost("batch", "atomic", 16, SANITIZED ? 1000 : 20000), 0);
    CHECK_EQ(lost("batch", "atomic", 1, SANITIZED ? 1000 : 50000), 0);
}

TEST(rows_lose_nothing) {
    CHECK_EQ(lost("row", "atomic", 16, SANITIZED ? 1000 : 20000), 0);
}

/* On one processor two workers hardly ever meet, so that there is nothing to see. */
TEST(the_counters_show_what_load_and_store_loses) {
    if (c2_os_cpus() < 2) return;
    const int64_t give_up = c2_os_now() + 20000 * MS; /* a busy machine may take a while */
    int64_t missing = 0;
    while (!missing && c2_os_now() < give_up) {
        missing = lost("row", "racy", 16, SANITIZED ? 5000 : 20000);
        CHECK(missing >= 0);
    }
    CHECK(missing > 0);
}

/* One row of one feature, for a worker alone with its hook. */
static struct {
    int64_t cursor, weight, own, list;
    int calls;
} alone;

static void overtake(void) {
    alone.cursor += 101;
    alone.calls++;
    if (alone.calls == 1) alone.weight = (int64_t)bits_of((word){5, 7});
}

static float train_alone(int64_t max_ahead) {
    static const int64_t one_row[2] = {0, 1};
    static const int32_t feature = 0;
    static const float label = 1;
    memset(&alone, 0, sizeof alone);
    sgd s = {.patience = PATIENCE,
             .x = {one_row, &feature, NULL, &label, 1, 1, 1},
             .shared = (uint64_t *)&alone.weight,
             .cursor = &alone.cursor,
             .max_ahead = max_ahead,
             .own = (word *)&alone.own,
             .list = (touched *)&alone.list,
             .rate = 1,
             .keep = 1};
    in_a_batch = overtake;
    CHECK_EQ(batch_merged(&s, 0, 1, false), C2_OK);
    in_a_batch = NULL;
    CHECK_EQ(s.sent, 1);
    CHECK_EQ(alone.own, 0);
    CHECK_EQ(word_of((uint64_t)alone.weight).updates, 8);
    return word_of((uint64_t)alone.weight).weight;
}

TEST(an_overtaken_batch_is_done_again) {
    /* the step from the weight that it first met, which was 0, on what the weight is by then */
    CHECK(fabsf(train_alone(-1) - 5.5f) < 1e-6f);
    CHECK_EQ(alone.calls, 1);
    CHECK(fabsf(train_alone(101) - 5.5f) < 1e-6f);
    CHECK_EQ(alone.calls, 1);
    /* the step from the weight that is there */
    CHECK(fabsf(train_alone(100) - (6 - 1 / (1 + expf(-5)))) < 1e-6f);
    CHECK_EQ(alone.calls, TRIES); /* this one never stops overtaking */
}

int main(void) {
    RUN(an_overtaken_batch_is_done_again);
    RUN(batches_lose_nothing);
    RUN(rows_lose_nothing);
    RUN(the_counters_show_what_load_and_store_loses);
    return report();
}
