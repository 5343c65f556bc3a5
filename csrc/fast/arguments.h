/* What a method was called with.
 *
 * Every method takes its values by position, and then options by position or by name. Nearly
 * every call gives the values alone: that case is two comparisons, and all else is slow.
 */
#ifndef C2_FAST_ARGUMENTS_H
#define C2_FAST_ARGUMENTS_H

enum { OPTIONS = 2 };

typedef struct signature {
    const char *method;
    int values;                  /* positional only, all required */
    const char *option[OPTIONS]; /* names, the rest NULL */
    const char *orders;          /* what `order` may be, for people */
    unsigned accepted;           /* and as bits, 1 << c2_order */
} signature;

#define ORDERS_ALL "relaxed, acquire, release, acq_rel, seq_cst", 0x1f
#define ORDERS_LOAD                                                                                \
    "relaxed, acquire, seq_cst", (1 << C2_RELAXED | 1 << C2_ACQUIRE | 1 << C2_SEQ_CST)
#define ORDERS_STORE                                                                               \
    "relaxed, release, seq_cst", (1 << C2_RELAXED | 1 << C2_RELEASE | 1 << C2_SEQ_CST)

/* Interned, so that a literal in the caller's source is the same object. Index: c2_order. */
static const char *const order_text[] = {"relaxed", "acquire", "release", "acq_rel", "seq_cst"};
static PyObject *order_name[5];

static int arguments_init(void) {
    for (int i = 0; i < 5; i++) {
        order_name[i] = PyUnicode_InternFromString(order_text[i]);
        if (!order_name[i]) return -1;
    }
    return 0;
}

/* The c2_order that `o` names, one that `s` accepts; -1 with an exception. */
static int order_from(PyObject *o, const signature *s) {
    int order = -1;
    for (int i = 0; i < 5 && order < 0; i++) {
        if (o == order_name[i]) order = i;
    }
    if (order < 0) {
        if (!PyUnicode_Check(o)) {
            refuse_type(o, "order", s->orders);
            return -1;
        }
        for (int i = 0; i < 5 && order < 0; i++) {
            if (PyUnicode_Compare(o, order_name[i]) == 0) order = i;
        }
        if (PyErr_Occurred()) return -1;
    }
    if (order < 0 || !(s->accepted >> order & 1)) {
        PyErr_Format(PyExc_ValueError, "order: %R is none that %s can have; accepted: %s", o,
                     s->method, s->orders);
        return -1;
    }
    return order;
}

static COLD int refuse_count(const signature *s, Py_ssize_t given) {
    int most = s->values;
    while (most < s->values + OPTIONS && s->option[most - s->values])
        most++;
    PyErr_Format(PyExc_TypeError, "%s() takes %d to %d arguments by position, %zd given", s->method,
                 s->values, most, given);
    return -1;
}

/* Borrowed references to the options that were given, NULL for the others; -1: exception. */
static int take_options(const signature *s, PyObject *const *args, Py_ssize_t nargs,
                        PyObject *kwnames, PyObject *options[OPTIONS]) {
    for (int k = 0; k < OPTIONS; k++) {
        const bool given = s->values + k < nargs;
        if (given && !s->option[k]) return refuse_count(s, nargs);
        options[k] = given ? args[s->values + k] : NULL;
    }
    if (nargs < s->values || nargs > s->values + OPTIONS) return refuse_count(s, nargs);
    const Py_ssize_t named = kwnames ? PyTuple_Size(kwnames) : 0;
    for (Py_ssize_t n = 0; n < named; n++) {
        PyObject *name = PyTuple_GetItem(kwnames, n);
        int k = 0;
        while (k < OPTIONS && s->option[k] &&
               PyUnicode_CompareWithASCIIString(name, s->option[k]) != 0) {
            k++;
        }
        if (k == OPTIONS || !s->option[k]) {
            PyErr_Format(PyExc_TypeError, "%s() has no keyword %R; accepted: %s%s%s", s->method,
                         name, s->option[0], s->option[1] ? ", " : "",
                         s->option[1] ? s->option[1] : "");
            return -1;
        }
        if (options[k]) {
            PyErr_Format(PyExc_TypeError, "%s() got %R twice", s->method, name);
            return -1;
        }
        options[k] = args[nargs + n];
    }
    return 0;
}

static COLD int take_slow(const signature *s, PyObject *const *args, Py_ssize_t nargs,
                          PyObject *kwnames) {
    PyObject *options[OPTIONS];
    if (take_options(s, args, nargs, kwnames, options) < 0) return -1;
    return options[0] ? order_from(options[0], s) : C2_SEQ_CST;
}

/* For methods whose only option is the order: the order, or -1 with an exception. Afterwards
 * args[0] .. args[values - 1] are there. */
static inline int take(const signature *s, int values, PyObject *const *args, Py_ssize_t nargs,
                       PyObject *kwnames) {
    if (likely(nargs == values && !kwnames)) return C2_SEQ_CST;
    return take_slow(s, args, nargs, kwnames);
}

/* Seconds as nanoseconds: -1 for None (wait for ever), or a number that is not negative; more
 * than 292 years is for ever too. -2 with an exception. */
static int64_t timeout_from(PyObject *o) {
    if (!o || o == Py_None) return -1;
    const double seconds = PyFloat_AsDouble(o);
    if (seconds == -1.0 && PyErr_Occurred()) {
        if (PyErr_ExceptionMatches(PyExc_OverflowError)) {
            PyErr_Clear();
            PyObject *zero = PyLong_FromLong(0);
            const int negative = zero ? PyObject_RichCompareBool(o, zero, Py_LT) : -1;
            Py_XDECREF(zero);
            if (negative == 0) return -1;
            if (negative < 0) return -2;
        } else {
            if (PyErr_ExceptionMatches(PyExc_TypeError)) {
                PyErr_Clear();
                refuse_type(o, "timeout", "None, or seconds >= 0");
            }
            return -2;
        }
    } else if (seconds >= 0) {
        /* Rounded up: a wait is never shorter than what was asked for. */
        return seconds < 9.2e9 ? (int64_t)ceil(seconds * 1e9) : -1;
    }
    PyErr_Format(PyExc_ValueError, "timeout: %R given; accepted: None, or seconds >= 0", o);
    return -2;
}

#endif
