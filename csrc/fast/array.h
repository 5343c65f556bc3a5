/* Array: all elements of one buffer, each operation on one of them by index.
 *
 * Nothing in it changes after tp_new, so threads share it without a lock. It takes the buffer
 * once (PyObject_GetBuffer), which keeps the memory alive and, where the exporter counts
 * exports, in place; the Python side (python/caffe2op/_core/buffers.py) has checked the layout
 * and says what is wrong in words, and tp_new refuses what would not be memory-safe.
 */
#ifndef C2_FAST_ARRAY_H
#define C2_FAST_ARRAY_H

typedef struct array {
    PyObject_HEAD const element *e;
    char *base;
    Py_ssize_t size;   /* elements, > 0 */
    int shift;         /* log2 of an element's bytes */
    PyObject *ndarray; /* the object that the buffer is of */
    PyObject *pin;     /* what keeps its memory in place (buffers.pin), or NULL */
    Py_buffer buffer;
} array;

/* ---- which element -------------------------------------------------------------------------- */

static COLD Py_ssize_t refuse_index(PyObject *index, Py_ssize_t size) {
    PyObject *text = text_of(index);
    if (text) {
        PyErr_Format(PyExc_IndexError, "index: %U is out of range; accepted: %zd..%zd", text, -size,
                     size - 1);
    }
    Py_XDECREF(text);
    return -1;
}

/* One index of an axis of `size`, negative from the end; -1 with an exception. */
static Py_ssize_t axis_index(PyObject *o, Py_ssize_t size) {
    int64_t i;
    const int fits = int_slow(o, &i, "index", "an int, or a tuple of ints");
    if (fits < 0) return -1;
    if (fits != 1 || i < -size || i >= size) return refuse_index(o, size);
    return (Py_ssize_t)(i < 0 ? i + size : i);
}

static COLD Py_ssize_t tuple_index(const array *a, PyObject *tuple) {
    const Py_ssize_t given = PyTuple_Size(tuple);
    if (given != a->buffer.ndim) {
        PyErr_Format(PyExc_IndexError,
                     "index: a tuple of %zd given; accepted: an int, or a tuple of "
                     "%d, one for each dimension",
                     given, a->buffer.ndim);
        return -1;
    }
    Py_ssize_t flat = 0;
    for (int k = 0; k < a->buffer.ndim; k++) {
        const Py_ssize_t i = axis_index(PyTuple_GetItem(tuple, k), a->buffer.shape[k]);
        if (i < 0) return -1;
        flat = flat * a->buffer.shape[k] + i;
    }
    return flat;
}

static COLD void *at_slow(const array *a, PyObject *index) {
    const Py_ssize_t i = PyTuple_Check(index) ? tuple_index(a, index) : axis_index(index, a->size);
    return i < 0 ? NULL : a->base + (i << a->shift);
}

/* The element's address; NULL with an exception. */
static inline void *at(const array *a, PyObject *index) {
    int64_t i;
    if (unlikely(!int_quick(index, &i))) return at_slow(a, index);
    if (i < 0) i += a->size;
    if (unlikely((uint64_t)i >= (uint64_t)a->size)) return at_slow(a, index);
    return a->base + (i << a->shift);
}

/* ---- the methods ---------------------------------------------------------------------------- */

SIGNATURES(array, 1)

/* Declares `order` and `p`, or returns NULL. */
#define ARRAY_BEGIN(name, values)                                                                  \
    const array *a = (const array *)self;                                                          \
    const int order = take(&array_##name##_s, values, args, nargs, kwnames);                       \
    if (unlikely(order < 0)) return NULL;                                                          \
    void *p = at(a, args[0]);                                                                      \
    if (unlikely(!p)) return NULL

static PyObject *array_load(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames) {
    ARRAY_BEGIN(load, 1);
    return a->e->load(p, order);
}

static PyObject *array_store(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                             PyObject *kwnames) {
    ARRAY_BEGIN(store, 2);
    if (unlikely(a->e->store(p, args[1], order) < 0)) return NULL;
    return shared(Py_None);
}

static PyObject *array_compare_exchange(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                                        PyObject *kwnames) {
    ARRAY_BEGIN(compare_exchange, 3);
    return a->e->compare_exchange(p, args[1], args[2], order);
}

#define ARRAY_FETCH(name, member)                                                                  \
    static const signature array_##name##_s = {#name, 2, {"order"}, ORDERS_ALL};                   \
    static PyObject *array_##name(PyObject *self, PyObject *const *args, Py_ssize_t nargs,         \
                                  PyObject *kwnames) {                                             \
        ARRAY_BEGIN(name, 2);                                                                      \
        return a->e->member(p, args[1], order);                                                    \
    }
