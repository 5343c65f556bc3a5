/* Python objects <-> C values, as fast as the stable ABI allows.
 *
 *     bool i32_from(PyObject *o, int32_t *v, const char *argument)   false: an exception is set
 *     PyObject *i32_to(int32_t v)                                    a new reference, or NULL
 *
 * for every t in dtype.h, and b8. Integers take ints and whatever has __index__, and refuse what
 * does not fit; floats take whatever float() takes except strings; bools take bools, NumPy's
 * bools, 0 and 1.
 *
 * Most numbers in a program are small, and CPython keeps one object for each int in -5..256.
 * Where those objects lie side by side in memory (every CPython since 3.11; small_init checks),
 * an address is the number: no call into the interpreter in either direction.
 */
#ifndef C2_FAST_CONVERT_H
#define C2_FAST_CONVERT_H

#include <math.h>

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define NOINLINE    __attribute__((noinline))
#define COLD        __attribute__((noinline, cold))

enum { SMALL_LEAST = -5, SMALL_COUNT = 262, SMALL_SHIFT = 5 };

/* Constant after small_init. */
static struct {
    uintptr_t base;       /* the address of the int -5 */
    uint64_t count;       /* of them; 0 where they do not lie side by side */
    bool mortal;          /* their references are counted: before 3.12 made them immortal */
    PyObject *numpy_bool; /* the type; NULL when the namespace had none */
    PyObject *numpy_real; /* a tuple of NumPy's real scalar types; NULL likewise */
} small;

static int small_init(PyObject *namespace) {
    small.mortal = Py_Version < 0x030c0000;
    small.numpy_bool = PyDict_GetItemString(namespace, "numpy_bool"); /* borrowed: */
    Py_XINCREF(small.numpy_bool);                                     /* kept for good */
    small.numpy_real = PyDict_GetItemString(namespace, "numpy_real");
    Py_XINCREF(small.numpy_real);
    for (int i = 0; i < SMALL_COUNT; i++) {
        PyObject *o = PyLong_FromLong(SMALL_LEAST + i);
        if (!o) return -1;
        const uintptr_t address = (uintptr_t)o;
        Py_DECREF(o); /* CPython's own reference stays, or the check below fails */
        if (i == 0) small.base = address;
        if (address != small.base + ((uintptr_t)i << SMALL_SHIFT)) return 0;
    }
    PyObject *again = PyLong_FromLong(SMALL_LEAST);
    if (!again) return -1;
    if ((uintptr_t)again == small.base) small.count = SMALL_COUNT;
    Py_DECREF(again);
    return 0;
}

/* A new reference to None, a bool or a small int. */
static inline PyObject *shared(PyObject *o) {
    if (small.mortal) Py_INCREF(o);
    return o;
}

static inline bool is_numpy_bool(PyObject *o) {
    return small.numpy_bool && Py_TYPE(o) == (PyTypeObject *)small.numpy_bool;
}

static inline bool small_from(PyObject *o, int64_t *v) {
    const uint64_t place = ((uintptr_t)o - small.base) >> SMALL_SHIFT;
    *v = (int64_t)place + SMALL_LEAST;
    return place < small.count;
}

static inline PyObject *int_to(int64_t v) {
    const uint64_t place = (uint64_t)v - (uint64_t)SMALL_LEAST;
    if (place >= small.count) return PyLong_FromLongLong(v);
    return shared((PyObject *)(small.base + (uintptr_t)(place << SMALL_SHIFT)));
}

/* ---- errors: every one names the argument, what came, and what is accepted ---------------- */

static COLD bool refuse_type(PyObject *o, const char *argument, const char *accepted) {
    PyObject *name = PyType_GetName(Py_TYPE(o));
    if (name) PyErr_Format(PyExc_TypeError, "%s: %U given; accepted: %s", argument, name, accepted);
    Py_XDECREF(name);
    return false;
}

/* repr(o), or its type where Python refuses to write out an int of thousands of digits. */
static COLD PyObject *text_of(PyObject *o) {
    PyObject *text = PyObject_Repr(o);
    if (text || !PyErr_ExceptionMatches(PyExc_ValueError)) return text;
    PyErr_Clear();
    return PyUnicode_FromString("a huge int");
}

static COLD bool refuse_range(PyObject *o, const char *argument, const char *dtype,
                              const char *range) {
    PyObject *text = text_of(o);
    if (text) {
        PyErr_Format(PyExc_OverflowError, "%s: %U does not fit %s; accepted: %s", argument, text,
                     dtype, range);
    }
    Py_XDECREF(text);
    return false;
}

/* ---- integers ------------------------------------------------------------------------------ */

