/* Mutex: a robust lock in 8 bytes of anybody's memory (csrc/mutex.h), as a context manager.
 *
 * Taking a free lock keeps the GIL. A lock that another process holds is looked at for a few
 * microseconds with the GIL kept, since giving it away costs more than that while another thread
 * computes; one that a thread of this process holds is not, since that thread may need the GIL to
 * go on. Only then is the GIL released, and the wait goes in slices, so that a signal whose
 * handler is Python code (Ctrl-C) is served soon even when another thread received it.
 */
#ifndef C2_FAST_MUTEX_TYPE_H
#define C2_FAST_MUTEX_TYPE_H

#include "mutex.h"

#define SIGNALS_EVERY_NS INT64_C(100000000)
#define FOREVER_NS       INT64_C(-1)

/* Constant after mutex_init. */
static PyObject *owner_died_error;

static int mutex_init(PyObject *namespace) {
    owner_died_error = PyDict_GetItemString(namespace, "OwnerDiedError"); /* borrowed: */
    Py_XINCREF(owner_died_error);                                         /* kept for good */
    if (!owner_died_error) PyErr_SetString(PyExc_SystemError, "OwnerDiedError is missing");
    return owner_died_error ? 0 : -1;
}

static inline _Atomic uint64_t *mutex_word(PyObject *self) {
    return ((const cell *)self)->p;
}

/* 1 taken, 0 not in time, -1 an exception: the lock is held only where it is OwnerDiedError. */
static int mutex_outcome(int status) {
    switch (status) {
    case C2_OK: return 1;
    case C2_BUSY:
    case C2_TIMEOUT: return 0;
    case C2_OWNER_DIED:
        PyErr_SetString(owner_died_error,
                        "acquire: the last owner of this mutex died while it held it. The mutex IS "
                        "NOW HELD by this thread; what it protects may be half changed: repair "
                        "that, then release()");
        return -1;
    case C2_DEADLOCK:
        PyErr_SetString(PyExc_RuntimeError,
                        "acquire: this thread holds the mutex already, and would wait for ever");
        return -1;
    default: PyErr_Format(PyExc_OSError, "acquire: unexpected status %d", status); return -1;
    }
}

/* The fast attempt has failed. nanoseconds: 0 tries, FOREVER_NS waits for ever. */
static COLD int mutex_acquire_slow(_Atomic uint64_t *word, int64_t nanoseconds) {
    if (nanoseconds == 0) return mutex_outcome(c2_mutex_lock(word, 0));
    if (mutex_is_mine(word) && nanoseconds == FOREVER_NS) return mutex_outcome(C2_DEADLOCK);
    if (!mutex_is_ours(word) && c2_mutex_spin(word)) return 1;
    const int64_t deadline = deadline_from(nanoseconds);
    for (;;) {
        const int64_t left = deadline - c2_os_now();
        const int64_t slice = left < 1 ? 1 : left < SIGNALS_EVERY_NS ? left : SIGNALS_EVERY_NS;
        int status;
        Py_BEGIN_ALLOW_THREADS status = c2_mutex_lock_slow(word, slice);
        Py_END_ALLOW_THREADS if (status != C2_TIMEOUT && status != C2_INTERRUPTED) {
            return mutex_outcome(status);
        }
        if (PyErr_CheckSignals() < 0) return -1;
        if (status == C2_TIMEOUT && left <= SIGNALS_EVERY_NS) return 0;
    }
}

static inline int mutex_acquire_ns(PyObject *self, int64_t nanoseconds) {
    _Atomic uint64_t *word = mutex_word(self);
    return likely(mutex_take(word)) ? 1 : mutex_acquire_slow(word, nanoseconds);
}

/* Seconds as threading.Lock takes them, as nanoseconds; -2 with an exception. */
static COLD int64_t mutex_timeout_from(PyObject *o, int blocking) {
    const double seconds = PyFloat_AsDouble(o);
    if (seconds == -1.0) {
        if (!PyErr_Occurred()) return blocking ? FOREVER_NS : 0;
        if (PyErr_ExceptionMatches(PyExc_TypeError)) {
            PyErr_Clear();
            refuse_type(o, "timeout", "seconds >= 0, or -1 to wait for ever");
        }
        return -2;
    }
    if (!blocking) {
        PyErr_SetString(PyExc_ValueError, "timeout: a call with blocking=False does not wait; "
                                          "accepted: no timeout with it");
    } else if (!(seconds >= 0)) { /* a NaN too */
        PyErr_Format(PyExc_ValueError,
                     "timeout: %R given; accepted: seconds >= 0, or -1 to wait for ever", o);
    } else if (seconds > 9.2e9) {
        PyErr_Format(PyExc_OverflowError,
                     "timeout: %R given; accepted: up to 9.2e9 seconds, or -1 to wait for ever", o);
    } else {
        /* Rounded up: a wait is never shorter than what was asked for. */
        return (int64_t)ceil(seconds * 1e9);
    }
    return -2;
}

static const signature mutex_acquire_s = {"acquire", 0, {"blocking", "timeout"}, "", 0};

