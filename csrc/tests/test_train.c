/* train_run.c: one worker is plain SGD; many, threads or processes, receive every slope that any of
 * them sent, and their weights are what the log says; a batch that is never marked is missed. */
#define _GNU_SOURCE
#include "threads.h"
#include "train.h"

enum {
    ROWS = 500,
    SLOTS = 40,
    MOST = 6,
    BATCH = 7,
    PASSES = 4,
    LIMIT = ROWS * PASSES,
    WORKERS = 3
};
enum { BATCHES = (LIMIT + BATCH - 1) / BATCH };

/* What workers share, and their ledgers and weights for the test to look at. */
typedef struct common {
    _Alignas(64) int64_t cursor;
    _Alignas(64) float log[LIMIT];
    _Alignas(64) uint8_t marks[BATCHES];
    struct {
        _Alignas(64) int64_t ledger[C2_LEDGER];
        float weights[2 * (SLOTS + 1)];
        uint8_t applied[BATCHES];
        double loss;
    } of[WORKERS];
} common;

static int64_t indptr[ROWS + 1];
static int32_t indices[ROWS * MOST];
static float values[ROWS * MOST], targets[ROWS];

/* Rows of 0 to MOST elements, half of which are of four hot features. */
static void make_rows(bool logistic) {
    for (int r = 0; r < ROWS; r++) {
        const int width = r * 5 % (MOST + 1);
        indptr[r + 1] = indptr[r] + width;
        for (int k = 0; k < width; k++) {
            indices[indptr[r] + k] = k % 2 ? (r * 31 + k * 5) % SLOTS : (r + k) % 4;
            values[indptr[r] + k] = (float)((r + 3 * k) % 5 - 2) / 2;
        }
        targets[r] = logistic ? (float)(r % 3 == 0) : (float)(r % 7 - 3);
    }
}

static job job_of(common *c, int worker, bool logistic, bool adagrad, bool valued) {
    return (job){.x = {.indptr = indptr,
                       .indices = indices,
                       .values = valued ? values : NULL,
                       .labels = targets,
                       .count = ROWS,
                       .elements = indptr[ROWS],
                       .slots = SLOTS},
                 .log = c->log,
                 .marks = c->marks,
                 .applied = c->of[worker].applied,
                 .weights = c->of[worker].weights,
                 .ledger = c->of[worker].ledger,
                 .loss = &c->of[worker].loss,
                 .limit = LIMIT,
                 .batch = BATCH,
                 .batches = BATCHES,
                 .lr = 0.03,
                 .logistic = logistic,
                 .adagrad = adagrad,
                 .intercept = true};
}

static void work_on(common *c, int worker, bool logistic, bool adagrad, bool valued) {
    for (;;) {
        job j = job_of(c, worker, logistic, adagrad, valued);
        j.frontier = j.ledger[C2_FRONTIER];
        const int64_t start = c2_i64_fetch_add(&c->cursor, BATCH, C2_RELAXED);
        CHECK_EQ(c2_train_batch(&j, start, c2_i64_load(&c->cursor, C2_RELAXED)), C2_OK);
        if (start >= LIMIT) return;
    }
}

static void check_received(common *c, int workers) {
    int64_t sent = 0, sum = 0;
    for (int w = 0; w < workers; w++) {
        sent += c->of[w].ledger[C2_SENT];
        sum = (int64_t)((uint64_t)sum + (uint64_t)c->of[w].ledger[C2_SENT_SUM]);
    }
    CHECK_EQ(sent, LIMIT);
    for (int w = 0; w < workers; w++) {
        CHECK_EQ(c->of[w].ledger[C2_RECEIVED], sent);
        CHECK_EQ(c->of[w].ledger[C2_RECEIVED_SUM], sum);
        CHECK_EQ(c->of[w].ledger[C2_FRONTIER], BATCHES);
    }
}

/* Each worker's weights are the sum of the log's steps, which is taken here in order, in double. */
static void check_weights(common *c, int workers, bool valued) {
    double want[SLOTS + 1] = {0};
    for (int p = 0; p < LIMIT; p++) {
        const int r = p % ROWS;
        for (int64_t k = indptr[r]; k < indptr[r + 1]; k++)
            want[indices[k]] += (double)0.03f * c->log[p] * (valued ? values[k] : 1);
        want[SLOTS] += (double)0.03f * c->log[p];
    }
    for (int w = 0; w < workers; w++)
        for (int k = 0; k <= SLOTS; k++)
            CHECK(fabs(c->of[w].weights[k] - want[k]) < 1e-4);
}

