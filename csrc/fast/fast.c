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
#include "platform.h"
#include "scalar.h"

#include "fast/convert.h"
#include "fast/arguments.h"
#include "fast/element.h"
#include "fast/waiting.h"
#include "fast/methods.h"
#include "fast/subclass.h"
#include "fast/array.h"
#include "fast/cell.h"
#include "fast/bool.h"
#include "fast/mutex_type.h"
#include "fast/net_run.h"
#include "fast/python_operator.h"
#include "fast/python_call.h"

static const struct fast_type {
    const char *name; /* in the Python namespace */
    PyType_Spec *spec;
    PyTypeObject **kept; /* where C wants it too, or NULL */
} fast_types[] = {
    {"Array", &array_spec, &array_type},
    {"Cell", &cell_spec, &cell_type},
    {"Bool", &bool_spec, NULL},
    {"Mutex", &mutex_spec, NULL},
    {"NetRun", &net_run_spec, NULL},
    {"View", &view_spec, NULL},
    {"Operator", &operator_spec, &python_operator_type},
};

static int publish(PyObject *namespace) {
    if (small_init(namespace) < 0 || arguments_init() < 0 || mutex_init(namespace) < 0) return -1;
    for (size_t k = 0; k < sizeof fast_types / sizeof *fast_types; k++) {
        const struct fast_type *t = &fast_types[k];
        PyObject *type = PyType_FromSpec(t->spec);
        if (!type || PyDict_SetItemString(namespace, t->name, type) < 0) return -1;
        if (t->kept) {
            *t->kept = (PyTypeObject *)type;
        } else {
            Py_DECREF(type);
        }
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
