/* Inside of a blob, for the engine's own files. Kernels use kernel.h.
 *
 * A blob is one atomic pointer to a body. A body never changes once it is published, but for the
 * word of a mutex, bool or counter and the elements of a tensor. Whoever gives a blob another
 * type, shape or buffer publishes a new body and retires the old one, so a reader that loaded
 * the pointer inside a guard has a shape and a memory that belong together until it leaves.
 *
 * | blob->body | meaning                                                            |
 * |------------|--------------------------------------------------------------------|
 * | NULL       | empty                                                              |
 * | body       | published by a seq_cst swap (reclaim.c says why), read by a seq_cst |
 * |            | load inside a guard; the one who swapped it out retires it         |
 */
#ifndef C2_BLOB_H
#define C2_BLOB_H

#include <string.h>

#include "atomic.h"
#include "reclaim.h"

/* Bytes that several bodies of one blob may use in turn: a smaller shape keeps its buffer. */
enum { C2_MEMORY_CLOSED = 0, C2_MEMORY_OPENING = 1, C2_MEMORY_OPEN = 2 }; /* stripes.h */
typedef struct c2_memory {
    _Atomic int64_t users;
    _Atomic int32_t access; /* who may write elements atomically: stripes.h has the table */
    int64_t capacity;
    void *data;
} c2_memory;

typedef struct c2_body {
    c2_retired retired; /* first: c2_retire hands this back */
    int32_t kind;
    int32_t borrowed; /* the tensor is on memory of the caller */
    c2_tensor tensor;
    c2_memory *memory;
    _Atomic uint64_t word; /* of a mutex, bool or counter */
    int64_t token;         /* of a Python object */
    void *state;           /* of a queue */
    void (*destroy)(void *);
} c2_body;

struct c2_blob {
    c2_body *_Atomic body;
};

/* Inside a guard. */
static inline c2_body *c2_blob_body(c2_blob *blob) {
    return load_sc(&blob->body);
}

/* The same type and shape, on the same memory. */
static inline int c2_tensor_same(const c2_tensor *a, const c2_tensor *b) {
    return a->data == b->data && a->ndim == b->ndim && a->dtype == b->dtype && a->size == b->size &&
           (a->ndim < 1 || !memcmp(a->shape, b->shape, (size_t)a->ndim * sizeof *a->shape));
}

/* A new body of that kind, all else zero; NULL when out of memory. */
c2_body *c2_body_new(int kind);
/* Make it the blob's and retire the one before. */
void c2_blob_publish(c2_blob *blob, c2_body *body);

#endif
