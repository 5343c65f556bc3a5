/* What kernels call: their blobs, checked, and their errors; and the table of all kernels. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "blob.h"
#include "kernel.h"
#include "run.h"

/* ---- the table ---- */

/* clang-format off: one a line */
#define C2_KERNEL_TABLES(X)                                                                        \
    X(fill)                                                                                        \
    X(math)                                                                                        \
    X(compare)                                                                                     \
    X(gather)                                                                                      \
    X(scatter)                                                                                     \
    X(linear)                                                                                      \
    X(train)                                                                                       \
    X(atomic)                                                                                      \
    X(counter)                                                                                     \
    X(queue)                                                                                       \
    X(rendezvous)                                                                                  \
    X(loop)                                                                                        \
    X(user)                                                                                        \
    X(matmul)                                                                                      \
    X(activation)                                                                                  \
    X(loss)                                                                                        \
    X(shape)                                                                                       \
    X(elementwise_gradient)                                                                        \
    X(optimizer)                                                                                   \
    X(sparse_optimizer)
/* clang-format on */

#define DECLARE(name) extern const c2_kernel_entry c2_kernels_##name[];
C2_KERNEL_TABLES(DECLARE)

#define ADDRESS(name) c2_kernels_##name,
static const c2_kernel_entry *const tables[] = {C2_KERNEL_TABLES(ADDRESS) NULL};

static const c2_kernel_entry *entry_at(int64_t index) {
    for (const c2_kernel_entry *const *t = tables; *t; t++)
        for (const c2_kernel_entry *e = *t; e->type; e++)
            if (index-- == 0) return e;
    return NULL;
}

c2_kernel c2_kernel_find(const char *type) {
    for (const c2_kernel_entry *const *t = tables; *t; t++)
        for (const c2_kernel_entry *e = *t; e->type; e++)
            if (strcmp(e->type, type) == 0) return e->kernel;
    return NULL;
}

int64_t c2_kernel_count(void) {
    int64_t n = 0;
    while (entry_at(n))
        n++;
    return n;
}

const char *c2_kernel_name(int64_t index) {
    const c2_kernel_entry *e = entry_at(index);
    return e ? e->type : NULL;
}

/* ---- the context ---- */

int c2_fail(c2_context *c, int status, const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(c->message, sizeof c->run->message, format, list);
    va_end(list);
    c->failed = status;
    return status;
}

int c2_stopping(const c2_context *c) {
    return c2_run_stopping(c->run);
}

const char *c2_kind_name(int kind) {
    static const char *const names[] = {"empty",     "a tensor", "a mutex",        "an atomic bool",
                                        "a counter", "a queue",  "a Python object"};
    return kind >= 0 && kind <= C2_OBJECT ? names[kind] : "unknown";
}

/* The body of input `i` when it is of that kind; else NULL with the message written. */
static c2_body *input_of(c2_context *c, int i, int kind) {
    c2_body *b = c2_blob_body(c->in[i]);
    const int have = b ? b->kind : C2_EMPTY;
    if (have == kind) return b;
    c2_fail(c, C2_TYPE, "input %d: %s given, %s expected", i, c2_kind_name(have),
            c2_kind_name(kind));
    return NULL;
}

const c2_tensor *c2_in(c2_context *c, int i, int dtype) {
    const c2_body *b = input_of(c, i, C2_TENSOR);
    if (!b) return NULL;
    if (dtype < 0 || b->tensor.dtype == dtype) return &b->tensor;
    c2_fail(c, C2_TYPE, "input %d: %s given, %s expected", i, c2_dtype_name(b->tensor.dtype),
            c2_dtype_name(dtype));
    return NULL;
}

void *c2_in_scalar(c2_context *c, int i, int dtype) {
    const c2_tensor *t = c2_in(c, i, dtype);
    if (!t) return NULL;
    if (t->size == 1) return t->data;
    c2_fail(c, C2_SHAPE, "input %d: %lld elements given, a scalar (exactly one) expected", i,
            (long long)t->size);
    return NULL;
}

const c2_tensor *c2_out(c2_context *c, int i, int dtype, int ndim, const int64_t *shape) {
    const c2_tensor *t = NULL;
    const int status = c2_blob_resize(c->out[i], dtype, ndim, shape, &t);
    if (status == C2_OK) return t;
    if (status == C2_SHAPE)
        c2_fail(c, status,
                "output %d: shared memory of another type or shape, which cannot be resized", i);
    else
        c2_fail(c, status, "output %d: no memory for its elements", i);
    return NULL;
}

const c2_tensor *c2_out_like(c2_context *c, int i, const c2_tensor *like) {
    return c2_out(c, i, like->dtype, like->ndim, like->shape);
}

_Atomic uint64_t *c2_in_word(c2_context *c, int i, int kind) {
    c2_body *b = input_of(c, i, kind);
    return b ? &b->word : NULL;
}

_Atomic uint64_t *c2_out_word(c2_context *c, int i, int kind, uint64_t value) {
    c2_body *b = c2_body_new(kind);
    if (!b) {
        c2_fail(c, C2_NO_MEMORY, "output %d: no memory for %s", i, c2_kind_name(kind));
        return NULL;
    }
    store_rlx(&b->word, value); /* published, and so released, by the swap */
    c2_blob_publish(c->out[i], b);
    return &b->word;
}

int c2_out_state(c2_context *c, int i, int kind, void *state, void (*destroy)(void *)) {
    c2_body *b = c2_body_new(kind);
    if (!b) return c2_fail(c, C2_NO_MEMORY, "output %d: no memory for %s", i, c2_kind_name(kind));
    b->state = state;
    b->destroy = destroy;
    c2_blob_publish(c->out[i], b);
    return C2_OK;
}

void *c2_in_state(c2_context *c, int i, int kind) {
    c2_body *b = input_of(c, i, kind);
    return b ? b->state : NULL;
}
