/* Operator: a Python function of (inputs, outputs) as an operator of a net; and View, what the
 * function sees of a blob.
 *
 * A function gets two lists of views, which are of use during its call only. They are made once,
 * not in each call: when the call has ended and nobody but the operator refers to them, to the
 * lists or to what they hold, then nobody can tell them from new ones, and the next call gets them
 * again. Whoever keeps a view, or has changed a list, keeps what it has: the views are closed for
 * ever then, and the next call gets others. Calls of one operator that overlap (runs at the same
 * time, a run inside the operator) each have views of their own, and the first to end leaves its to
 * the next call. Where there is no GIL a count of references does not say who refers: there they
 * are always new.
 *
 * A view also keeps the array that it gave last, if that is small, and gives further views of it as
 * long as the blob is the same tensor on the same memory, which cannot be another one's meanwhile
 * because the array keeps it. Large arrays are not kept: their memory is to be free when the blob
 * goes on to another, and making an array is nothing to what is done with it.
 */
#ifndef C2_FAST_PYTHON_OPERATOR_H
#define C2_FAST_PYTHON_OPERATOR_H

#include "blob.h"
#include "kernel.h"

enum { MOST_KEPT = 1 << 16 }; /* bytes of a tensor whose array is kept */

typedef struct view {
    PyObject_HEAD PyObject *blob; /* NULL: closed for ever */
    c2_blob *c;                   /* its */
    PyObject *array;              /* NULL, or all of `tensor` */
    c2_tensor tensor;
    int open; /* during a call; only changed by the thread that makes it */
} view;

static int is_open(const view *v) {
    if (likely(v->open)) return 1;
    PyErr_SetString(PyExc_RuntimeError,
                    "an input or output of a Python operator was used after the call");
    return 0;
}

/* The array that was kept, or NULL: borrowed, no exception. Inside the operator's guard. */
static PyObject *kept_array(view *v) {
    if (!v->array) return NULL;
    const c2_tensor *now = c2_blob_tensor(v->c);
    if (likely(now && c2_tensor_same(now, &v->tensor))) return v->array;
    Py_CLEAR(v->array);
    return NULL;
}

static PyObject *view_get_blob(PyObject *self, void *unused) {
    const view *v = (const view *)self;
    if (!is_open(v)) return NULL;
    Py_INCREF(v->blob);
    return v->blob;
}

static PyObject *view_get_data(PyObject *self, void *unused) {
    static PyObject *look, *again;
    view *v = (view *)self;
    if (!is_open(v)) return NULL;
    if (!look && (!(look = PyUnicode_InternFromString("_look")) ||
                  !(again = PyUnicode_InternFromString("view"))))
        return NULL;
    PyObject *const array = kept_array(v);
    /* Another object each time: what the function does to it, its shape say, is nobody else's. */
    if (!array) return PyObject_CallMethodObjArgs(self, look, NULL);
    Py_INCREF(array);
    PyObject *const result = PyObject_CallMethodObjArgs(array, again, NULL);
    Py_DECREF(array);
    return result;
}

static PyObject *view_get_array(PyObject *self, void *unused) {
    view *v = (view *)self;
    if (!is_open(v)) return NULL;
    PyObject *const array = kept_array(v);
    if (!array) return shared(Py_None);
    Py_INCREF(array);
    return array;
}

/* _keep(tensor, array): the address of the c2_tensor that it is an array of. Inside the guard. */
static PyObject *view_keep(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    view *v = (view *)self;
    if (nargs != 2) {
        PyErr_SetString(PyExc_TypeError, "_keep() takes a tensor and its array");
        return NULL;
    }
    const c2_tensor *tensor = PyLong_AsVoidPtr(args[0]);
    if (!tensor && PyErr_Occurred()) return NULL;
#ifndef Py_GIL_DISABLED /* there, two threads of the function could take it from each other */
    if (tensor->size * c2_itemsize(tensor->dtype) <= MOST_KEPT) {
        PyObject *const before = v->array;
        v->tensor = *tensor;
        Py_INCREF(args[1]);
        v->array = args[1];
        Py_XDECREF(before);
    }
#endif
    return shared(Py_None);
}

