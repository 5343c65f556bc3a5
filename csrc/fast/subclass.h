/* Python classes derived from these types, at full speed.
 *
 * CPython's specialised calls check that an object's type is exactly the one that its method
 * belongs to. Inherited methods fail that check and take the general path, which costs about as
 * much as the operation itself. So a subclass gets method objects of its own, for every method
 * that no class between has replaced.
 */
#ifndef C2_FAST_SUBCLASS_H
#define C2_FAST_SUBCLASS_H

static int adopt(PyObject *cls, PyMethodDef *method) {
    PyObject *found = PyObject_GetAttrString(cls, method->ml_name);
    if (!found) return -1;
    PyObject *own = PyDescr_NewMethod((PyTypeObject *)cls, method);
    int failed = own ? 0 : -1;
    /* A replacement in Python is a function or whatever else, not such a descriptor. */
    if (own && Py_TYPE(found) == Py_TYPE(own)) {
        failed = PyObject_SetAttrString(cls, method->ml_name, own);
    }
    Py_XDECREF(own);
    Py_DECREF(found);
    return failed;
}

/* The body of __init_subclass__ for a type with these methods. */
static PyObject *adopt_all(PyObject *cls, PyMethodDef *methods) {
    for (PyMethodDef *m = methods; m->ml_name; m++) {
        if (m->ml_name[0] != '_' && adopt(cls, m) < 0) return NULL;
    }
    return shared(Py_None);
}

/* __reduce__ of all of them: the memory is this process's own. */
static PyObject *refuse_pickle(PyObject *self, PyObject *unused) {
    PyObject *name = PyType_GetName(Py_TYPE(self));
    if (!name) return NULL;
    PyErr_Format(PyExc_TypeError,
                 "%U cannot be pickled or copied: it is a view of this process's memory. To share "
                 "it with another process, make it in named shared memory: what "
                 "SharedArray.atomic(), boolean() and mutex() give can be pickled; take a cell "
                 "from the array once it has arrived.",
                 name);
    Py_DECREF(name);
    return NULL;
}

#endif
