/* Blobs: what operators read and write. The idea is told in blob.h.
 *
 * Every function here may be called from any thread at any time; none blocks, but for
 * c2_blob_keep, which may wait microseconds for an update (stripes.h). Two threads that
 * write one blob at the same time each publish a whole body: one of them wins.
 */
#include "blob.h"

#include <stdlib.h>
#include <string.h>

#include "kernel.h"
#include "stripes.h"

enum { MAX_DIMS = 8, ALIGNMENT = 64 };

static c2_memory *memory_new(int64_t bytes) {
    c2_memory *m = malloc(sizeof *m);
    if (!m) return NULL;
    const size_t rounded =
        ((size_t)(bytes > 0 ? bytes : 1) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    m->data = aligned_alloc(ALIGNMENT, rounded);
    if (!m->data) {
        free(m);
        return NULL;
    }
    memset(m->data, 0, rounded); /* nobody ever reads what malloc left */
    m->capacity = (int64_t)rounded;
    atomic_init(&m->users, 1);
    atomic_init(&m->access, C2_MEMORY_CLOSED);
    return m;
}

static void memory_drop(c2_memory *m) {
    /* acq_rel: the last to leave sees all that the others did with it before it is freed */
    if (m && sub_acq_rel(&m->users, 1) == 1) {
        free(m->data);
        free(m);
    }
}

static void body_destroy(c2_retired *r) {
    c2_body *b = (c2_body *)r;
    if (b->destroy) b->destroy(b->state);
    memory_drop(b->memory);
    free(b);
}

c2_body *c2_body_new(int kind) {
    c2_body *b = calloc(1, sizeof *b);
    if (b) {
        b->kind = kind;
        b->token = -1;
    }
    return b;
}

void c2_blob_publish(c2_blob *blob, c2_body *body) {
    c2_body *old = atomic_exchange(&blob->body, body);
    if (old) c2_retire(&old->retired, body_destroy);
}

c2_blob *c2_blob_new(void) {
    return calloc(1, sizeof(c2_blob));
}

void c2_blob_free(c2_blob *blob) {
    if (!blob) return;
    c2_blob_publish(blob, NULL);
    free(blob);
}

int c2_blob_clear(c2_blob *blob) {
    c2_blob_publish(blob, NULL);
    return C2_OK;
}

int c2_blob_kind(c2_blob *blob) {
    c2_guard_enter();
    const c2_body *b = c2_blob_body(blob);
    const int kind = b ? b->kind : C2_EMPTY;
    c2_guard_leave();
    return kind;
}

const c2_tensor *c2_blob_tensor(c2_blob *blob) {
    const c2_body *b = c2_blob_body(blob);
    return b && b->kind == C2_TENSOR ? &b->tensor : NULL;
}

int c2_blob_tensors(c2_blob *const *blobs, int64_t n, c2_tensor *tensors) {
    static const c2_tensor none = {.ndim = -1};
    int known = 1;
    for (int64_t k = 0; k < n; k++) {
        const c2_tensor *t = c2_blob_tensor(blobs[k]);
        if (!t) t = &none;
        if (c2_tensor_same(t, &tensors[k])) continue;
        tensors[k] = *t;
        known = 0;
    }
    return known;
}

const c2_tensor *c2_blob_keep(c2_blob *blob, void **memory) {
    const c2_body *b = c2_blob_body(blob);
    *memory = NULL;
    if (!b || b->kind != C2_TENSOR) return NULL;
    c2_memory_open(b->memory); /* who sees the address may add atomically: stripes.h */
    if (b->memory) add_rlx(&b->memory->users, 1); /* the body holds one, so it is not zero */
    *memory = b->memory;
    return &b->tensor;
}

void c2_memory_let_go(void *memory) {
    memory_drop(memory);
}

void c2_memory_let_go_with(void *memory, void *other) {
    (void)other;
    c2_memory_let_go(memory);
}

static int is_like(const c2_tensor *t, int dtype, int ndim, const int64_t *shape) {
    if (t->dtype != dtype || t->ndim != ndim) return 0;
    for (int d = 0; d < ndim; d++)
        if (t->shape[d] != shape[d]) return 0;
    return 1;
}

/* Fills type and shape; *bytes is the size. C2_TYPE, C2_SHAPE, or C2_NO_MEMORY (overflow). */
static int describe(c2_tensor *t, int dtype, int ndim, const int64_t *shape, int64_t *bytes) {
    const int64_t item = c2_itemsize(dtype);
    if (item == 0) return C2_TYPE;
    if (ndim < 0 || ndim > MAX_DIMS) return C2_SHAPE;
    t->dtype = dtype;
    t->ndim = ndim;
    t->size = 1;
    for (int d = 0; d < ndim; d++) {
        if (shape[d] < 0) return C2_SHAPE;
        t->shape[d] = shape[d];
        if (__builtin_mul_overflow(t->size, shape[d], &t->size)) return C2_NO_MEMORY;
    }
    if (__builtin_mul_overflow(t->size, item, bytes)) return C2_NO_MEMORY;
    return *bytes > INT64_MAX - ALIGNMENT ? C2_NO_MEMORY : C2_OK;
}

/* A tensor body; `reuse` may give its memory when that is large enough. */
static int tensor_body(int dtype, int ndim, const int64_t *shape, c2_memory *reuse, c2_body **out) {
    c2_tensor t = {0};
    int64_t bytes = 0;
    const int status = describe(&t, dtype, ndim, shape, &bytes);
    if (status) return status;
    c2_body *b = c2_body_new(C2_TENSOR);
    if (!b) return C2_NO_MEMORY;
    if (reuse && reuse->capacity >= bytes) {
        add_rlx(&reuse->users, 1); /* the body it came from holds one, so it cannot be zero */
        b->memory = reuse;
    } else if (!(b->memory = memory_new(bytes))) {
        free(b);
        return C2_NO_MEMORY;
    }
    b->tensor = t;
    b->tensor.data = b->memory->data;
    *out = b;
    return C2_OK;
}

int c2_blob_resize(c2_blob *blob, int dtype, int ndim, const int64_t *shape,
                   const c2_tensor **out) {
    c2_body *now = c2_blob_body(blob);
    const int tensor = now && now->kind == C2_TENSOR;
    if (tensor && is_like(&now->tensor, dtype, ndim, shape)) {
        *out = &now->tensor;
        return C2_OK;
    }
    if (tensor && now->borrowed) return C2_SHAPE;
    c2_body *next = NULL;
    const int status = tensor_body(dtype, ndim, shape, tensor ? now->memory : NULL, &next);
    if (status) return status;
    *out = &next->tensor;
    c2_blob_publish(blob, next);
    return C2_OK;
}

int c2_blob_feed(c2_blob *blob, int dtype, int ndim, const int64_t *shape, const void *data) {
    int status = C2_OK;
    c2_guard_enter();
    c2_body *now = c2_blob_body(blob);
    if (now && now->borrowed) { /* the caller's memory stays the blob's: write into it */
        if (!is_like(&now->tensor, dtype, ndim, shape))
            status = C2_SHAPE;
        else if (data) /* which may be a part of the same memory */
            memmove(now->tensor.data, data, now->tensor.size * c2_itemsize(dtype));
    } else {
        /* New memory, so that who reads meanwhile gets the old tensor or the new one, whole. */
        c2_body *next = NULL;
        status = tensor_body(dtype, ndim, shape, NULL, &next);
        if (!status) {
            if (data) memcpy(next->tensor.data, data, next->tensor.size * c2_itemsize(dtype));
            c2_blob_publish(blob, next);
        }
    }
    c2_guard_leave();
    return status;
}

int c2_blob_share(c2_blob *blob, int dtype, int ndim, const int64_t *shape, void *data) {
    c2_tensor t = {0};
    int64_t bytes = 0;
    const int status = describe(&t, dtype, ndim, shape, &bytes);
    if (status) return status;
    if ((uintptr_t)data % (uintptr_t)c2_itemsize(dtype)) return C2_ALIGNMENT;
    c2_body *b = c2_body_new(C2_TENSOR);
    if (!b) return C2_NO_MEMORY;
    t.data = data;
    b->tensor = t;
    b->borrowed = 1;
    c2_blob_publish(blob, b);
    return C2_OK;
}

int c2_blob_object(c2_blob *blob, int64_t token) {
    c2_body *b = c2_body_new(C2_OBJECT);
    if (!b) return C2_NO_MEMORY;
    b->token = token;
    c2_blob_publish(blob, b);
    return C2_OK;
}

int64_t c2_blob_token(c2_blob *blob) {
    c2_guard_enter();
    const c2_body *b = c2_blob_body(blob);
    const int64_t token = b && b->kind == C2_OBJECT ? b->token : -1;
    c2_guard_leave();
    return token;
}

int c2_blob_peek(c2_blob *blob, int64_t *value) {
    int status = C2_TYPE;
    c2_guard_enter();
    c2_body *b = c2_blob_body(blob);
    if (b && (b->kind == C2_MUTEX || b->kind == C2_ATOMIC_BOOL || b->kind == C2_COUNTER)) {
        *value = (int64_t)load_acq(&b->word);
        status = C2_OK;
    }
    c2_guard_leave();
    return status;
}
