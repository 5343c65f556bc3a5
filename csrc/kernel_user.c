/* The kernel of every operator whose function is the user's, as compiled code: checks the blobs
 * against the c2_user_schema that the operator's handle points to, makes the outputs, and calls.
 *
 * The function gets the address and the number of elements of each input and then of each
 * output. An output has the shape that the schema says (that of an input, or a fixed one), and
 * its elements are what was there before, or unset: the function writes them all. An output may
 * be the blob of an input; with the same type and shape both addresses are then the same, and
 * otherwise the input is still whole while the function runs.
 *
 * The function runs without the GIL, on any thread, and on several at the same time.
 */
#include <stdlib.h>
#include "kernel.h"

#define FEW 32 /* blobs of an operator whose addresses need no allocation */

typedef struct call {
    void **data;             /* inputs, then outputs: what the function gets */
    int64_t *sizes;          /* the same */
    const c2_tensor **given; /* the inputs as they came, whatever the outputs do to their blobs */
} call;

static const c2_tensor *make_output(c2_context *c, const c2_user_schema *user, const call *call,
                                    int k, int *status) {
    const int like = user->output_like[k];
    int dtype = user->output_dtypes[k];
    if (like >= c->n_in || (dtype < 0 && c->n_in == 0)) {
        *status = c2_fail(c, C2_VALUE, "output %d is like an input that is not there", k);
        return NULL;
    }
    *status = C2_NO_MEMORY;
    if (dtype < 0) dtype = call->given[0]->dtype;
    return like < 0 ? c2_out(c, k, dtype, user->output_ndims[k], user->output_shapes + 8 * k)
                    : c2_out(c, k, dtype, call->given[like]->ndim, call->given[like]->shape);
}

static int prepare(c2_context *c, const c2_user_schema *user, const call *call) {
    for (int k = 0; k < c->n_in; k++) {
        const c2_tensor *in = call->given[k] = c2_in(c, k, user->input_dtypes[k]);
        if (!in) return C2_TYPE;
        call->data[k] = in->data;
        call->sizes[k] = in->size;
    }
    for (int k = 0; k < c->n_out; k++) {
        int status;
        const c2_tensor *out = make_output(c, user, call, k, &status);
        if (!out) return status;
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
