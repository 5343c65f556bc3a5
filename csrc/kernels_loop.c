/* While: a net as an operator, again and again as long as a blob holds true.
 *
 * The handle is a c2_loop: the body, and a test that makes the condition afresh before each
 * iteration, or NULL where the body makes it. Both are run in program order on this thread, inside
 * the run that the operator belongs to: a failure within names the inner net and its operator, and
 * whatever stops the run stops the loop after the operator that it is in.
 *
 * A loop may be as long as the program. So the guard is closed and opened between iterations
 * whenever something waits to be freed, as plan.c does, and nothing is held across them: the
 * condition is looked up anew each time, in whatever memory its blob has then.
 *
 * The condition may be another thread's to change: its load acquires, and whatever that thread
 * wrote before it released the new value is seen after the loop. A kernel that only stores it
 * (ConstantFill, say) releases nothing; one that is to hand data over uses an atomic bool.
 */
#include "atomic.h"
#include "kernel.h"
#include "net.h"
#include "reclaim.h"

/* C2_OK, and in *holds the condition; or a failure with the message written. */
static int look(c2_context *c, int *holds) {
    const _Atomic uint8_t *const word = c2_in_scalar(c, 0, C2_BOOL);
    if (!word) return C2_TYPE;
    *holds = load_acq(word) != 0;
    return C2_OK;
}

static int run_while(c2_context *c) {
    const c2_loop *const loop = c->handle;
    c2_run *const run = c->run;
    c2_ticker own = {0};
    c2_ticker *const ticker = c2_run_polls_here(run) ? &own : NULL;
    for (;;) {
        int holds = 0, status;
        if (loop->test && (status = c2_net_execute_inner(loop->test, run, ticker))) return status;
        if ((status = look(c, &holds)) || !holds) return status;
        if ((status = c2_net_execute_inner(loop->body, run, ticker))) return status;
        if (c2_retired_pending()) {
            c2_guard_leave();
            c2_guard_enter();
        }
        /* A body without operators must still be able to stop. */
        c2_tick(ticker, run);
        if (c2_run_stopped(run)) return C2_STOPPED;
    }
}

const c2_kernel_entry c2_kernels_loop[] = {{"While", run_while}, {NULL, NULL}};
