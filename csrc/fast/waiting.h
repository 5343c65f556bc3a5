/* Waiting for a value to change, and telling those who wait.
 *
 * wait looks first and only then lets the GIL go; it sleeps in slices, so that a signal whose
 * handler is Python code (Ctrl-C) is served soon even when another thread received it.
 */
#ifndef C2_FAST_WAITING_H
#define C2_FAST_WAITING_H

static const int64_t wait_slice = 500 * 1000 * 1000; /* ns */

/* The deadline, in nanoseconds of c2_os_now(), of a timeout_from() that is not an error. */
static int64_t deadline_from(int64_t timeout) {
    if (timeout < 0) return C2_FOREVER;
    const int64_t now = c2_os_now();
    return timeout < C2_FOREVER - now ? now + timeout : C2_FOREVER;
}

/* True once the value differs from `expected`, False when the deadline passed. */
static PyObject *element_wait(const element *e, void *p, PyObject *expected, PyObject *timeout,
                              int order) {
    const int64_t nanoseconds = timeout_from(timeout);
    if (nanoseconds < -1) return NULL;
    uint64_t bits;
    int differs = e->differs(p, expected, order, &bits);
    if (differs == 0 && nanoseconds != 0) {
        const int64_t deadline = deadline_from(nanoseconds);
        int64_t left = deadline;
        while (differs == 0 && (left = deadline - c2_os_now()) > 0) {
            int status;
            Py_BEGIN_ALLOW_THREADS status =
                c2_wait(p, e->size, bits, left < wait_slice ? left : wait_slice);
            Py_END_ALLOW_THREADS if (status != C2_OK && status != C2_TIMEOUT &&
                                     status != C2_INTERRUPTED) {
                PyErr_SetString(PyExc_OSError, "wait: the operating system refused");
                return NULL;
            }
            if (PyErr_CheckSignals() < 0) return NULL;
            differs = e->differs(p, expected, order, &bits);
        }
    }
    if (differs < 0) return NULL;
    return shared(differs ? Py_True : Py_False);
}

/* `count` NULL is one. The woken, as far as the system tells. */
static PyObject *element_notify(const element *e, void *p, PyObject *count) {
    int64_t most = 1;
    if (count && !i64_from(count, &most, "count")) return NULL;
    if (most < 0 || most > INT32_MAX) {
        PyErr_Format(most < 0 ? PyExc_ValueError : PyExc_OverflowError,
                     "count: %lld given; accepted: 0..%d", (long long)most, INT32_MAX);
        return NULL;
    }
    return int_to(c2_notify(p, e->size, (int)most));
}

#endif