C2_FETCH_METHODS(ARRAY_FETCH)

static PyObject *array_wait(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames) {
    const array *a = (const array *)self;
    PyObject *options[OPTIONS];
    if (take_options(&array_wait_s, args, nargs, kwnames, options) < 0) return NULL;
    const int order = options[1] ? order_from(options[1], &array_wait_s) : C2_SEQ_CST;
    void *p = order < 0 ? NULL : at(a, args[0]);
    return p ? element_wait(a->e, p, args[1], options[0], order) : NULL;
}

static PyObject *array_notify(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kwnames) {
    const array *a = (const array *)self;
    PyObject *options[OPTIONS];
    if (take_options(&array_notify_s, args, nargs, kwnames, options) < 0) return NULL;
    void *p = at(a, args[0]);
    return p ? element_notify(a->e, p, options[0]) : NULL;
}

/* ---- adding a whole array, where nothing is to be converted -------------------------------- */

/* (values, scale, threads), all but `values` exactly ints or floats, values an ndarray of the
 * array's dtype: which the caller (AtomicArray.add) has looked at. The status, or -1 when the
 * general way has to be taken, with nothing done: another shape or layout, memory in common, a
 * scale that does not fit. A call of 1e6 elements takes 70 us, the general checks of its arguments,
 * then out of the cache, 10. */
static PyObject *array_add_now(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    const array *a = (const array *)self;
    Py_buffer given;
    if (nargs != 3) {
        PyErr_SetString(PyExc_TypeError, "_add_now() takes values, scale and threads");
        return NULL;
    }
    const long threads = PyLong_AsLong(args[2]);
    _Alignas(8) char scale[8] = {0};
    if (PyErr_Occurred() || threads < 1 || threads > 1024 ||
        a->e->store(scale, args[1], C2_RELAXED) < 0 ||
        PyObject_GetBuffer(args[0], &given, PyBUF_C_CONTIGUOUS) < 0) {
        PyErr_Clear();
        return PyLong_FromLong(-1);
    }
    const char *from = given.buf;
    bool same = given.ndim == a->buffer.ndim && given.itemsize == a->e->size &&
                (uintptr_t)from % (uintptr_t)a->e->size == 0 &&
                (from + given.len <= a->base || a->base + a->buffer.len <= from);
    for (int k = 0; same && k < given.ndim; k++)
        same = given.shape[k] == a->buffer.shape[k];
    int status = -1;
    if (same) {
        PyThreadState *const save = PyEval_SaveThread();
        status = c2_dense_add_striped((int)(a->e - elements), a->base, from, scale, a->size,
                                      (int)threads, NULL, 0);
        PyEval_RestoreThread(save);
    }
    PyBuffer_Release(&given);
    return PyLong_FromLong(status);
}

/* ---- the type ------------------------------------------------------------------------------- */

static bool array_take_buffer(array *a, PyObject *ndarray, int dtype) {
    if (dtype < 0 || dtype >= C2_DTYPES) {
        PyErr_Format(PyExc_ValueError, "dtype: %d is no code of an element type", dtype);
        return false;
    }
    if (PyObject_GetBuffer(ndarray, &a->buffer, PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS) < 0) {
        a->buffer.obj = NULL;
        return false;
    }
    a->e = &elements[dtype];
    a->base = a->buffer.buf;
    a->size = a->buffer.len / a->e->size;
    while (1 << a->shift < a->e->size)
        a->shift++;
    if (a->buffer.itemsize != a->e->size || a->size == 0 ||
        (uintptr_t)a->base % (uintptr_t)a->e->size != 0) {
        PyErr_Format(PyExc_ValueError, "buffer: not an aligned array of at least one %s",
                     a->e->name);
        return false;
    }
    a->ndarray = ndarray;
    Py_INCREF(ndarray);
    return true;
}

