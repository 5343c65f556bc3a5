/* Nets: operators in program order, bound to their blobs; and the simple executor.
 *
 * A net is constant once built. Several threads may run one net at the same time; what its
 * operators do to shared blobs then is theirs to order (atomics, a mutex), and never unsafe in
 * memory (blob.h).
 */
#include "batch.h"

#include <stdlib.h>
#include <string.h>

#include "platform.h"
#include "reclaim.h"

static c2_net *net_new(int64_t n_ops, int64_t kept) {
    c2_net *net = calloc(1, sizeof *net + (size_t)kept * sizeof(c2_op));
    if (net) net->n = n_ops;
    return net;
}

c2_net *c2_net_new(int64_t n_ops) {
    c2_net *net = net_new(n_ops, n_ops);
    if (net) net->mask = -1;
    return net;
}

static int alike(c2_context *c) {
    const c2_alike *a = c->handle;
    c->handle = a->first + c->op * a->step;
    return a->kernel(c);
}

c2_net *c2_net_alike(int64_t n_ops, c2_kernel kernel, void *first, int64_t step) {
    c2_net *net = net_new(n_ops, 1);
    if (!net) return NULL;
    net->alike = (c2_alike){kernel, first, step};
    net->ops[0] = (c2_op){.kernel = alike, .handle = &net->alike};
    return net;
}

void c2_net_free(c2_net *net) {
    if (!net) return;
    for (int64_t i = 0; net->mask && i < net->n && !net->blobs; i++)
        free((void *)net->ops[i].blobs);
    free(net->blobs);
    free(net);
}

int c2_net_set(c2_net *net, int64_t index, c2_kernel kernel, void *handle, int n_in,
               c2_blob *const *in, int n_out, c2_blob *const *out, const c2_arg *args, int n_args) {
    if (index < 0 || index >= net->n) return C2_INDEX;
    if (net->blobs || !net->mask) return C2_VALUE;
    c2_op *op = &net->ops[index];
    c2_blob **blobs = NULL;
    if (n_in + n_out > 0 && !(blobs = malloc((size_t)(n_in + n_out) * sizeof *blobs)))
        return C2_NO_MEMORY;
    if (n_in) memcpy(blobs, in, (size_t)n_in * sizeof *blobs);
    if (n_out) memcpy(blobs + n_in, out, (size_t)n_out * sizeof *blobs);
    free((void *)op->blobs);
    *op = (c2_op){.kernel = kernel ? kernel : c2_python_kernel,
                  .handle = handle,
                  .blobs = blobs,
                  .args = args,
                  .n_in = n_in,
                  .n_out = n_out,
                  .n_args = n_args};
    if (!kernel) net->python = 1;
    return C2_OK;
}

int c2_net_fill(c2_net *net, const c2_operators *from) {
    if (net->blobs || !net->mask) return C2_VALUE;
    int64_t total = 1; /* never nothing: NULL says that c2_net_set is the way */
    for (int64_t v = 0; v < net->n; v++)
        total += from->n_in[v] + from->n_out[v];
    c2_blob **next = malloc((size_t)total * sizeof *next);
    if (!next) return C2_NO_MEMORY;
    net->blobs = next;
    for (int64_t v = 0; v < net->n; v++) {
        c2_kernel kernel = from->kernels[from->kind[v]];
        if (!kernel) net->python = 1;
        net->ops[v] = (c2_op){.kernel = kernel ? kernel : c2_python_kernel,
                              .handle = from->handles[v],
                              .blobs = next,
                              .args = from->args[v],
                              .n_in = from->n_in[v],
                              .n_out = from->n_out[v],
                              .n_args = from->n_args[v]};
        for (int32_t k = 0; k < from->n_in[v]; k++)
            *next++ = from->blobs[from->in[from->in_at[v] + k]];
        for (int32_t k = 0; k < from->n_out[v]; k++)
            *next++ = from->blobs[from->out[from->out_at[v] + k]];
    }
    return C2_OK;
}

/* `inner`: a net inside an operator. */
static inline int one(c2_net *net, int64_t i, c2_run *run, const int inner) {
    return inner ? c2_run_op_anyway(net, (int32_t)i, run) : c2_run_op(net, (int32_t)i, run);
}

static int execute_with_python(c2_net *net, c2_run *run, c2_ticker *ticker, int inner) {
    c2_batch batch = {0};
    int status = C2_OK;
    for (int64_t i = 0; i < net->n && status == C2_OK; i++) {
        status = c2_batch_for(&batch, net, (int32_t)i, run);
        if (status == C2_OK) status = one(net, i, run, inner);
        if (status != C2_OK) break;
        c2_tick(ticker, run);
        if (c2_run_stopped(run)) status = C2_STOPPED;
    }
    c2_batch_end(&batch);
    return status;
}

/* `inner` is a constant where it is called. */
static inline int execute(c2_net *net, c2_run *run, c2_ticker *ticker, const int inner) {
    if (net->python) return execute_with_python(net, run, ticker, inner);
    for (int64_t i = 0; i < net->n; i++) {
        const int status = one(net, i, run, inner);
        if (__builtin_expect(status != C2_OK, 0)) return status;
        c2_tick(ticker, run);
        if (__builtin_expect(c2_run_stopped(run), 0)) return C2_STOPPED;
    }
    return C2_OK;
}

int c2_net_execute(c2_net *net, c2_run *run, c2_ticker *ticker) {
    return execute(net, run, ticker, 0);
}

int c2_net_execute_inner(c2_net *net, c2_run *run, c2_ticker *ticker) {
    return execute(net, run, ticker, 1);
}

int c2_net_run(c2_net *net, c2_run *run) {
    c2_ticker ticker = {0};
    run->caller = c2_os_self();
    c2_guard_enter();
    c2_net_execute(net, run, run->poll ? &ticker : NULL);
    c2_guard_leave();
    return run->status;
}
