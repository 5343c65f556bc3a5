/* An operator in a line: its inputs by letters, its outputs by where they are. */
#ifndef C2_TESTS_FORMS_H
#define C2_TESTS_FORMS_H

#include "check.h"
#include "operators.h"

/* ---- inputs, each by a letter ---- */

static const int64_t matrix[] = {2, 3}, two = 2, three = 3, one = 1, six = 6;
static const float floats[8] = {1, 0, 1, 1, 0, 1};
static const int32_t ints[] = {0, 1};
static const int64_t longs[8] = {0, 1, 2}, zeros[8];
static const uint8_t bools[8] = {1, 0, 1, 1, 0, 1};

static inline c2_blob *made(c2_blob *blob, const char *type) {
    const c2_arg numbers[] = {{.i = 5}, {.i = 1}}; /* a count; a queue's capacity and width */
    operator o = make(type, 0, NULL, 1, &blob, numbers, 2);
    CHECK_EQ(run(&o), C2_OK);
    c2_net_free(o.net);
    return blob;
}

static inline c2_blob *state(const char *type) {
    return made(c2_blob_new(), type);
}

/* A tuple for who takes. */
static inline c2_blob *filled(c2_blob *queue) {
    c2_blob *in[] = {queue, tensor(C2_FLOAT32, 2, matrix, floats)};
    operator o = make("EnqueueBlobs", 2, in, 0, NULL, NULL, 0);
    CHECK_EQ(run(&o), C2_OK);
    c2_net_free(o.net);
    c2_blob_free(in[1]);
    return queue;
}

/* Small letters are tensors. */
static inline c2_blob *input(char letter) {
    switch (letter) {
    case '-': return c2_blob_new(); /* empty */
    case 'x': return tensor(C2_FLOAT32, 2, matrix, floats);
    case 'm': return tensor(C2_FLOAT32, 2, (const int64_t[]){2, 2}, floats);
    case 'v': return tensor(C2_FLOAT32, 1, &two, floats);
    case 'u': return tensor(C2_FLOAT32, 1, &three, floats);
    case 's': return tensor(C2_FLOAT32, 1, &one, floats);
    case 'd': return tensor(C2_FLOAT32, 0, NULL, floats);
    case 'b': return tensor(C2_BOOL, 2, matrix, bools);
    case 't': return tensor(C2_BOOL, 0, NULL, bools);
    case 'i': return tensor(C2_INT32, 1, &two, ints);
    case 'e': return tensor(C2_INT32, 1, &two, (const int32_t[]){1, 1});
    case 'a': return tensor(C2_INT32, 0, NULL, ints + 1);
    case 'l': return tensor(C2_INT64, 0, NULL, zeros);
    case 'k': return tensor(C2_INT64, 0, NULL, longs + 2);
    case 'z': return tensor(C2_INT64, 1, zeros, NULL);
    case 'n': return tensor(C2_INT64, 1, &one, longs);
    case 'p': return tensor(C2_INT64, 1, &three, longs);
    case 'w': return tensor(C2_INT64, 1, &three, zeros);
    case 'T': return tensor(C2_INT64, 1, &six, zeros);
    case 'h': return tensor(C2_FLOAT64, 2, (const int64_t[]){2, 3}, NULL);
    case 'y': return tensor(C2_UINT8, 1, &two, zeros);
    case 'g': return tensor(C2_FLOAT64, 0, NULL, zeros);
    case 'M': return state("CreateMutex");
    case 'B': return state("CreateAtomicBool");
    case 'C': return state("CreateCounter");
    case 'Q': return state("CreateBlobsQueue");
    case 'F': return filled(state("CreateBlobsQueue"));
    default: abort();
    }
}

/* ---- operators ---- */

/* outputs: '.' a blob of its own; a digit: in place of that input (0 behind 9 is 10). */
typedef struct form {
    const char *type, *inputs, *outputs;
    c2_arg args[9];
} form;

enum { MOST = 40 };
static struct {
    const form *form;
    int n_in, n_out;
    c2_blob *in[MOST], *out[6];
    operator op;
} now;

static inline void open_form(const form *f) {
    memset(&now, 0, sizeof now);
    now.form = f;
    now.n_in = (int)strlen(f->inputs);
    now.n_out = (int)strlen(f->outputs);
    for (int k = 0; k < now.n_in; k++)
        now.in[k] = input(f->inputs[k]);
    for (int k = 0; k < now.n_out; k++)
        now.out[k] = f->outputs[k] == '.' ? c2_blob_new()
                     : f->outputs[k] == '0' && k && f->outputs[k - 1] == '9'
                         ? now.in[10]
                         : now.in[f->outputs[k] - '0'];
    now.op = make(f->type, now.n_in, now.in, now.n_out, now.out, f->args, 9);
}

static inline void close_form(void) {
    c2_net_free(now.op.net);
    for (int k = 0; k < now.n_out; k++)
        if (now.form->outputs[k] == '.') c2_blob_free(now.out[k]);
    drop(now.in, now.n_in);
}

/* ---- every native kernel but While, which runs nets ---- */

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
    {"SGD", "xxs", "0", {{.s = "atomic"}}},
    {"MomentumSGDUpdate", "xxsx", "013", {NUMBER, {0}, {.s = "atomic"}}},
    {"Adagrad", "xxxs", "01", {NUMBER, NUMBER, {.s = "atomic"}}},
    {"Adam", "xxxxsn", "012", {NUMBER, NUMBER, NUMBER, {.s = "atomic"}}},
    {"SparseAdagrad", "xxixs", "01", {NUMBER, {.s = "atomic"}}},
    {"ScatterAssign", "xix", "0", {{0}}},
    {"ConditionalSetAtomicBool", "Bt", "", {{0}}},
    {"AtomicIter", "Mn", "1", {{0}}},
    {"CloseBlobsQueue", "Q", "", {{0}}},
    {"Rendezvous", "l", "", {{.i = 1}}},
    {"SparseLinearTrain",
     "klpivvyuyTg",
     "567890",
     {{.i = 1}, NUMBER, {0}, {0}, {.s = "log"}, {.s = "sgd"}}},
};
enum { FORMS = sizeof forms / sizeof *forms };

#endif