static void view_dealloc(PyObject *self) {
    view *v = (view *)self;
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(v->blob);
    Py_XDECREF(v->array);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyGetSetDef view_getset[] = {
    {"data", view_get_data, NULL,
     "The elements, as a NumPy array on the blob's own memory: writing to it writes the blob. For "
     "a blob that is no tensor, what FetchBlob gives. ValueError when the blob is empty.",
     NULL},
    {"_blob", view_get_blob, NULL, "The blob; RuntimeError after the call.", NULL},
    {"_array", view_get_array, NULL, "An array of the tensor as it is, or None: not kept.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef view_methods[] = {
    {"_keep", (PyCFunction)(void (*)(void))view_keep, METH_FASTCALL, NULL},
    {"__reduce__", refuse_pickle, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

/* Nothing to traverse: it refers to a Blob and an array of NumPy's, which refer to no view. */
static PyType_Slot view_slots[] = {
    {Py_tp_dealloc, view_dealloc},
    {Py_tp_getset, view_getset},
    {Py_tp_methods, view_methods},
    {Py_tp_doc, "A blob during a call. See caffe2op.workspace.BlobView."},
    {0, NULL},
};

static PyType_Spec view_spec = {
    "caffe2op._core.fast.View",
    sizeof(view),
    0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    view_slots,
};

/* ---- the operator ---- */

/* What one call is given: two lists, and the same views once more, as the lists may be changed. */
typedef struct given {
    PyObject *inputs, *outputs;
    view *views[];
} given;

typedef struct python_operator {
    PyObject_HEAD PyObject *function, *view_type;
    PyObject *blobs; /* a tuple: the inputs, then the outputs */
    c2_blob **c;     /* theirs */
    Py_ssize_t n, n_in;
    given *spare; /* NULL, or for the next call */
} python_operator;

static PyTypeObject *python_operator_type;

static void given_free(given *g, Py_ssize_t n) {
    Py_XDECREF(g->inputs);
    Py_XDECREF(g->outputs);
    for (Py_ssize_t k = 0; k < n && g->views[k]; k++) {
        view *const v = g->views[k]; /* the user may have it */
        Py_CLEAR(v->blob);
        Py_CLEAR(v->array);
        Py_DECREF((PyObject *)v);
    }
    PyMem_Free(g);
}

static COLD given *given_new(const python_operator *o) {
    given *g = PyMem_Calloc(1, sizeof *g + (size_t)o->n * sizeof g->views[0]);
    if (!g) return (given *)PyErr_NoMemory();
    g->inputs = PyList_New(o->n_in);
    g->outputs = PyList_New(o->n - o->n_in);
    for (Py_ssize_t k = 0; k < o->n && g->inputs && g->outputs; k++) {
        view *v = (view *)PyType_GenericAlloc((PyTypeObject *)o->view_type, 0);
        if (!v) break;
        v->blob = PyTuple_GetItem(o->blobs, k);
        Py_INCREF(v->blob);
        v->c = o->c[k];
        g->views[k] = v;
        Py_INCREF((PyObject *)v); /* one for the list, one for g */
        if (k < o->n_in)
            PyList_SetItem(g->inputs, k, (PyObject *)v);
        else
            PyList_SetItem(g->outputs, k - o->n_in, (PyObject *)v);
    }
    if (!PyErr_Occurred()) return g;
    given_free(g, o->n);
    return NULL;
}

/* What the last call has left, which is nobody else's from now on, or NULL. With the GIL. */
static given *spare_of(python_operator *o) {
#ifdef Py_GIL_DISABLED
    return NULL; /* there is none */
#else
    given *const g = o->spare;
    o->spare = NULL;
    return g;
#endif
}

/* Whether the operator alone refers to all of it, and the lists are what they were. */
static int untouched(const given *g, Py_ssize_t n, Py_ssize_t n_in) {
#ifdef Py_GIL_DISABLED
    return 0;
#else
    if (Py_REFCNT(g->inputs) != 1 || PyList_Size(g->inputs) != n_in) return 0;
    if (Py_REFCNT(g->outputs) != 1 || PyList_Size(g->outputs) != n - n_in) return 0;
    for (Py_ssize_t k = 0; k < n; k++) {
        PyObject *const v = (PyObject *)g->views[k];
        PyObject *const there =
            k < n_in ? PyList_GetItem(g->inputs, k) : PyList_GetItem(g->outputs, k - n_in);
        if (v != there || Py_REFCNT(v) != 2) return 0;
    }
    return 1;
#endif
}

/* With the GIL. A status; -1 and an exception, which the function raised. */
static int operator_call(python_operator *o) {
    given *g = spare_of(o);
    if (unlikely(!g) && !(g = given_new(o))) return -1;
    for (Py_ssize_t k = 0; k < o->n; k++)
        g->views[k]->open = 1;
    PyObject *const result = PyObject_CallFunctionObjArgs(o->function, g->inputs, g->outputs, NULL);
    for (Py_ssize_t k = 0; k < o->n; k++)
        g->views[k]->open = 0;
    int status = -1;
    PyObject *type = NULL, *value = NULL, *trace = NULL;
    if (likely(result != NULL)) {
        /* Only a bool can say no: None, 0 or an empty list are what functions happen to return. */
        const int no = result == Py_False ||
                       (result != Py_None && is_numpy_bool(result) && !PyObject_IsTrue(result));
        status = no ? C2_FAILED : C2_OK;
        Py_DECREF(result);
    } else {
        PyErr_Fetch(&type, &value, &trace);
    }
    if (likely(untouched(g, o->n, o->n_in) && !o->spare))
        o->spare = g;
    else
        given_free(g, o->n);
    if (unlikely(!result)) PyErr_Restore(type, value, trace);
    return status;
}

/* Operator(function, view type, blobs, addresses of their c2_blobs, how many of them are inputs):
 * two lists. */
static PyObject *operator_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *function, *view_type, *blobs, *addresses;
    Py_ssize_t n_in;
    if (!PyArg_ParseTuple(args, "OOO!O!n", &function, &view_type, &PyList_Type, &blobs,
                          &PyList_Type, &addresses, &n_in))
        return NULL;
    const Py_ssize_t n = PyList_Size(blobs);
    if (PyList_Size(addresses) != n || n_in < 0 || n_in > n) {
        PyErr_SetString(PyExc_ValueError, "an address for each blob, and at most as many inputs");
        return NULL;
    }
    python_operator *o = (python_operator *)PyType_GenericAlloc(type, 0);
    if (!o) return NULL;
    o->n = n;
    o->n_in = n_in;
    Py_INCREF(function);
    o->function = function;
    Py_INCREF(view_type);
    o->view_type = view_type;
    o->blobs = PyList_AsTuple(blobs);
    o->c = PyMem_Calloc((size_t)n + 1, sizeof *o->c);
    if (!o->c) PyErr_NoMemory();
    for (Py_ssize_t k = 0; k < n && o->c; k++)
        o->c[k] = PyLong_AsVoidPtr(PyList_GetItem(addresses, k));
    if (PyErr_Occurred()) {
        Py_DECREF((PyObject *)o);
        return NULL;
    }
    return (PyObject *)o;
}

static int operator_traverse(PyObject *self, visitproc visit, void *arg) {
    const python_operator *o = (const python_operator *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(o->function);
    Py_VISIT(o->view_type);
    Py_VISIT(o->blobs);
    return 0; /* the views of a spare refer to nothing else */
}

static void operator_dealloc(PyObject *self) {
    python_operator *o = (python_operator *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (o->spare) given_free(o->spare, o->n);
    Py_XDECREF(o->function);
    Py_XDECREF(o->view_type);
    Py_XDECREF(o->blobs);
    PyMem_Free(o->c);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyMethodDef operator_methods[] = {
    {"__reduce__", refuse_pickle, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot operator_slots[] = {
    {Py_tp_new, operator_new},
    {Py_tp_dealloc, operator_dealloc},
    {Py_tp_traverse, operator_traverse},
    {Py_tp_methods, operator_methods},
    {Py_tp_doc, "A Python operator of a net. See caffe2op.workspace.python_calls."},
    {0, NULL},
};

static PyType_Spec operator_spec = {
    "caffe2op._core.fast.Operator",
    sizeof(python_operator),
    0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    operator_slots,
};

#endif
