/* Inside of a net and a run, for net.c, plan.c and operator.c. */
#ifndef C2_NET_H
#define C2_NET_H

#include <stddef.h>
#include <string.h>

#include "atomic.h"
#include "kernel.h"

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

/* A run's shared words. c2_run is also Python's, so they are plain integers there.
 *
 * | word    | meaning                               | changed by                                |
 * |---------|---------------------------------------|-------------------------------------------|
 * | stop    | 0 -> 1: every worker returns soon     | the one that claims; whoever cancels      |
 * | claimed | 0 -> 1 -> 2: nobody failed; the first | CAS 0 -> 1 by the first to fail, who then |
 * |         | failure is being written; is written  | fills the rest and stores 2 (release)     |
 *
 * | skip    | NULL -> flags, one for each operator  | c2_run_skip, release; met by acquire      |
 * | its     | 0 -> C2_TO_SKIP: leave it out         | c2_run_skip, release; met by acquire      |
 * | flags   | -> C2_SKIPPED: it was left out        | who would have run the operator           |
 *
 * No operator runs on what another, left out, has not made: its flag was set before the other's.
 * Who sees the other's flag (acquire) sees both, and the executor orders the operators after that.
 *
 * `stop` is read relaxed: it hurries others up and carries no data. The caller reads the rest
 * after it has joined every worker (plan.c), and that join is the acquire which the release of
 * claimed = 2 meets.
 */
static inline int c2_run_stopped(const c2_run *run) {
    return load_rlx((const _Atomic int32_t *)&run->stop) != 0;
}

/* Record a failure, if it is the first, and stop the run. Returns `status`. */
int c2_run_fail(c2_run *run, int status, const c2_net *net, int op, const char *message);

/* 1 when the run is to stop. On the thread that called the run it also polls for signals: for
 * waits, in each slice. */
int c2_run_stopping(c2_run *run);

/* 1 on the thread that polls for signals: where a loop has a ticker. */
int c2_run_polls_here(const c2_run *run);

/* Looks at the clock now and then, and polls for signals when 50 ms have passed. Belongs to one
 * thread. */
typedef struct c2_ticker {
    int64_t last;  /* when the clock was read last */
    int32_t every; /* calls between two looks at the clock; adapts to how long they take */
    int32_t left;
} c2_ticker;
void c2_tick_slow(c2_ticker *ticker, c2_run *run);
static inline void c2_tick(c2_ticker *ticker, c2_run *run) {
    if (ticker && --ticker->left < 0) c2_tick_slow(ticker, run);
}

int c2_run_skips_slow(c2_run *run, int32_t op);

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
    if (__builtin_expect(load_rlx((uint8_t *_Atomic *)&run->skip) != NULL, 0) &&
        c2_run_skips_slow(run, op))
        return C2_OK;
    return c2_run_op_anyway(net, op, run);
}

/* Every operator of the net once, in program order, inside a guard that the caller opened.
 * ticker: NULL on threads other than the calling one. */
int c2_net_execute(c2_net *net, c2_run *run, c2_ticker *ticker);

/* The same for a net inside an operator: what is to be left out are operators of the outer net. */
int c2_net_execute_inner(c2_net *net, c2_run *run, c2_ticker *ticker);

#endif
