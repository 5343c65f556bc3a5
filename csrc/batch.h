/* Batches: Python operators that follow each other on one worker share one taking of the GIL.
 *
 * To take the GIL costs about what a short operator does, and tens of microseconds where another
 * worker of the run wants it too. So a worker that has entered Python for an operator stays inside
 * as long as what it runs next is Python and ready. It leaves
 *
 * 1. before a native operator: those run without the GIL, always;
 * 2. before it waits for another worker, sleeps, or ends: nobody waits while inside, so workers
 *    that need each other's Python operators cannot deadlock. (The spin locks of the executors are
 *    no such waits: who holds one never enters with it.)
 *
 * A batch has no bound of its own. Every operator begins with Python's bytecode, where the
 * interpreter gives the GIL to a thread that has waited for its switch interval (5 ms by default),
 * and serves signals; between two operators the run's stop, failure, deadline and skips are
 * looked at as ever. So a batch is to other threads what any Python loop is. A bound would give
 * nothing more: who gives the GIL up and takes it at once has it again before a sleeper wakes.
 *
 * Only nets with Python operators (net->python) pay for this.
 */
#ifndef C2_BATCH_H
#define C2_BATCH_H

#include "net.h"

/* One worker's, on its stack. Zero at first; at the end, c2_batch_end. */
typedef struct c2_batch {
    int32_t inside;
} c2_batch;

int c2_batch_enter_slow(c2_batch *batch, const c2_net *net, int32_t op, c2_run *run);
void c2_batch_leave_slow(c2_batch *batch);

static inline int c2_is_python(const c2_net *net, int32_t op) {
    return net->ops[op & net->mask].kernel == c2_python_kernel;
}

/* Before a wait, a sleep, the end. */
static inline void c2_batch_end(c2_batch *batch) {
    if (__builtin_expect(batch->inside, 0)) c2_batch_leave_slow(batch);
}

/* Before operator `op`: inside for a Python operator, outside for any other. C2_OK, or what the run
 * has failed with. */
static inline int c2_batch_for(c2_batch *batch, const c2_net *net, int32_t op, c2_run *run) {
    if (__builtin_expect(!net->python, 1)) return C2_OK;
    const int python = c2_is_python(net, op);
    if (python == batch->inside) return C2_OK;
    if (python) return c2_batch_enter_slow(batch, net, op, run);
    c2_batch_leave_slow(batch);
    return C2_OK;
}

#endif