static PyObject *array_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *ndarray, *pin = NULL;
    int dtype;
    if (kwargs && PyDict_Size(kwargs) > 0) {
        PyErr_SetString(PyExc_TypeError, "Array() takes its arguments by position");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "Oi|O", &ndarray, &dtype, &pin)) return NULL;
    array *a = (array *)PyType_GenericAlloc(type, 0);
    if (!a) return NULL;
    if (!array_take_buffer(a, ndarray, dtype)) {
        Py_DECREF(a);
        return NULL;
    }
    Py_XINCREF(pin);
    a->pin = pin;
    return (PyObject *)a;
}

/* No tp_clear: what an array refers to never changes, as with a tuple; a cycle is broken at
 * another of its members, and no call can meet an array whose memory is gone. */
static int array_traverse(PyObject *self, visitproc visit, void *arg) {
    const array *a = (const array *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(a->ndarray);
    Py_VISIT(a->pin);
    Py_VISIT(a->buffer.obj);
    return 0;
}

static void array_dealloc(PyObject *self) {
    array *a = (array *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    PyBuffer_Release(&a->buffer);
    Py_XDECREF(a->ndarray);
    Py_XDECREF(a->pin);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

/* A view of its own each time: whoever assigns to its dtype, shape or strides must not change what
 * the bulk operations take for the array's. */
static PyObject *array_array(PyObject *self, void *closure) {
    return PyObject_CallMethod(((const array *)self)->ndarray, "view", NULL);
}

static PyObject *array_whole(PyObject *self, void *closure) {
    PyObject *ndarray = ((const array *)self)->ndarray;
    Py_INCREF(ndarray);
    return ndarray;
}

static PyObject *array_size(PyObject *self, void *closure) {
    return int_to(((const array *)self)->size);
}

static PyGetSetDef array_getset[] = {
    {"array", array_array, NULL, "The memory itself, as a NumPy array: a new view each time.",
     NULL},
    {"_whole", array_whole, NULL, "The array that the operations work on; not to be handed out.",
     NULL},
    {"size", array_size, NULL, "How many elements.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyObject *array_cell(PyObject *self, PyObject *index); /* cell.h */
static PyObject *array_init_subclass(PyObject *cls, PyObject *unused);

#define W                                "index, "
#define ARRAY_FETCH_METHOD(name, member) METHOD(#name, array_##name, DOC_##name(W)),
static PyMethodDef array_methods[] = {
    METHOD("load", array_load, DOC_LOAD(W)),
    METHOD("store", array_store, DOC_STORE(W)),
    METHOD("compare_exchange", array_compare_exchange, DOC_COMPARE_EXCHANGE(W)),
    C2_FETCH_METHODS(ARRAY_FETCH_METHOD) /* exchange, fetch_add .. fetch_max */
    METHOD("wait", array_wait, DOC_WAIT(W)),
    METHOD("notify", array_notify, DOC_NOTIFY(W)),
    {"cell", array_cell, METH_O,
     DOC_SIGNATURE("cell", W "/") "The element as an object of its own: the fastest way to a "
                                  "scalar that is used often."},
    {"_add_now", (PyCFunction)(void (*)(void))array_add_now, METH_FASTCALL, NULL},
    {"__reduce__", refuse_pickle, METH_NOARGS, NULL},
    {"__init_subclass__", array_init_subclass, METH_NOARGS | METH_CLASS, NULL},
    {NULL, NULL, 0, NULL},
};
#undef W

static PyObject *array_init_subclass(PyObject *cls, PyObject *unused) {
    return adopt_all(cls, array_methods);
}

static PyType_Slot array_slots[] = {
    {Py_tp_new, array_new},
    {Py_tp_dealloc, array_dealloc},
    {Py_tp_traverse, array_traverse},
    {Py_tp_methods, array_methods},
    {Py_tp_getset, array_getset},
    {Py_tp_doc, "Atomic operations on each element of a buffer. See caffe2op.atomics.AtomicArray."},
    {0, NULL},
};

static PyType_Spec array_spec = {
    "caffe2op._core.fast.Array",
    sizeof(array),
    0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    array_slots,
};

#endif
