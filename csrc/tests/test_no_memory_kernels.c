/* Every native kernel that asks for memory, with each of its requests refused: C2_NO_MEMORY and
 * words for it, its inputs as they were, no lock left held, nothing leaked; and then it works. */
#define _GNU_SOURCE
#include "refusing.h"

#include "blob.h"
#include "mutex.h"
#include "forms.h"
#include "queue.h"

/* ---- kernels ---- */

#define SHAPE  {.ints = matrix, .count = 2, .given = 1}, {0}, {0} /* every Fill's first three */
#define AXIS   {.i = 1}
#define NUMBER {.f = 0.5}
#define VALUES {.ints = longs, .floats = (const double[6]){0}, .count = 6}

static int32_t user(void **data, const int64_t *sizes, void *unused) {
    return 0;
}
static const c2_user_schema user_schema = {.function = user,
                                           .input_dtypes =
                                               (const int32_t[40]){[0 ... 39] = C2_FLOAT32},
                                           .output_dtypes = (const int32_t[]){-1},
                                           .output_like = (const int32_t[]){0}};

static const form forms[] = {
    {"Tanh", "x", ".", {{0}}},
    {"TanhGradient", "xx", ".", {{0}}},
    {"ReluGradient", "xx", ".", {{0}}},
    {"SigmoidGradient", "xx", ".", {{0}}},
    {"Softmax", "x", ".", {AXIS}},
    {"SoftmaxGradient", "xx", ".", {AXIS}},
    {"Dropout", "x", "..", {NUMBER}},
    {"Dropout", "x", "0.", {NUMBER}},
    {"DropoutGrad", "xb", ".", {NUMBER}},
    {"CreateMutex", "", ".", {{0}}},
    {"AtomicFetchAdd", "aa", "0.", {{0}}},
    {"AtomicFetchAdd", "Maa", "1.", {{0}}},
    {"AtomicFetchAdd64", "Mll", "1.", {{0}}},
    {"CreateAtomicBool", "", ".", {{0}}},
    {"CheckAtomicBool", "B", ".", {{0}}},
    {"AsyncNetBarrier", "xv", "..", {{0}}},
    {"Iter", "", ".", {{0}}},
    {"LT", "xx", ".", {{0}}},
    {"LE", "xx", ".", {{0}}},
    {"GT", "xx", ".", {{0}}},
    {"GE", "xx", ".", {{0}}},
    {"EQ", "xx", ".", {{0}}},
    {"NE", "xx", ".", {{0}}},
    {"And", "bb", ".", {{0}}},
    {"Or", "bb", ".", {{0}}},
    {"Xor", "bb", ".", {{0}}},
    {"Not", "b", ".", {{0}}},
    {"CreateCounter", "", ".", {{.i = 5}}},
    {"ResetCounter", "C", ".", {{.i = 5}}},
    {"CountUp", "C", ".", {{0}}},
    {"CountDown", "C", ".", {{0}}},
    {"CheckCounterDone", "C", ".", {{0}}},
    {"RetrieveCount", "C", ".", {{0}}},
    {"AddGradient", "xxx", "..", {{0}}},
    {"SubGradient", "xxx", "..", {{0}}},
    {"MulGradient", "xxx", "..", {{0}}},
    {"ConstantFill", "", ".", {SHAPE, {0}, {.i = C2_FLOAT32}}},
    {"UniformFill", "", ".", {SHAPE}},
    {"GaussianFill", "", ".", {SHAPE}},
    {"XavierFill", "", ".", {SHAPE}},
    {"GivenTensorFill", "", ".", {SHAPE, VALUES}},
    {"GivenTensorDoubleFill", "", ".", {SHAPE, VALUES}},
    {"GivenTensorIntFill", "", ".", {SHAPE, VALUES}},
    {"GivenTensorInt64Fill", "", ".", {SHAPE, VALUES}},
    {"GivenTensorBoolFill", "", ".", {SHAPE, VALUES}},
    {"SparseLogisticSGD",
     "llpivwTl",
     "567.",
     {{.i = 1}, {.i = -1}, NUMBER, {0}, {0}, {.s = "batch"}, {.i = -1}, {.s = "atomic"}}},
    {"SparseLogisticLoss", "pivw", ".", {{0}}},
    {"SparseLogisticPredict", "piw", ".", {{0}}},
    {"SparseLogisticMonitor", "lpivwh", "5.", {{.i = 1}, {.i = -1}, {.i = 1}}},
    {"SoftmaxWithLoss", "xi", "..", {AXIS, NUMBER}},
    {"SoftmaxWithLossGradient", "xixd", ".", {AXIS, NUMBER}},
    {"LabelCrossEntropy", "xi", ".", {{0}}},
    {"LabelCrossEntropyGradient", "xiv", ".", {{0}}},
    {"AveragedLoss", "v", ".", {{0}}},
    {"AveragedLossGradient", "vd", ".", {{0}}},
    {"Copy", "x", ".", {{0}}},
    {"Add", "xx", ".", {{0}}},
    {"Sub", "xx", ".", {{0}}},
    {"Mul", "xx", ".", {{0}}},
    {"Sum", "xx", ".", {{0}}},
    {"Sum", "xxxxxxxxxx", ".", {{0}}},
    {"Scale", "x", ".", {NUMBER}},
    {"Relu", "x", ".", {{0}}},
    {"Sigmoid", "x", ".", {{0}}},
    {"WeightedSum", "xs", ".", {{0}}},
    {"WeightedSum", "xsxsxsxsxsxsxsxsxsxs", ".", {{0}}},
    {"FC", "xxv", ".", {AXIS, AXIS}},
    {"FCGradient", "xxm", "...", {AXIS, AXIS}},
    {"MatMul", "xx", ".", {{0}, {.i = 1}}},
    {"LearningRate", "n", ".", {{.f = 1}, {.s = "fixed"}}},
    {"MomentumSGD", "xxs", ".1", {NUMBER, {0}}},
    {"CreateBlobsQueue", "", ".", {{.i = 3}, {.i = 1}}},
    {"EnqueueBlobs", "Qx", "", {{0}}},
    {"SafeEnqueueBlobs", "Qx", ".", {{0}}},
    {"DequeueBlobs", "F", ".", {{0}}},
    {"SafeDequeueBlobs", "F", "..", {{0}}},
    {"Reshape", "x", "..", {{.ints = (const int64_t[]){3, 2}, .count = 2, .given = 1}}},
    {"StopGradient", "x", ".", {{0}}},
    {"Concat", "xx", "..", {AXIS}},
    {"Split", "x", "...", {AXIS}},
    {"Gather", "xi", ".", {{0}}},
    {"ScatterWeightedSum", "usivs", "0", {{0}}},
    {"SparseLengthsSum", "xie", ".", {{0}}},
    {"SparseLengthsWeightedSum", "xvie", ".", {{0}}},
    {"SparseLengthsIndicesInGradientSumGradient", "xei", ".", {{0}}},
    {"SparseLinearScore", "piu", ".", {{.s = "sgd"}}},
    {"UserFunction", "xv", ".", {{0}}},
    {"UserFunction", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", ".", {{0}}},
};
enum { FORMS = sizeof forms / sizeof *forms };

/* These work in the memory of their inputs, and ask for none. */
static const char *const without[] = {"ConditionalSetAtomicBool",
                                      "AtomicIter",
                                      "While",
                                      "SGD",
                                      "MomentumSGDUpdate",
                                      "Adagrad",
                                      "Adam",
                                      "CloseBlobsQueue",
                                      "Rendezvous",
                                      "ScatterAssign",
                                      "SparseAdagrad",
                                      "SparseLinearTrain"};

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
        for (size_t i = 0; i < sizeof without / sizeof *without; i++)
            found |= !strcmp(without[i], c2_kernel_name(k));
        if (!found) fprintf(stderr, "%s: in neither list\n", c2_kernel_name(k));
        CHECK(found);
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
