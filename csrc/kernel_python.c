/* The kernel of every Python operator: hands the context to the Python side. Whoever runs one has
 * entered Python before (batch.h).
 *
 * The three functions are written once, at import, before any net can have a Python operator: the
 * release of `side` meets the acquire of whoever runs one.
 */
#include "atomic.h"
#include "batch.h"

static struct {
    c2_python_enter enter;
    c2_python_call call;
    c2_python_leave leave;
} functions;
static _Atomic int32_t side; /* 0: no Python side; 1: `functions` is set */

void c2_set_python(c2_python_enter enter, c2_python_call call, c2_python_leave leave) {
    functions.enter = enter;
    functions.call = call;
    functions.leave = leave;
    store_rel(&side, 1);
}

int c2_python_kernel(c2_context *c) {
    return functions.call(c->handle, c);
}

int c2_batch_enter_slow(c2_batch *batch, const c2_net *net, int32_t op, c2_run *run) {
    if (!load_acq(&side)) /* meets store_rel above */
        return c2_run_fail(run, C2_SYSTEM, net, op, "no Python side to call");
    const int status = functions.enter(run);
    if (status != C2_OK) return c2_run_fail(run, status, net, op, "");
    batch->inside = 1;
    return C2_OK;
}

void c2_batch_leave_slow(c2_batch *batch) {
    batch->inside = 0;
    functions.leave();
}
