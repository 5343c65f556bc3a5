/* What kernels refuse by themselves, to those who call them from C: most of it Python never lets
 * through. The status, words for it, and inputs that are as they were. */
#define _GNU_SOURCE
#include "forms.h"
#include "mutex.h"
#include "threads.h"

typedef struct refusal {
    form form;
    int status;
    const char *words;
} refusal;

/* An output that is like the fourth of one input. */
static const c2_user_schema fourth_schema = {.function = user,
                                             .input_dtypes = (const int32_t[]){C2_FLOAT32},
                                             .output_dtypes = (const int32_t[]){C2_FLOAT32},
                                             .output_like = (const int32_t[]){3}};

static const refusal refusals[] = {
    {{"AtomicFetchAdd", "aa", "..", {{0}}}, C2_VALUE, "output 0 must be the blob of input 0"},
    {{"AtomicFetchAdd", "Maa", "..", {{0}}}, C2_VALUE, "output 0 must be the blob of input 1"},
    {{"AtomicFetchAdd", "aa", "00", {{0}}}, C2_VALUE, "a blob of its own"},
    {{"AsyncNetBarrier", "xv", ".", {{0}}}, C2_VALUE, "2 inputs but 1 outputs"},
    {{"AsyncNetBarrier", "xx", "1.", {{0}}}, C2_VALUE, "in place is one to one"},
    {{"Iter", "n", ".", {{0}}}, C2_VALUE, "output 0 must be the blob of input 0"},
    {{"AtomicIter", "Mn", ".", {{0}}}, C2_VALUE, "output 0 must be the blob of input 1"},
    {{"CreateCounter", "", ".", {{.i = -1}}}, C2_VALUE, "at least 0, not -1"},
    {{"ResetCounter", "C", ".", {{.i = -1}}}, C2_VALUE, "at least 0, not -1"},
    {{"CreateBlobsQueue", "", ".", {{.i = 0}, {.i = 1}}}, C2_VALUE, "capacity must be from 1"},
    {{"CreateBlobsQueue", "", ".", {{.i = 1}, {.i = 0}}}, C2_VALUE, "num_blobs must be from 1"},
    {{"CreateBlobsQueue", "", ".", {{.i = 1}, {.i = 1025}}}, C2_VALUE, "to 1024, not 1025"},
    {{"DequeueBlobs", "F", ".", {{.f = -1}}}, C2_VALUE, "at least 0, not -1"},
    {{"Rendezvous", "k", "", {{.i = 1}}}, C2_VALUE, "2 parties wait at a rendezvous of 1"},
    {{"UserFunction", "x", ".", {{0}}}, C2_VALUE, "an input that is not there"},
    {{"SGD", "xxs", ".", {{.s = "racy"}}}, C2_VALUE, "output 0 must be the blob of input 0"},
    {{"LabelCrossEntropyGradient", "xiu", ".", {{0}}}, C2_SHAPE, "one for each of the 2 rows"},
    {{"Split", "xi", "...", {{.i = 1}}}, C2_SHAPE, "one for each of 3 outputs"},
    {{"SparseLengthsIndicesInGradientSumGradient", "xai", ".", {{0}}},
     C2_SHAPE,
     "one dimension expected"},
    {{"SparseLengthsIndicesInGradientSumGradient", "uei", ".", {{0}}}, C2_SHAPE, "each row of dY"},
    {{"SparseAdagrad", "ddids", "01", {{0}, {.s = "racy"}}}, C2_SHAPE, "one dimension or more"},
    {{"SparseAdagrad", "xxius", "01", {{0}, {.s = "racy"}}}, C2_SHAPE, "2 rows of 3 elements"},
    {{"ScatterWeightedSum", "usivsvsvsvsvsvsvsvsvsvsvsvsvsvsvsvsvsvs", "0", {{0}}},
     C2_VALUE,
     "at most 16"},
    {{"SparseLogisticLoss", "pivz", ".", {{0}}}, C2_SHAPE, "1 to 2^31 words; it has 0"},
    {{"SparseLogisticSGD", "llpivwTl", "....", {{.i = 1}, {.i = -1}}},
     C2_VALUE,
     "output 0 must be the blob of input 5"},
    {{"SparseLinearScore", "piu", ".", {{.s = "adagrad"}}}, C2_SHAPE, "2 floats for each feature"},
};

