/* The kernel of every operator whose function is the user's, as compiled code: checks the blobs
 * against the c2_user_schema that the operator's handle points to, makes the outputs, and calls.
 *
 * The function gets the address and the number of elements of each input and then of each
 * output. An output has the shape that the schema says (that of an input, or a fixed one), and
 * its elements are what was there before: the function writes them all. An output may be the
 * blob of an input whose type and shape it has; both addresses are the same then.
 *
 * The function runs without the GIL, on any thread, and on several at the same time.
 */
#include <stdlib.h>
#include "kernel.h"
#include "stripes.h"

#define FEW 32 /* blobs of an operator whose addresses need no allocation */

typedef struct call {
    void **data;             /* inputs, then outputs: what the function gets */
    int64_t *sizes;          /* the same */
    const c2_tensor **given; /* the inputs */
} call;

typedef struct form {
    int dtype, ndim;
    const int64_t *shape;
} form;

/* What output `k` is to be. C2_OK, or a failure with the message written. */
static int form_of(c2_context *c, const c2_user_schema *user, const call *call, int k, form *f) {
    const int like = user->output_like[k], dtype = user->output_dtypes[k];
    if (like >= c->n_in || (dtype < 0 && c->n_in == 0))
        return c2_fail(c, C2_VALUE, "output %d is like an input that is not there", k);
    f->dtype = dtype < 0 ? call->given[0]->dtype : dtype;
    f->ndim = like < 0 ? user->output_ndims[k] : call->given[like]->ndim;
    f->shape = like < 0 ? user->output_shapes + 8 * k : call->given[like]->shape;
    for (int i = 0; i < c->n_in; i++) {
        if (c->in[i] != c->out[k]) continue;
        const c2_tensor *in = call->given[i];
        int same = in->dtype == f->dtype && in->ndim == f->ndim;
        for (int d = 0; same && d < f->ndim; d++)
            same = in->shape[d] == f->shape[d];
        /* The new shape would take over the memory that the function is to read. */
        if (!same)
            return c2_fail(c, C2_SHAPE,
                           "output %d is in place of input %d, and has another type "
                           "or shape",
                           k, i);
    }
    return C2_OK;
}

static int prepare(c2_context *c, const c2_user_schema *user, const call *call) {
    form f;
    for (int k = 0; k < c->n_in; k++) {
        const c2_tensor *in = call->given[k] = c2_in(c, k, user->input_dtypes[k]);
        if (!in) return C2_TYPE;
        c2_memory_open(c2_memory_of(in)); /* the function may add atomically by itself */
        call->data[k] = in->data;
        call->sizes[k] = in->size;
    }
    for (int k = 0; k < c->n_out; k++) {
        const int status = form_of(c, user, call, k, &f);
        if (status != C2_OK) return status;
    }
    for (int k = 0; k < c->n_out; k++) {
        form_of(c, user, call, k, &f);
        const c2_tensor *out = c2_out(c, k, f.dtype, f.ndim, f.shape);
        if (!out) return C2_NO_MEMORY;
        c2_memory_open(c2_memory_of(out));
        call->data[c->n_in + k] = out->data;
        call->sizes[c->n_in + k] = out->size;
    }
    return C2_OK;
}

static int call_function(c2_context *c, const call *call) {
    const c2_user_schema *user = c->handle;
    const int status = prepare(c, user, call);
    if (status != C2_OK) return status;
    const int32_t code = user->function(call->data, call->sizes, user->user);
    return code == 0 ? C2_OK : c2_fail(c, C2_FAILED, "the user's function returned %d", code);
}

static int user_function(c2_context *c) {
    const int n = c->n_in + c->n_out;
    if (n <= FEW) {
        void *data[FEW];
        int64_t sizes[FEW];
        const c2_tensor *given[FEW];
        return call_function(c, &(call){data, sizes, given});
    }
    const size_t each = sizeof(void *) + sizeof(int64_t) + sizeof(const c2_tensor *);
    char *memory = malloc(n * each);
    if (!memory) return c2_fail(c, C2_NO_MEMORY, "no memory for the addresses of %d blobs", n);
    void **data = (void **)memory;
    int64_t *sizes = (int64_t *)(data + n);
    const int status = call_function(c, &(call){data, sizes, (const c2_tensor **)(sizes + n)});
    free(memory);
    return status;
}

const c2_kernel_entry c2_kernels_user[] = {{"UserFunction", user_function}, {NULL, NULL}};