/* 1 fits int64; 2 fits uint64 only (*v is its bits); 0 fits neither; -1 an exception is set. */
static COLD int int_slow(PyObject *o, int64_t *v, const char *argument, const char *accepted) {
    if (is_numpy_bool(o)) { /* which NumPy 1 still takes for an int, with a warning */
        refuse_type(o, argument, accepted);
        return -1;
    }
    PyObject *index = PyNumber_Index(o);
    if (!index) {
        if (PyErr_ExceptionMatches(PyExc_TypeError)) {
            PyErr_Clear();
            refuse_type(o, argument, accepted);
        }
        return -1;
    }
    int overflow, fits = 1;
    *v = PyLong_AsLongLongAndOverflow(index, &overflow);
    if (overflow > 0) {
        const unsigned long long u = PyLong_AsUnsignedLongLong(index);
        fits = PyErr_Occurred() ? 0 : 2;
        PyErr_Clear();
        *v = (int64_t)u;
    } else if (overflow < 0) {
        fits = 0;
    }
    Py_DECREF(index);
    return fits;
}

/* int64 in the common cases; false sends the caller to int_slow. */
static inline bool int_quick(PyObject *o, int64_t *v) {
    if (likely(small_from(o, v))) return true;
    if (unlikely(Py_TYPE(o) != &PyLong_Type)) return false;
    *v = PyLong_AsLongLong(o);
    if (likely(*v != -1)) return true;
    PyErr_Clear(); /* too large; -1 itself is small, or goes the slow way once */
    return false;
}

/* RANGE is text for people; every type but u64 lives inside int64. */
#define INT_CONVERT(t, T, NAME, LEAST, MOST, RANGE)                                                \
    static COLD bool t##_from_slow(PyObject *o, T *v, const char *argument) {                      \
        int64_t wide;                                                                              \
        const int fits = int_slow(o, &wide, argument, "an int in " RANGE " for " NAME);            \
        if (fits < 0) return false;                                                                \
        if (fits != 1 || wide < LEAST || wide > MOST) {                                            \
            return refuse_range(o, argument, NAME, RANGE);                                         \
        }                                                                                          \
        *v = (T)wide;                                                                              \
        return true;                                                                               \
    }                                                                                              \
    static inline bool t##_from(PyObject *o, T *v, const char *argument) {                         \
        int64_t wide;                                                                              \
        if (unlikely(!int_quick(o, &wide) || wide < LEAST || wide > MOST)) {                       \
            return t##_from_slow(o, v, argument);                                                  \
        }                                                                                          \
        *v = (T)wide;                                                                              \
        return true;                                                                               \
    }                                                                                              \
    static inline bool t##_quick(PyObject *o, T *v) {                                              \
        int64_t wide;                                                                              \
        if (unlikely(!small_from(o, &wide) || wide < LEAST || wide > MOST)) return false;          \
        *v = (T)wide;                                                                              \
        return true;                                                                               \
    }                                                                                              \
    static inline PyObject *t##_to(T v) {                                                          \
        return int_to(v);                                                                          \
    }

INT_CONVERT(i8, int8_t, "int8", INT8_MIN, INT8_MAX, "-128..127")
INT_CONVERT(i16, int16_t, "int16", INT16_MIN, INT16_MAX, "-32768..32767")
INT_CONVERT(i32, int32_t, "int32", INT32_MIN, INT32_MAX, "-2147483648..2147483647")
INT_CONVERT(i64, int64_t, "int64", INT64_MIN, INT64_MAX,
            "-9223372036854775808..9223372036854775807")
INT_CONVERT(u8, uint8_t, "uint8", 0, UINT8_MAX, "0..255")
INT_CONVERT(u16, uint16_t, "uint16", 0, UINT16_MAX, "0..65535")
INT_CONVERT(u32, uint32_t, "uint32", 0, UINT32_MAX, "0..4294967295")

#define U64_RANGE "0..18446744073709551615"

static COLD bool u64_from_slow(PyObject *o, uint64_t *v, const char *argument) {
    int64_t wide;
    const int fits = int_slow(o, &wide, argument, "an int in " U64_RANGE " for uint64");
    if (fits < 0) return false;
    if (fits == 0 || (fits == 1 && wide < 0)) {
        return refuse_range(o, argument, "uint64", U64_RANGE);
    }
    *v = (uint64_t)wide;
    return true;
}

static inline bool u64_from(PyObject *o, uint64_t *v, const char *argument) {
    int64_t wide;
    if (likely(small_from(o, &wide) && wide >= 0)) {
        *v = (uint64_t)wide;
        return true;
    }
    if (unlikely(Py_TYPE(o) != &PyLong_Type)) return u64_from_slow(o, v, argument);
    *v = PyLong_AsUnsignedLongLong(o);
    if (likely(*v != UINT64_MAX || !PyErr_Occurred())) return true;
    PyErr_Clear();
    return u64_from_slow(o, v, argument);
}

