/* Calling Python operators from whichever thread runs them: batch.h's enter, call and leave.
 *
 * The handle is the Python object (borrowed: the net's owner keeps it): an Operator, or one whose
 * `call()` gives a status; its `keep(run, exception)` is told what was raised. Through cffi a call
 * would cost two objects for its arguments and the look-up of the handle, which is more than the
 * function's own call; cffi is needed for a thread that Python does not know: its first call gives
 * the thread a state that stays until the thread ends, where PyGILState_Ensure would make and
 * destroy one each time.
 */
#ifndef C2_FAST_PYTHON_CALL_H
#define C2_FAST_PYTHON_CALL_H

#include "atomic.h"
#include "kernel.h"

/* The end of the interpreter. Threads that wait for the GIL then are ended by it, which is well;
 * but one that asks for it later finds memory that is gone. So before the end no thread asks any
 * more: it sleeps until the process is gone, as do those that wait for it. They are daemon threads'
 * runs, for all other threads have been joined. Only a run of the main thread, which is in an exit
 * handler, must go on: it fails.
 *
 * | word     | meaning                                              | changed by                  |
 * |----------|------------------------------------------------------|-----------------------------|
 * | ends     | 0 -> 1: nobody enters                                | c2_python_ends              |
 * | entering | threads between their look at `ends` and the GIL     | each, + 1 and - 1           |
 *
 * Either a thread sees `ends`, or c2_python_ends sees it entering: each writes one word and then
 * reads the other, all four seq_cst. */
static struct {
    _Atomic int32_t ends, entering;
} interpreter;

static inline void entered(void) {
    sub_acq_rel(&interpreter.entering, 1);
}

static COLD bool enter_at_the_end(const c2_run *run) {
    if (PyThread_get_thread_ident() == load_rlx(&main_thread)) return true; /* it does the ending */
    entered();
    while (!run->poll) /* the main thread's runs have one */
        c2_os_wait(&interpreter.ends, sizeof(int32_t), 1, C2_FOREVER);
    return false;
}

static inline bool may_enter(const c2_run *run) {
    add_sc(&interpreter.entering, 1);
    return likely(!load_sc(&interpreter.ends)) || enter_at_the_end(run);
}

static void c2_python_ends(int64_t patience_ns) {
    const int64_t until = c2_os_now() + patience_ns, slice = 1000 * 1000;
    store_sc(&interpreter.ends, 1);
    for (int32_t n; (n = load_sc(&interpreter.entering)) > 0 && c2_os_now() < until;)
        c2_os_wait(&interpreter.entering, sizeof n, (uint32_t)n, c2_os_now() + slice);
}

static void c2_python_forked(void) {
    store_sc(&interpreter.entering, 0); /* who was entering is not here */
}

static void c2_python_hello(void); /* cffi's: see ffi_build.py */

/* With the GIL, and an exception set: hand it to the operator. */
static COLD void operator_raised(PyObject *operator, c2_context * context) {
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    if (trace) PyException_SetTraceback(value, trace);
    PyObject *done = PyObject_CallMethod(operator, "keep", "KO",
                                         (unsigned long long)(uintptr_t)context->run, value);
    if (!done) PyErr_WriteUnraisable(operator);
    Py_XDECREF(done);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(trace);
}

/* How often; changed with the GIL, and about right where there is none. */
static _Atomic int64_t python_entered;

static int c2_python_enter_here(const c2_run *run) {
    if (unlikely(!may_enter(run))) return C2_STOPPED;
    if (unlikely(!PyGILState_GetThisThreadState())) c2_python_hello();
    PyGILState_Ensure(); /* was unlocked: who runs a net with Python operators has given the GIL up
                          */
    entered();
    store_rlx(&python_entered, load_rlx(&python_entered) + 1);
    return C2_OK;
}

static void c2_python_leave_here(void) {
    PyGILState_Release(PyGILState_UNLOCKED);
}

static int64_t c2_python_entered(void) {
    return load_rlx(&python_entered);
}

static int c2_python_call_here(void *handle, c2_context *context) {
    static PyObject *name; /* made once, with the GIL */
    PyObject *const operator= handle;
    long status = C2_PYTHON;
    if (PyObject_TypeCheck(operator, python_operator_type)) {
        const int done = operator_call((python_operator *)operator);
        if (likely(done >= 0)) return done;
        operator_raised(operator, context);
        return C2_PYTHON;
    }
    if (!name) name = PyUnicode_InternFromString("call");
    PyObject *const result = name ? PyObject_CallMethodObjArgs(operator, name, NULL) : NULL;
    if (likely(result != NULL)) {
        status = PyLong_AsLong(result);
        Py_DECREF(result);
    } else {
        operator_raised(operator, context);
    }
    return (int)status;
}

static void c2_python_ready(void) {
    c2_set_python(c2_python_enter_here, c2_python_call_here, c2_python_leave_here);
}

#endif
