/* Calling a Python operator from whichever thread runs it.
 *
 * The handle is the Python object (borrowed: the net's owner keeps it), whose `call()` gives a
 * status, and whose `keep(run, exception)` is told what it raised. Through cffi a call would cost
 * two objects for its arguments and the look-up of the handle, which is more than the function's
 * own call; cffi is needed for the first call on a thread that Python does not know: it gives the
 * thread a state that stays until the thread ends, where PyGILState_Ensure would make and destroy
 * one in each call.
 */
#ifndef C2_FAST_PYTHON_CALL_H
#define C2_FAST_PYTHON_CALL_H

#include "kernel.h"

static int c2_python_operator(void *handle, c2_context *context); /* cffi's: see ffi_build.py */

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

static int c2_python_here(void *handle, c2_context *context) {
    static PyObject *name; /* made once, with the GIL */
    if (!PyGILState_GetThisThreadState()) return c2_python_operator(handle, context);
    PyObject *const operator= handle;
    long status = C2_PYTHON;
    const PyGILState_STATE gil = PyGILState_Ensure();
    if (!name) name = PyUnicode_InternFromString("call");
    PyObject *const result = name ? PyObject_CallMethodObjArgs(operator, name, NULL) : NULL;
    if (likely(result != NULL)) {
        status = PyLong_AsLong(result);
        Py_DECREF(result);
    } else {
        operator_raised(operator, context);
    }
    PyGILState_Release(gil);
    return (int)status;
}

#endif
