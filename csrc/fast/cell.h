/* Cell: one element as an object of its own, with its address and its row of operations.
 *
 * It refers to its array, which holds the memory. Nothing in it changes after tp_new.
 */
#ifndef C2_FAST_CELL_H
#define C2_FAST_CELL_H

typedef struct cell {
    PyObject_HEAD const element *e;
    void *p;
    PyObject *owner; /* an array */
} cell;

SIGNATURES(cell, 0)

/* Declares `order` and `c`, or returns NULL. */
#define CELL_BEGIN(name, values)                                                                   \
    const cell *c = (const cell *)self;                                                            \
    const int order = take(&cell_##name##_s, values, args, nargs, kwnames);                        \
    if (unlikely(order < 0)) return NULL

static PyObject *cell_load(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                           PyObject *kwnames) {
    CELL_BEGIN(load, 0);
    return c->e->load(c->p, order);
}

static PyObject *cell_store(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames) {
    CELL_BEGIN(store, 1);
    if (unlikely(c->e->store(c->p, args[0], order) < 0)) return NULL;
    return shared(Py_None);
}

static PyObject *cell_compare_exchange(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                                       PyObject *kwnames) {
    CELL_BEGIN(compare_exchange, 2);
    return c->e->compare_exchange(c->p, args[0], args[1], order);
}

#define CELL_FETCH(name, member)                                                                   \
    static const signature cell_##name##_s = {#name, 1, {"order"}, ORDERS_ALL};                    \
    static PyObject *cell_##name(PyObject *self, PyObject *const *args, Py_ssize_t nargs,          \
                                 PyObject *kwnames) {                                              \
        CELL_BEGIN(name, 1);                                                                       \
        return c->e->member(c->p, args[0], order);                                                 \
    }
C2_FETCH_METHODS(CELL_FETCH)

static PyObject *cell_wait(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                           PyObject *kwnames) {
    const cell *c = (const cell *)self;
    PyObject *options[OPTIONS];
    if (take_options(&cell_wait_s, args, nargs, kwnames, options) < 0) return NULL;
    const int order = options[1] ? order_from(options[1], &cell_wait_s) : C2_SEQ_CST;
    return order < 0 ? NULL : element_wait(c->e, c->p, args[0], options[0], order);
}

static PyObject *cell_notify(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                             PyObject *kwnames) {
    const cell *c = (const cell *)self;
    PyObject *options[OPTIONS];
    if (take_options(&cell_notify_s, args, nargs, kwnames, options) < 0) return NULL;
    return element_notify(c->e, c->p, options[0]);
}

static PyObject *cell_get_value(PyObject *self, void *closure) {
    const cell *c = (const cell *)self;
    return c->e->load(c->p, C2_SEQ_CST);
}

static int cell_set_value(PyObject *self, PyObject *value, void *closure) {
    const cell *c = (const cell *)self;
    if (!value) {
        PyErr_SetString(PyExc_AttributeError, "value: cannot be deleted");
        return -1;
    }
    return c->e->store(c->p, value, C2_SEQ_CST);
}

/* ---- the type ------------------------------------------------------------------------------- */

static PyTypeObject *array_type, *cell_type; /* published in fast.c; kept for good */

static PyObject *cell_make(PyTypeObject *type, PyObject *owner, PyObject *index) {
    const array *a = (const array *)owner;
    void *p = index ? at(a, index) : a->base;
    if (!p) return NULL;
    cell *c = (cell *)PyType_GenericAlloc(type, 0);
    if (!c) return NULL;
    c->e = a->e;
    c->p = p;
    Py_INCREF(owner);
    c->owner = owner;
    return (PyObject *)c;
}

/* Array's method. */
static PyObject *array_cell(PyObject *self, PyObject *index) {
    return cell_make(cell_type, self, index);
}

static PyObject *cell_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyErr_SetString(PyExc_TypeError, "a cell is made by its array: AtomicArray.cell(index)");
    return NULL;
}

static int cell_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((const cell *)self)->owner);
    return 0;
}

static void cell_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_XDECREF(((cell *)self)->owner);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyObject *cell_repr(PyObject *self) {
    const cell *c = (const cell *)self;
    PyObject *value = c->e->load(c->p, C2_SEQ_CST);
    PyObject *text = value ? PyUnicode_FromFormat("<cell of %s: %R>", c->e->name, value) : NULL;
    Py_XDECREF(value);
    return text;
}

static PyGetSetDef cell_getset[] = {
    {"value", cell_get_value, cell_set_value, "The value: read by load(), set by store().", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

#define W                               ""
#define CELL_FETCH_METHOD(name, member) METHOD(#name, cell_##name, DOC_##name(W)),
static PyMethodDef cell_methods[] = {
    METHOD("load", cell_load, DOC_LOAD(W)),
    METHOD("store", cell_store, DOC_STORE(W)),
    METHOD("compare_exchange", cell_compare_exchange, DOC_COMPARE_EXCHANGE(W)),
    C2_FETCH_METHODS(CELL_FETCH_METHOD) /* exchange, fetch_add .. fetch_max */
    METHOD("wait", cell_wait, DOC_WAIT(W)),
    METHOD("notify", cell_notify, DOC_NOTIFY(W)),
    {"__reduce__", refuse_pickle, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};
#undef W

static PyType_Slot cell_slots[] = {
    {Py_tp_new, cell_new},
    {Py_tp_dealloc, cell_dealloc},
    {Py_tp_traverse, cell_traverse},
    {Py_tp_repr, cell_repr},
    {Py_tp_methods, cell_methods},
    {Py_tp_getset, cell_getset},
    {Py_tp_doc, "One element of an AtomicArray: made by its cell(index)."},
    {0, NULL},
};

static PyType_Spec cell_spec = {
    "caffe2op.atomics.Cell", sizeof(cell), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, cell_slots,
};

#endif
