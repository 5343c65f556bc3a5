/* The kernel of every Python operator: hands the context to the Python side, which takes the GIL.
 */
#include "atomic.h"
#include "kernel.h"

static _Atomic(c2_python_call) python_call; /* NULL until Python has set it, once, at import */

void c2_set_python_call(c2_python_call call) {
    store_rel(&python_call, call);
}

int c2_python_kernel(c2_context *c) {
    const c2_python_call call = load_acq(&python_call); /* meets store_rel above */
    if (!call) return c2_fail(c, C2_SYSTEM, "no Python side to call");
    return call(c->handle, c);
}