static inline bool u64_quick(PyObject *o, uint64_t *v) {
    int64_t wide;
    if (unlikely(!small_from(o, &wide) || wide < 0)) return false;
    *v = (uint64_t)wide;
    return true;
}

static inline PyObject *u64_to(uint64_t v) {
    return likely(v <= INT64_MAX) ? int_to((int64_t)v) : PyLong_FromUnsignedLongLong(v);
}

/* ---- floats -------------------------------------------------------------------------------- */

/* Whether NumPy would make a float of `o` by losing something: the imaginary part of a complex
 * number, the type of a record; or of a NumPy bool, which is no number for integers either. What
 * has no dtype is left to float(). -1: an exception. */
static COLD int float_would_lose(PyObject *o) {
    if (PyFloat_Check(o) || PyLong_Check(o)) return 0;
    if (small.numpy_real) {
        const int real = PyObject_IsInstance(o, small.numpy_real);
        if (real) return real < 0 ? -1 : 0;
    }
    PyObject *dtype = PyObject_GetAttrString(o, "dtype");
    PyObject *kind = dtype ? PyObject_GetAttrString(dtype, "kind") : NULL;
    Py_XDECREF(dtype);
    if (!kind) {
        const bool none = PyErr_ExceptionMatches(PyExc_AttributeError);
        if (none) PyErr_Clear();
        return none ? 0 : -1;
    }
    int lose = PyUnicode_Check(kind);
    for (const char *k = "iuf"; lose && *k; k++) {
        const char one[] = {*k, 0};
        if (PyUnicode_CompareWithASCIIString(kind, one) == 0) lose = 0;
    }
    Py_DECREF(kind);
    return lose;
}

static COLD bool float_slow(PyObject *o, double *v, const char *argument, const char *dtype,
                            const char *range) {
    const int lose = float_would_lose(o);
    if (lose < 0) return false;
    if (lose) return refuse_type(o, argument, "a float or an int");
    *v = PyFloat_AsDouble(o);
    if (*v != -1.0 || !PyErr_Occurred()) return true;
    if (PyErr_ExceptionMatches(PyExc_OverflowError)) {
        PyErr_Clear();
        return refuse_range(o, argument, dtype, range);
    }
    if (PyErr_ExceptionMatches(PyExc_TypeError)) {
        PyErr_Clear();
        return refuse_type(o, argument, "a float or an int");
    }
    return false;
}

static inline bool float_from(PyObject *o, double *v, const char *argument, const char *dtype,
                              const char *range) {
    if (unlikely(Py_TYPE(o) != &PyFloat_Type)) return float_slow(o, v, argument, dtype, range);
    *v = PyFloat_AsDouble(o);
    return true;
}

#define F64_RANGE "-1.797e308..1.797e308, inf, nan"
#define F32_RANGE "-3.4028e38..3.4028e38, inf, nan"

static inline bool f64_from(PyObject *o, double *v, const char *argument) {
    return float_from(o, v, argument, "float64", F64_RANGE);
}

/* Rounds as C does; a finite number that would become infinite is refused. */
static inline bool f32_from(PyObject *o, float *v, const char *argument) {
    double wide;
    if (unlikely(!float_from(o, &wide, argument, "float32", F32_RANGE))) return false;
    *v = (float)wide;
    if (unlikely(isinf(*v) && !isinf(wide))) return refuse_range(o, argument, "float32", F32_RANGE);
    return true;
}

/* A float converts by a call only. */
static inline bool f64_quick(PyObject *o, double *v) {
    return false;
}
static inline bool f32_quick(PyObject *o, float *v) {
    return false;
}

static inline PyObject *f64_to(double v) {
    return PyFloat_FromDouble(v);
}
static inline PyObject *f32_to(float v) {
    return PyFloat_FromDouble(v);
}

/* ---- bools --------------------------------------------------------------------------------- */

static COLD bool b8_from_slow(PyObject *o, bool *v, const char *argument) {
    if (is_numpy_bool(o)) {
        *v = PyObject_IsTrue(o) == 1;
        return true;
    }
    int64_t wide;
    const int fits = int_slow(o, &wide, argument, "True or False");
    if (fits < 0) return false;
    if (fits != 1 || wide < 0 || wide > 1) return refuse_range(o, argument, "bool", "True, False");
    *v = wide != 0;
    return true;
}

static inline bool b8_quick(PyObject *o, bool *v) {
    *v = o == Py_True;
    return *v || o == Py_False;
}

static inline bool b8_from(PyObject *o, bool *v, const char *argument) {
    return likely(b8_quick(o, v)) || b8_from_slow(o, v, argument);
}

static inline PyObject *b8_to(bool v) {
    return shared(v ? Py_True : Py_False);
}

#endif
