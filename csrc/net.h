/* Inside of a net, for whoever runs one. */
#ifndef C2_NET_H
#define C2_NET_H

#include "kernel.h"
#include "run.h"

struct c2_net {
    int64_t n;
    int32_t python;   /* 1: it has Python operators (batch.h) */
    c2_context ops[]; /* templates: a run copies one and adds `run` and `message` */
};

/* One operator now, on this thread, inside a guard, whatever is to be left out; inside Python for a
 * Python operator (batch.h). Returns its status. */
static inline int c2_run_op_anyway(c2_net *net, int32_t op, c2_run *run) {
    char message[sizeof run->message];
    c2_context c = net->ops[op];
    c.run = run;
    c.message = message;
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
