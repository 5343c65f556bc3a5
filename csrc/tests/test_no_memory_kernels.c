/* Every native kernel, with each of its requests refused: C2_NO_MEMORY and
 * words for it, its inputs as they were, no lock left held, nothing leaked; and then it works. */
#define _GNU_SOURCE
#include "refusing.h"

#include "blob.h"
#include "mutex.h"
#include "forms.h"
#include "queue.h"

/* ---- runs ---- */

/* The elements of every tensor, the value of every counter, the tuples in every queue. */
typedef struct seen {
    char bytes[64];
    int64_t word;
} seen;

static void look(seen *at) {
    memset(at, 0, sizeof *at * MOST);
    c2_guard_enter();
    for (int k = 0; k < now.n_in; k++) {
        const c2_tensor *t = c2_blob_tensor(now.in[k]);
        if (t) memcpy(at[k].bytes, t->data, (size_t)(t->size * c2_itemsize(t->dtype)));
        c2_blob_peek(now.in[k], &at[k].word);
        if (c2_blob_kind(now.in[k]) == C2_MUTEX) CHECK_EQ(at[k].word, 0); /* nobody holds it */
        if (c2_blob_kind(now.in[k]) == C2_QUEUE)
            at[k].word = c2_queue_count(c2_blob_body(now.in[k])->state);
    }
    c2_guard_leave();
}

static void expect(int holds, const char *what) {
    CHECK(holds);
    if (!holds)
        fprintf(stderr, "%s(%s): %s; %s\n", now.form->type, now.form->inputs, what,
                now.op.run.message);
}

static int run_it(void) {
    static seen before[MOST], after[MOST];
    const char *outputs = now.form->outputs;
    look(before);
    const int status = run(&now.op);
    look(after);
    if (status) {
        expect(!memcmp(before, after, sizeof before), "an input has changed");
        expect(strstr(now.op.run.message, "no memory") != NULL, "another failure");
    }
    for (int k = 0; k < now.n_out; k++)
        if (outputs[k] == '.') c2_blob_clear(now.out[k]);
    if (strchr("QF", now.form->inputs[0]) && now.n_in) { /* as it was: nothing is refused here */
        store_rlx(&refuse_from, INT64_MAX);
        made(now.in[0], "CreateBlobsQueue");
        if (now.form->inputs[0] == 'F') filled(now.in[0]);
    }
    return status;
}

TEST(every_kernel) {
    for (int k = 0; k < FORMS; k++) {
        open_form(&forms[k]);
        now.op.net->ops[0].handle = (void *)&user_schema; /* others do not look */
        runs_out(run_it, ALONE);
        close_form();
    }
}

/* So that none is forgotten. */
TEST(there_are_no_others) {
    for (int64_t k = 0; k < c2_kernel_count(); k++) {
        int found = 0;
        for (int i = 0; i < FORMS; i++)
            found |= !strcmp(forms[i].type, c2_kernel_name(k));
        if (!found) fprintf(stderr, "%s: in no form\n", c2_kernel_name(k));
        CHECK(found || !strcmp(c2_kernel_name(k), "While"));
    }
}

/* Nothing is asked of what they compute. */
static void no_sgemm(int order, int ta, int tb, int64_t m, int64_t n, int64_t k, float alpha,
                     const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c,
                     int64_t ldc) {}
static void no_dgemm(int order, int ta, int tb, int64_t m, int64_t n, int64_t k, double alpha,
                     const double *a, int64_t lda, const double *b, int64_t ldb, double beta,
                     double *c, int64_t ldc) {}

int main(void) {
    c2_set_gemm(no_sgemm, no_dgemm);
    RUN(every_kernel);
    RUN(there_are_no_others);
    return report();
}