/* ---- one worker -------------------------------------------------------------------------- */

static void check_one(bool logistic, bool adagrad, bool valued) {
    make_rows(logistic);
    static common c;
    memset(&c, 0, sizeof c);
    work_on(&c, 0, logistic, adagrad, valued);
    check_received(&c, 1);
    double w[SLOTS + 1] = {0}, squares[SLOTS + 1] = {0}, loss = 0;
    for (int p = 0; p < LIMIT; p++) {
        const int r = p % ROWS;
        double score = w[SLOTS];
        for (int64_t k = indptr[r]; k < indptr[r + 1]; k++)
            score += w[indices[k]] * (valued ? values[k] : 1);
        const double g = targets[r] - (logistic ? 1 / (1 + exp(-score)) : score);
        loss += logistic ? loss_of((float)score, targets[r]) : 0.5 * g * g;
        for (int64_t k = indptr[r]; k <= indptr[r + 1]; k++) {
            const bool last = k == indptr[r + 1];
            const int at = last ? SLOTS : indices[k];
            const double part = valued && !last ? g * values[k] : g;
            squares[at] += part * part;
            w[at] += 0.03 * part / (adagrad ? sqrt(squares[at] + 1e-10) : 1);
        }
    }
    for (int k = 0; k <= SLOTS; k++) {
        const double is = c.of[0].weights[adagrad ? 2 * k : k];
        CHECK(fabs(is - w[k]) < 2e-3);
        if (adagrad) CHECK(fabs(c.of[0].weights[2 * k + 1] - squares[k]) < 2e-3 * (1 + squares[k]));
    }
    CHECK(fabs(c.of[0].loss - loss) < 1e-3 * loss);
}

TEST(one_worker_is_serial) {
    for (int shape = 0; shape < 8; shape++)
        check_one(shape & 1, shape & 2, shape & 4);
}

TEST(the_exponential_is_close) {
    for (int fused = 0; fused < 2; fused++) {
        const shape s = {.fused = fused};
        for (float x = -87; x <= 87; x += 0.00731f) {
            const double want = exp(x), got = exponential(x, s);
            CHECK(fabs(got - want) <= (2 + fabsf(x)) * 1e-7 * want);
        }
        CHECK(exponential(0, s) == 1);
        CHECK(exponential(-INFINITY, s) == exponential(-87, s));
        CHECK(exponential(INFINITY, s) == exponential(1000, s));
        CHECK(exponential(1000, s) > 1e37 && isfinite(exponential(1000, s)));
        CHECK(isnan(exponential(NAN, s)));
    }
}

/* ---- many -------------------------------------------------------------------------------- */

typedef struct task {
    common *c;
    int worker;
    bool valued;
    _Atomic int *ready;
} task;

static void *work(void *arg) {
    const task *t = arg;
    add_acq_rel(t->ready, 1);
    while (load_acq(t->ready) < WORKERS)
        c2_os_yield();
    work_on(t->c, t->worker, true, false, t->valued);
    return NULL;
}

/* When all have ended: what the last batches of the others left to apply. */
static void finish(common *c, bool valued) {
    for (int w = 0; w < WORKERS; w++)
        work_on(c, w, true, false, valued);
}

TEST(threads_lose_nothing) {
    make_rows(true);
    static common c;
    for (int round = 0; round < (SANITIZED ? 20 : 300); round++) {
        memset(&c, 0, sizeof c);
        _Atomic int ready = 0;
        task tasks[WORKERS];
        pthread_t threads[WORKERS];
        for (int w = 0; w < WORKERS; w++) {
            tasks[w] = (task){&c, w, round % 2, &ready};
            threads[w] = go(work, &tasks[w]);
        }
        for (int w = 0; w < WORKERS; w++)
            pthread_join(threads[w], NULL);
        finish(&c, round % 2);
        check_received(&c, WORKERS);
        check_weights(&c, WORKERS, round % 2);
    }
}

static void work_in_child(void *arg) {
    work(arg);
}

