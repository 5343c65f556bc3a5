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
    case 'M': return state("CreateMutex");
    case 'B': return state("CreateAtomicBool");
    case 'C': return state("CreateCounter");
    case 'Q': return state("CreateBlobsQueue");
    case 'F': return filled(state("CreateBlobsQueue"));
    default: abort();
    }
}

/* ---- operators ---- */

/* outputs: '.' a blob of its own; a digit: in place of that input. */
typedef struct form {
    const char *type, *inputs, *outputs;
    c2_arg args[9];
} form;

enum { MOST = 40 };
static struct {
    const form *form;
    int n_in, n_out;
    c2_blob *in[MOST], *out[4];
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
        now.out[k] = f->outputs[k] == '.' ? c2_blob_new() : now.in[f->outputs[k] - '0'];
    now.op = make(f->type, now.n_in, now.in, now.n_out, now.out, f->args, 9);
}

static inline void close_form(void) {
    c2_net_free(now.op.net);
    for (int k = 0; k < now.n_out; k++)
        if (now.form->outputs[k] == '.') c2_blob_free(now.out[k]);
    drop(now.in, now.n_in);
}

#endif
