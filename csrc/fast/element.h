/* What one element can do, by dtype: scalar.h's operations between Python objects.
 *
 * A cell or an array keeps the address of one row of `elements`, so that one small method per
 * operation serves every dtype. The jump through the row is predicted: methods that went straight
 * to one dtype's function measured the same. What did measure is the short way in each function,
 * seq_cst and values that convert without a call, which leaves all else to a function of its own
 * (`_any`) and so needs no stack frame.
 *
 * Pointers are aligned and the order is one that the operation can have: checked before.
 */
#ifndef C2_FAST_ELEMENT_H
#define C2_FAST_ELEMENT_H

typedef PyObject *(*fetch_function)(void *p, PyObject *value, int order);

typedef struct element {
    const char *name;
    int size;
    PyObject *(*load)(void *p, int order);
    int (*store)(void *p, PyObject *value, int order); /* -1: an exception is set */
    fetch_function exchange, add, sub, and, or, xor, min, max;
    PyObject *(*compare_exchange)(void *p, PyObject *expected, PyObject *desired, int order);
    /* For wait: 1 when the value differs from `expected`, 0 and its bits when not, -1. */
    int (*differs)(void *p, PyObject *expected, int order, uint64_t *bits);
} element;

/* ---- the result of compare_exchange ------------------------------------------------------- */

#ifndef Py_GIL_DISABLED
/* The last (False, x) and (True, x) that went out. When only this reference to one is left,
 * nobody can see it change, and it goes out again with another x: what enumerate() and zip() do.
 * Under the GIL. Not from 3.14, whose tuples remember their hash. */
static PyObject *last_pair[2];
#endif

/* (swapped, observed); takes over the reference to `observed`, and hands on its NULL. */
static inline PyObject *pair_to(bool swapped, PyObject *observed) {
    if (unlikely(!observed)) return NULL;
#ifndef Py_GIL_DISABLED
    PyObject *last = last_pair[swapped];
    if (likely(last && Py_REFCNT(last) == 1)) {
        if (unlikely(PyTuple_SetItem(last, 1, observed) < 0)) return NULL;
        Py_INCREF(last);
        return last;
    }
#endif
    PyObject *pair = PyTuple_Pack(2, swapped ? Py_True : Py_False, observed);
    Py_DECREF(observed);
#ifndef Py_GIL_DISABLED
    if (pair && Py_Version < 0x030e0000) {
        Py_XDECREF(last);
        Py_INCREF(pair);
        last_pair[swapped] = pair;
    }
#endif
    return pair;
}

/* The observed value is the expected one after a swap: where the conversion is exact, the very
 * object that the caller gave. */
#define OBSERVED_INT(t, T)                                                                         \
    static inline PyObject *t##_observed(bool swapped, PyObject *expected, T v) {                  \
        if (!swapped || unlikely(Py_TYPE(expected) != &PyLong_Type)) return t##_to(v);             \
        Py_INCREF(expected);                                                                       \
        return expected;                                                                           \
    }
#define C2_X(t, T, code, W) OBSERVED_INT(t, T)
C2_INT_TYPES(C2_X)
#undef C2_X
static inline PyObject *f32_observed(bool swapped, PyObject *expected, float v) {
    return f32_to(v);
}
static inline PyObject *f64_observed(bool swapped, PyObject *expected, double v) {
    return f64_to(v);
}
static inline PyObject *b8_observed(bool swapped, PyObject *expected, bool v) {
    return b8_to(v);
}

/* ---- the operations ------------------------------------------------------------------------ */

