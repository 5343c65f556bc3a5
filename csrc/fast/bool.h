/* Bool: an atomic flag in one byte of anybody's memory. It is a cell of dtype bool, with the
 * operations that a flag has.
 */
#ifndef C2_FAST_BOOL_H
#define C2_FAST_BOOL_H

static const signature bool_test_and_set_s = {"test_and_set", 0, {"order"}, ORDERS_ALL};
static const signature bool_clear_s = {"clear", 0, {"order"}, ORDERS_STORE};
static const signature bool_set_if_s = {"set_if", 1, {"order"}, ORDERS_ALL};

static PyObject *bool_test_and_set(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                                   PyObject *kwnames) {
    const int order = take(&bool_test_and_set_s, 0, args, nargs, kwnames);
    if (unlikely(order < 0)) return NULL;
    return b8_to(c2_b8_exchange(((const cell *)self)->p, true, order));
}

static PyObject *bool_clear(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames) {
    const int order = take(&bool_clear_s, 0, args, nargs, kwnames);
    if (unlikely(order < 0)) return NULL;
    c2_b8_store(((const cell *)self)->p, false, order);
    return shared(Py_None);
}

/* A condition that does not hold touches nothing. */
static PyObject *bool_set_if(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                             PyObject *kwnames) {
    const int order = take(&bool_set_if_s, 1, args, nargs, kwnames);
    if (unlikely(order < 0)) return NULL;
    const int holds = PyObject_IsTrue(args[0]);
    if (unlikely(holds < 0)) return NULL;
    return b8_to(holds && !c2_b8_exchange(((const cell *)self)->p, true, order));
}

static int bool_truth(PyObject *self) {
    return c2_b8_load(((const cell *)self)->p, C2_SEQ_CST);
}

static PyObject *bool_repr(PyObject *self) {
    return PyUnicode_FromFormat("<atomic bool: %s>", bool_truth(self) ? "True" : "False");
}

/* Bool(array): element 0 of an Array of dtype bool that has one element. */
static PyObject *bool_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *owner;
    if (!PyArg_ParseTuple(args, "O!", array_type, &owner)) return NULL;
    const array *a = (const array *)owner;
    if (a->e != &elements[C2_BOOL] || a->size != 1) {
        PyErr_Format(PyExc_ValueError, "buffer: %zd elements of %s given; accepted: one bool",
                     a->size, a->e->name);
        return NULL;
    }
    return cell_make(type, owner, NULL);
}

static PyObject *bool_init_subclass(PyObject *cls, PyObject *unused);

#define W ""
static PyMethodDef bool_methods[] = {
    METHOD("load", cell_load, DOC_LOAD(W)),
    METHOD("store", cell_store, DOC_STORE(W)),
    METHOD("compare_exchange", cell_compare_exchange, DOC_COMPARE_EXCHANGE(W)),
    METHOD("test_and_set", bool_test_and_set,
           DOC_SIGNATURE("test_and_set",
                         "/, order='seq_cst'") "Set it; returns the value before: False for the "
                                               "one caller that set it.\n\n" DOC_ORDER_ALL),
    METHOD("clear", bool_clear,
           DOC_SIGNATURE("clear",
                         "/, order='seq_cst'") "Make it false.\n\norder: \"relaxed\", \"release\" "
                                               "or \"seq_cst\". Never blocks; keeps "
                                               "the GIL."),
    METHOD(
        "set_if", bool_set_if,
        DOC_SIGNATURE("set_if",
                      "condition, /, order='seq_cst'") "Set it if `condition` is true, and leave "
                                                       "it alone otherwise; never clears.\n\n"
                                                       "True when this call changed it from false "
                                                       "to true. " DOC_ORDER_ALL),
    METHOD("wait", cell_wait, DOC_WAIT(W)),
    METHOD("notify", cell_notify, DOC_NOTIFY(W)),
    {"__reduce__", refuse_pickle, METH_NOARGS, NULL},
    {"__init_subclass__", bool_init_subclass, METH_NOARGS | METH_CLASS, NULL},
    {NULL, NULL, 0, NULL},
};
#undef W

static PyObject *bool_init_subclass(PyObject *cls, PyObject *unused) {
    return adopt_all(cls, bool_methods);
}

static PyType_Slot bool_slots[] = {
    {Py_tp_new, bool_new},
    {Py_tp_dealloc, cell_dealloc},
    {Py_tp_traverse, cell_traverse},
    {Py_tp_repr, bool_repr},
    {Py_nb_bool, bool_truth},
    {Py_tp_methods, bool_methods},
    {Py_tp_doc, "An atomic flag in one byte. See caffe2op.atomics.AtomicBool."},
    {0, NULL},
};

static PyType_Spec bool_spec = {
    "caffe2op._core.fast.Bool",
    sizeof(cell),
    0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    bool_slots,
};

#endif
