/* The C types of the scalar fast path: the one file that includes Python.h.
 *
 * An operation of nanoseconds must neither release the GIL (taking it again costs tens of
 * microseconds while another thread computes) nor go through cffi's argument conversion. So
 * these types are written against CPython's stable ABI, keep the GIL, and go through scalar.h.
 * They work just as well on an interpreter without a GIL: what they share is the caller's
 * memory, which is only touched atomically, and a buffer that is taken once, in tp_new.
 *
 * A new type: its header beside this one, included below, and one line in the table.
 */
#include <Python.h>
#include "scalar.h"

typedef struct fast_type {
    const char *name; /* in the Python namespace */
    PyType_Spec *spec;
} fast_type;

static const fast_type types[] = {
    {NULL, NULL},
};

static int publish(PyObject *namespace) {
    for (const fast_type *t = types; t->name; t++) {
        PyObject *type = PyType_FromSpec(t->spec);
        if (!type) return -1;
        const int failed = PyDict_SetItemString(namespace, t->name, type);
        Py_DECREF(type);
        if (failed) return -1;
    }
    return 0;
}

int c2_register_fast(void *namespace_dict) {
    const PyGILState_STATE gil = PyGILState_Ensure();
    const int failed = publish(namespace_dict);
    if (failed) PyErr_Print(); /* cffi would swallow it */
    PyGILState_Release(gil);
    return failed;
}