TEST(processes_lose_nothing) {
    make_rows(true);
    for (int round = 0; round < (SANITIZED ? 3 : 20); round++) {
        struct {
            common c;
            _Atomic int ready;
        } *memory = shared_memory(sizeof *memory);
        pid_t pids[WORKERS];
        task tasks[WORKERS];
        for (int w = 0; w < WORKERS; w++) {
            tasks[w] = (task){&memory->c, w, true, &memory->ready};
            pids[w] = child(work_in_child, &tasks[w]);
        }
        for (int w = 0; w < WORKERS; w++) {
            int status;
            CHECK_EQ(waitpid(pids[w], &status, 0), pids[w]);
            CHECK_EQ(status, 0);
        }
        finish(&memory->c, true);
        check_received(&memory->c, WORKERS);
        check_weights(&memory->c, WORKERS, true);
        munmap(memory, sizeof *memory);
    }
}

/* A worker that is gone with its batch unfinished holds nobody up, and the count tells. */
TEST(a_batch_that_is_never_marked_is_missed) {
    make_rows(true);
    static common c;
    memset(&c, 0, sizeof c);
    c.cursor = BATCH; /* the first batch was taken, and its worker is gone */
    work_on(&c, 0, true, false, true);
    CHECK_EQ(c.of[0].ledger[C2_SENT], LIMIT - BATCH);
    CHECK_EQ(c.of[0].ledger[C2_RECEIVED], LIMIT - BATCH);
    CHECK_EQ(c.of[0].ledger[C2_FRONTIER], 0);
}

TEST(rows_that_change_lead_nowhere) {
    make_rows(true);
    static common c;
    memset(&c, 0, sizeof c);
    const int32_t good = indices[2]; /* of row 1 */
    indices[2] = SLOTS;
    job j = job_of(&c, 0, true, false, true);
    CHECK_EQ(c2_train_batch(&j, 0, 0), C2_INDEX);
    indices[2] = -1;
    CHECK_EQ(c2_train_batch(&j, 0, 0), C2_INDEX);
    indices[2] = good;
    CHECK_EQ(c.marks[0], 0);
}

/* Two batches of 20, of which the second is trained when the first, another worker's, has been
 * marked and then one of its rows has changed. Rows count as wide by how many elements there are.
 */
static int train_beside(bool wide) {
    make_rows(true);
    static common c;
    memset(&c, 0, sizeof c);
    job j = job_of(&c, 0, true, false, true);
    j.batch = 20;
    if (wide) j.x.elements = 32 * ROWS;
    CHECK_EQ(c2_train_batch(&j, 0, 20), C2_OK);
    job other = job_of(&c, 1, true, false, true);
    other.batch = 20;
    other.x.elements = j.x.elements;
    const int32_t good = indices[2]; /* of row 1 */
    indices[2] = SLOTS;
    const int status = c2_train_batch(&other, 20, 40);
    indices[2] = good;
    CHECK_EQ(c.marks[1], status == C2_OK);
    return status;
}

TEST(rows_of_others_that_change_lead_nowhere) {
    CHECK_EQ(train_beside(false), C2_INDEX);
    CHECK_EQ(train_beside(true), C2_INDEX);
}

/* The product of so many small probabilities would be 0, and its logarithm infinite. */
TEST(rows_that_are_all_wrong_have_a_finite_loss) {
    make_rows(true);
    static common c;
    memset(&c, 0, sizeof c);
    for (int r = 0; r < ROWS; r++)
        targets[r] = 0;
    c.of[0].weights[SLOTS] = 1000;
    job j = job_of(&c, 0, true, false, true);
    j.batch = 100;
    j.lr = 0;
    CHECK_EQ(c2_train_batch(&j, 0, 100), C2_OK);
    CHECK(fabs(c.of[0].loss - 100 * -log(1e-7)) < 1);
}

int main(void) {
    RUN(one_worker_is_serial);
    RUN(the_exponential_is_close);
    RUN(threads_lose_nothing);
    RUN(processes_lose_nothing);
    RUN(a_batch_that_is_never_marked_is_missed);
    RUN(rows_that_change_lead_nowhere);
    RUN(rows_of_others_that_change_lead_nowhere);
    RUN(rows_that_are_all_wrong_have_a_finite_loss);
    return report();
}
