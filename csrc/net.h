/* Inside of a net, for whoever runs one. */
#ifndef C2_NET_H
#define C2_NET_H

#include <stddef.h>
#include <string.h>

#include "kernel.h"
#include "run.h"

/* An operator as a net keeps it: how the context of each of its calls begins. */
typedef struct c2_op {
    c2_kernel kernel;
    void *handle;
    c2_blob *const *blobs; /* inputs, then outputs; NULL where there are none */
    const c2_arg *args;
    int32_t n_in, n_out, n_args, op;
} c2_op;
_Static_assert(sizeof(c2_op) == offsetof(c2_context, out) &&
                   offsetof(c2_op, blobs) == offsetof(c2_context, in) &&
                   offsetof(c2_op, op) == offsetof(c2_context, op),
               "a context begins as a c2_op");

/* Of a net of operators that are alike. */
typedef struct c2_alike {
    c2_kernel kernel;
    char *first;
    int64_t step;
} c2_alike;

struct c2_net {
    int64_t n;
    int32_t python;  /* 1: it has Python operators (batch.h) */
    int32_t mask;    /* -1; 0: all operators are ops[0], which `alike` tells apart */
    c2_blob **blobs; /* of all operators in a row, where c2_net_fill made them; else NULL */
    c2_alike alike;
    c2_op ops[];
};

/* One operator now, on this thread, inside a guard, whatever is to be left out; inside Python for a
 * Python operator (batch.h). Returns its status. */
static inline int c2_run_op_anyway(c2_net *net, int32_t op, c2_run *run) {
    char message[sizeof run->message];
    const c2_op *o = &net->ops[op & net->mask];
    c2_context c;
    memcpy(&c, o, sizeof *o);
    c.op = op;
    c.out = o->blobs + o->n_in;
    c.run = run;
    c.message = message;
    c.failed = 0;
    message[0] = 0;
    const int status = c.kernel(&c);
    if (__builtin_expect(status != C2_OK, 0))
        return c2_run_fail(run, c.failed ? c.failed : status, net, op, message);
    return C2_OK;
}

/* The same for an operator of the net that the run is of, unless it is to be left out. */
static inline int c2_run_op(c2_net *net, int32_t op, c2_run *run) {
    if (c2_run_skips(run, op)) return C2_OK;
    return c2_run_op_anyway(net, op, run);
}

/* Every operator of the net once, in program order, inside a guard that the caller opened.
 * ticker: NULL on threads other than the calling one. */
int c2_net_execute(c2_net *net, c2_run *run, c2_ticker *ticker);

/* The same for a net inside an operator: what is to be left out are operators of the outer net. */
int c2_net_execute_inner(c2_net *net, c2_run *run, c2_ticker *ticker);

#endif