static PyObject *mutex_acquire(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                               PyObject *kwnames) {
    int64_t nanoseconds = FOREVER_NS;
    if (unlikely(nargs || kwnames)) {
        PyObject *options[OPTIONS];
        if (take_options(&mutex_acquire_s, args, nargs, kwnames, options) < 0) return NULL;
        const int blocking = options[0] ? PyObject_IsTrue(options[0]) : 1;
        if (blocking < 0) return NULL;
        if (!blocking) nanoseconds = 0;
        if (options[1]) nanoseconds = mutex_timeout_from(options[1], blocking);
        if (nanoseconds < FOREVER_NS) return NULL;
    }
    const int taken = mutex_acquire_ns(self, nanoseconds);
    return taken < 0 ? NULL : b8_to(taken);
}

static PyObject *mutex_enter(PyObject *self, PyObject *unused) {
    const int taken = mutex_acquire_ns(self, FOREVER_NS);
    return taken < 0 ? NULL : b8_to(taken);
}

static COLD PyObject *mutex_refuse_release(_Atomic uint64_t *word) {
    PyErr_SetString(PyExc_RuntimeError, load_rlx(word) == 0
                                            ? "release: the mutex is not locked"
                                            : "release: the mutex is held by another thread or "
                                              "process; accepted: from the thread that took it");
    return NULL;
}

static PyObject *mutex_release(PyObject *self, PyObject *unused) {
    _Atomic uint64_t *word = mutex_word(self);
    if (unlikely(mutex_give(word) != C2_OK)) return mutex_refuse_release(word);
    return shared(Py_None);
}

static PyObject *mutex_exit(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    return mutex_release(self, NULL);
}

static PyObject *mutex_locked(PyObject *self, PyObject *unused) {
    return b8_to(c2_mutex_locked(mutex_word(self)));
}

static PyObject *mutex_repr(PyObject *self) {
    _Atomic uint64_t *word = mutex_word(self);
    return PyUnicode_FromFormat("<mutex: %s>", mutex_is_mine(word)     ? "held by this thread"
                                               : c2_mutex_locked(word) ? "locked"
                                                                       : "unlocked");
}

/* Mutex(array): an Array of one uint64. */
static PyObject *mutex_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *owner;
    if (!PyArg_ParseTuple(args, "O!", array_type, &owner)) return NULL;
    const array *a = (const array *)owner;
    if (a->e != &elements[C2_UINT64] || a->size != 1) {
        PyErr_Format(PyExc_ValueError, "buffer: %zd elements of %s given; accepted: one uint64",
                     a->size, a->e->name);
        return NULL;
    }
    return cell_make(type, owner, NULL);
}

static PyObject *mutex_init_subclass(PyObject *cls, PyObject *unused);

static PyMethodDef mutex_methods[] = {
    METHOD("acquire", mutex_acquire,
           DOC_SIGNATURE("acquire", "blocking=True, timeout=-1") //
           "Take the mutex: True, or False when it could not be had without waiting "
           "(blocking=False) or within `timeout` seconds. -1 waits for ever.\n\n"
           "Waits without the GIL; signal handlers run. OwnerDiedError: the last owner died while "
           "it held the mutex, and the caller HOLDS IT NOW. It is raised to one caller, from "
           "blocking=False too. RuntimeError when the calling thread holds the mutex already and "
           "would wait for ever; ValueError for a negative timeout other than -1, or one together "
           "with blocking=False; OverflowError for more than 9.2e9 seconds."),
    {"release", mutex_release, METH_NOARGS,
     DOC_SIGNATURE("release", "") //
     "Give the mutex back. RuntimeError, and nothing changed, from a thread that does not hold "
     "it. Never blocks; keeps the GIL."},
    {"locked", mutex_locked, METH_NOARGS,
     DOC_SIGNATURE("locked", "") //
     "True while somebody holds the mutex, or died with it. Old as soon as it is known."},
    {"__enter__", mutex_enter, METH_NOARGS,
     DOC_SIGNATURE("__enter__", "") "acquire(), so True; errors as there."},
    {"__exit__", (PyCFunction)(void (*)(void))mutex_exit, METH_FASTCALL,
     DOC_SIGNATURE("__exit__", "*args") "release()."},
    {"__reduce__", refuse_pickle, METH_NOARGS, NULL},
    {"__init_subclass__", mutex_init_subclass, METH_NOARGS | METH_CLASS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyObject *mutex_init_subclass(PyObject *cls, PyObject *unused) {
    return adopt_all(cls, mutex_methods);
}

static PyType_Slot mutex_slots[] = {
    {Py_tp_new, mutex_new},
    {Py_tp_dealloc, cell_dealloc},
    {Py_tp_traverse, cell_traverse},
    {Py_tp_repr, mutex_repr},
    {Py_tp_methods, mutex_methods},
    {Py_tp_doc, "A robust lock in 8 bytes. See caffe2op.atomics.Mutex."},
    {0, NULL},
};

static PyType_Spec mutex_spec = {
    "caffe2op._core.fast.Mutex",
    sizeof(cell),
    0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    mutex_slots,
};

#endif
