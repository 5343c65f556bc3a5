/* What a kernel (a native operator) sees: its blobs, its arguments, and how to fail.
 *
 *     static int relu(c2_context *c) {
 *         const c2_tensor *x = c2_in(c, 0, C2_FLOAT32);        // the input, checked
 *         if (!x) return C2_TYPE;                              // the error is written already
 *         const c2_tensor *y = c2_out_like(c, 0, x);           // memory for the output
 *         if (!y) return C2_NO_MEMORY;
 *         ...
 *         return C2_OK;
 *     }
 *
 * A kernel runs inside a guard (blob.c), so the tensors it got stay valid until it returns,
 * whoever resizes the blobs meanwhile. It must not keep them. Two kernels may run at the same
 * time on the same blobs: one that means to be safe then uses scalar.h on the elements, and says
 * so. It checks everything before it changes anything. A kernel that waits must do it through
 * c2_os_wait in short slices and look at c2_stopping(c) between them.
 *
 * In place: output 0 may be the very blob of input 0. c2_out then gives the same memory when
 * type and shape are the same.
 */
#ifndef C2_KERNEL_H
#define C2_KERNEL_H

#include "dtype.h"

struct c2_context {
    c2_kernel kernel;
    void *handle; /* of a Python or user operator, or a loop */
    c2_blob *const *in;
    const c2_arg *args; /* in the order of the schema in python/caffe2op/operators */
    int32_t n_in;
    int32_t n_out;
    int32_t n_args;
    int32_t op; /* index in the net */
    /* What a net keeps of it (net.h) ends here. */
    c2_blob *const *out;
    c2_run *run;
    char *message;  /* of sizeof run->message bytes; this thread's own */
    int32_t failed; /* what c2_fail was given; counts, where a kernel returns another failure */
};

/* Write the message (printf) that goes with a failure; returns `status` to hand on. Blobs are
 * named by the Python side: say "input 1", "output 0". */
int c2_fail(c2_context *c, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Input `i` as a tensor of `dtype` (-1: any). NULL, with the message written, when the blob is
 * empty or of another kind or dtype; return C2_TYPE then. */
const c2_tensor *c2_in(c2_context *c, int i, int dtype);

/* The same, and exactly one element (0-D or (1,)): the address of the element, or NULL. */
void *c2_in_scalar(c2_context *c, int i, int dtype);

/* Output `i` made a tensor of that type and shape; its old elements stay where both are the
 * same. NULL with the message written when out of memory, or when the blob is shared memory of
 * the caller with another shape; return C2_NO_MEMORY then. */
const c2_tensor *c2_out(c2_context *c, int i, int dtype, int ndim, const int64_t *shape);
const c2_tensor *c2_out_like(c2_context *c, int i, const c2_tensor *like);

/* The same for blobs that are no arguments by index (a queue's, say). */
int c2_blob_resize(c2_blob *blob, int dtype, int ndim, const int64_t *shape, const c2_tensor **out);

/* 1 when the run is to stop: a kernel that waits returns C2_STOPPED then. */
int c2_stopping(const c2_context *c);

/* Blobs that are not tensors. The word of a mutex, bool or counter blob: its address, or NULL
 * (message written) when it is not of that kind. */
_Atomic uint64_t *c2_in_word(c2_context *c, int i, int kind);
/* Make output `i` of that kind, its word set to `value`; NULL when out of memory. */
_Atomic uint64_t *c2_out_word(c2_context *c, int i, int kind, uint64_t value);
/* A blob that owns an object of C (a queue): `state` is given to `destroy` when replaced or
 * freed, once nobody is inside a guard that could have seen it. */
int c2_out_state(c2_context *c, int i, int kind, void *state, void (*destroy)(void *));
void *c2_in_state(c2_context *c, int i, int kind);

const char *c2_kind_name(int kind);

int c2_python_kernel(c2_context *c); /* what a net runs for a Python operator */

/* ---- the table of native kernels ----------------------------------------------------------
 *
 * Each kernels_*.c ends with one list of its kernels, and operator.c has the list of lists:
 *
 *     const c2_kernel_entry c2_kernels_math[] = {{"Add", add}, {"Sub", sub}, {NULL, NULL}};
 */
typedef struct c2_kernel_entry {
    const char *type;
    c2_kernel kernel;
} c2_kernel_entry;

#endif