TEST(refusals_have_a_status_and_words) {
    for (size_t k = 0; k < sizeof refusals / sizeof *refusals; k++) {
        const refusal *r = &refusals[k];
        char before[MOST][64] = {{0}};
        open_form(&r->form);
        now.op.net->ops[0].handle = (void *)&fourth_schema; /* others do not look */
        c2_guard_enter();
        for (int i = 0; i < now.n_in; i++) {
            const c2_tensor *t = c2_blob_tensor(now.in[i]);
            if (t) memcpy(before[i], t->data, (size_t)(t->size * c2_itemsize(t->dtype)));
        }
        const int status = run(&now.op);
        for (int i = 0; i < now.n_in; i++) {
            const c2_tensor *t = c2_blob_tensor(now.in[i]);
            if (t) CHECK(!memcmp(before[i], t->data, (size_t)(t->size * c2_itemsize(t->dtype))));
        }
        c2_guard_leave();
        CHECK_EQ(status, r->status);
        if (!strstr(now.op.run.message, r->words)) {
            fprintf(stderr, "%s: %s\n", r->form.type, now.op.run.message);
            CHECK(!"other words");
        }
        close_form();
    }
}

/* In the place of each input of each kernel: nothing, and a tensor that few expect. */
static void run_with_another(const form *f, int i, int empty) {
    const int64_t shape[] = {1, 5, 1};
    open_form(f);
    now.op.net->ops[0].handle = (void *)&user_schema;
    if (empty)
        c2_blob_clear(now.in[i]);
    else
        CHECK_EQ(c2_blob_feed(now.in[i], C2_INT8, 3, shape, NULL), C2_OK);
    const int status = run(&now.op);
    const int fits = empty ? status == C2_TYPE
                           : status == C2_OK || status == C2_TYPE || status == C2_SHAPE ||
                                 status == C2_INDEX;             /* a table of one row */
    if (!fits || (status && !strstr(now.op.run.message, "put"))) /* input or output: which one */
        fprintf(stderr, "%s(%s), input %d: status %d, %s\n", f->type, f->inputs, i, status,
                now.op.run.message);
    CHECK(fits);
    CHECK(!status || strstr(now.op.run.message, "put"));
    close_form();
}

TEST(another_blob_in_the_place_of_each_input) {
    for (int k = 0; k < FORMS; k++)
        for (int i = 0; i < (int)strlen(forms[k].inputs); i++)
            for (int empty = 0; empty < 2; empty++)
                run_with_another(&forms[k], i, empty);
}

/* ---- a wait for the mutex of an update ---- */

static int interrupt(void) {
    return C2_INTERRUPTED;
}

/* It is this very thread's: it would wait for ever. */
TEST(a_stop_ends_the_wait_for_an_updates_mutex) {
    static const form f = {"SGD", "xxsl", "0", {{.s = "locked", .given = 1}}};
    open_form(&f);
    c2_guard_enter();
    void *word = c2_blob_tensor(now.in[3])->data;
    c2_guard_leave();
    CHECK_EQ(c2_mutex_lock(word, -1), C2_OK);
    c2_run run = {.poll = interrupt};
    CHECK_EQ(c2_net_run(now.op.net, &run), C2_INTERRUPTED);
    CHECK_EQ(c2_mutex_unlock(word), C2_OK);
    CHECK_EQ(c2_net_run(now.op.net, &(c2_run){0}), C2_OK);
    CHECK_EQ(c2_mutex_locked(word), 0);
    close_form();
}

int main(void) {
    RUN(refusals_have_a_status_and_words);
    RUN(another_blob_in_the_place_of_each_input);
    RUN(a_stop_ends_the_wait_for_an_updates_mutex);
    return report();
}
