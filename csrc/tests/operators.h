/* One native operator in a net of its own, and tensors for it. A test that cannot make one ends. */
#ifndef C2_TESTS_OPERATORS_H
#define C2_TESTS_OPERATORS_H

#include <stdlib.h>

#include "kernel.h"
#include "net.h"

typedef struct operator{
    c2_net *net;
    c2_run run;
}
operator;

static inline operator make(const char *type, int n_in, c2_blob *const *in, int n_out,
                            c2_blob *const *out, const c2_arg *args, int n_args) {
    operator o = {.net = c2_net_new(1)};
    const c2_kernel kernel = c2_kernel_find(type);
    if (!o.net || !kernel || c2_net_set(o.net, 0, kernel, NULL, n_in, in, n_out, out, args, n_args))
        abort();
    return o;
}

static inline int run(operator* o) {
    o->run = (c2_run){0};
    return c2_net_run(o->net, &o->run);
}

static inline c2_blob *tensor(int dtype, int ndim, const int64_t *shape, const void *data) {
    c2_blob *blob = c2_blob_new();
    if (!blob || c2_blob_feed(blob, dtype, ndim, shape, data)) abort();
    return blob;
}

static inline void drop(c2_blob **blobs, int n) {
    for (int k = 0; k < n; k++)
        c2_blob_free(blobs[k]);
}

#endif