#define MOVES(t, T, code, W)                                                                       \
    static PyObject *t##_load_(void *p, int order) {                                               \
        if (likely(order == C2_SEQ_CST)) return t##_to(c2_##t##_load(p, C2_SEQ_CST));              \
        return t##_to(c2_##t##_load(p, order));                                                    \
    }                                                                                              \
    static NOINLINE int t##_store_any(void *p, PyObject *value, int order) {                       \
        T v;                                                                                       \
        if (unlikely(!t##_from(value, &v, "value"))) return -1;                                    \
        c2_##t##_store(p, v, order);                                                               \
        return 0;                                                                                  \
    }                                                                                              \
    static int t##_store_(void *p, PyObject *value, int order) {                                   \
        T v;                                                                                       \
        if (unlikely(order != C2_SEQ_CST || !t##_quick(value, &v))) {                              \
            return t##_store_any(p, value, order);                                                 \
        }                                                                                          \
        c2_##t##_store(p, v, C2_SEQ_CST);                                                          \
        return 0;                                                                                  \
    }                                                                                              \
    static NOINLINE PyObject *t##_compare_exchange_any(void *p, PyObject *expected,                \
                                                       PyObject *desired, int order) {             \
        T e, v;                                                                                    \
        if (unlikely(!t##_from(expected, &e, "expected"))) return NULL;                            \
        if (unlikely(!t##_from(desired, &v, "desired"))) return NULL;                              \
        const bool swapped = c2_##t##_compare_exchange(p, &e, v, order);                           \
        return pair_to(swapped, t##_observed(swapped, expected, e));                               \
    }                                                                                              \
    static PyObject *t##_compare_exchange_(void *p, PyObject *expected, PyObject *desired,         \
                                           int order) {                                            \
        T e, v;                                                                                    \
        if (unlikely(order != C2_SEQ_CST || !t##_quick(expected, &e) || !t##_quick(desired, &v)))  \
            return t##_compare_exchange_any(p, expected, desired, order);                          \
        const bool swapped = c2_##t##_compare_exchange(p, &e, v, C2_SEQ_CST);                      \
        return pair_to(swapped, t##_observed(swapped, expected, e));                               \
    }                                                                                              \
    FETCH(t, T, exchange, exchange)

/* Floats compare by their bits, as compare_exchange does. */
#define DIFFERS(t, T, code, W)                                                                     \
    static int t##_differs_(void *p, PyObject *expected, int order, uint64_t *bits) {              \
        T e;                                                                                       \
        if (unlikely(!t##_from(expected, &e, "expected"))) return -1;                              \
        *bits = c2_##t##_bits(c2_##t##_load(p, order));                                            \
        return *bits != c2_##t##_bits(e);                                                          \
    }

#define FETCH(t, T, name, operation)                                                               \
    static NOINLINE PyObject *t##_##name##_any(void *p, PyObject *value, int order) {              \
        T v;                                                                                       \
        if (unlikely(!t##_from(value, &v, "value"))) return NULL;                                  \
        return t##_to(c2_##t##_##operation(p, v, order));                                          \
    }                                                                                              \
    static PyObject *t##_##name##_(void *p, PyObject *value, int order) {                          \
        T v;                                                                                       \
        if (unlikely(order != C2_SEQ_CST || !t##_quick(value, &v))) {                              \
            return t##_##name##_any(p, value, order);                                              \
        }                                                                                          \
        return t##_to(c2_##t##_##operation(p, v, C2_SEQ_CST));                                     \
    }

#define UNABLE(t, name, dtype, accepted)                                                           \
    static PyObject *t##_##name##_(void *p, PyObject *value, int order) {                          \
        PyErr_SetString(PyExc_TypeError,                                                           \
                        "fetch_" #name ": these elements are " dtype "; accepted: " accepted);     \
        return NULL;                                                                               \
    }

#define INT_FETCHES(t, T, code, W)                                                                 \
    FETCH(t, T, add, fetch_add)                                                                    \
    FETCH(t, T, sub, fetch_sub)                                                                    \
    FETCH(t, T, and, fetch_and)                                                                    \
    FETCH(t, T, or, fetch_or)                                                                      \
    FETCH(t, T, xor, fetch_xor)                                                                    \
    FETCH(t, T, min, fetch_min)                                                                    \
    FETCH(t, T, max, fetch_max)

#define FLOAT_FETCHES(t, T, dtype)                                                                 \
    FETCH(t, T, add, fetch_add)                                                                    \
    FETCH(t, T, sub, fetch_sub)                                                                    \
    UNABLE(t, and, dtype, "integers")                                                              \
    UNABLE(t, or, dtype, "integers")                                                               \
    UNABLE(t, xor, dtype, "integers")                                                              \
    FETCH(t, T, min, fetch_min)                                                                    \
    FETCH(t, T, max, fetch_max)

C2_NUMBER_TYPES(MOVES)
MOVES(b8, bool, C2_BOOL, uint8_t)
C2_NUMBER_TYPES(DIFFERS)
C2_INT_TYPES(INT_FETCHES)
FLOAT_FETCHES(f32, float, "float32")
FLOAT_FETCHES(f64, double, "float64")
UNABLE(b8, add, "bool", "numbers")
UNABLE(b8, sub, "bool", "numbers")
UNABLE(b8, and, "bool", "integers")
UNABLE(b8, or, "bool", "integers")
UNABLE(b8, xor, "bool", "integers")
UNABLE(b8, min, "bool", "numbers")
UNABLE(b8, max, "bool", "numbers")

/* A byte that others wrote may hold 2: true, and what a sleeper must be told to expect. */
static int b8_differs_(void *p, PyObject *expected, int order, uint64_t *bits) {
    bool e;
    if (unlikely(!b8_from(expected, &e, "expected"))) return -1;
    *bits = c2_u8_load(p, order);
    return (*bits != 0) != e;
}

#define ROW(t, T, dtype)                                                                           \
    {dtype,                                                                                        \
     sizeof(T),                                                                                    \
     t##_load_,                                                                                    \
     t##_store_,                                                                                   \
     t##_exchange_,                                                                                \
     t##_add_,                                                                                     \
     t##_sub_,                                                                                     \
     t##_and_,                                                                                     \
     t##_or_,                                                                                      \
     t##_xor_,                                                                                     \
     t##_min_,                                                                                     \
     t##_max_,                                                                                     \
     t##_compare_exchange_,                                                                        \
     t##_differs_}

static const element elements[C2_DTYPES] = {
    [C2_BOOL] = ROW(b8, bool, "bool"),          [C2_INT8] = ROW(i8, int8_t, "int8"),
    [C2_INT16] = ROW(i16, int16_t, "int16"),    [C2_INT32] = ROW(i32, int32_t, "int32"),
    [C2_INT64] = ROW(i64, int64_t, "int64"),    [C2_UINT8] = ROW(u8, uint8_t, "uint8"),
    [C2_UINT16] = ROW(u16, uint16_t, "uint16"), [C2_UINT32] = ROW(u32, uint32_t, "uint32"),
    [C2_UINT64] = ROW(u64, uint64_t, "uint64"), [C2_FLOAT32] = ROW(f32, float, "float32"),
    [C2_FLOAT64] = ROW(f64, double, "float64"),
};

#endif
