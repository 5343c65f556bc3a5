/* What cells and arrays have in common: the methods' signatures and their docstrings. */
#ifndef C2_FAST_METHODS_H
#define C2_FAST_METHODS_H

/* X(method, member of `element`) */
#define C2_FETCH_METHODS(X)                                                                        \
    X(exchange, exchange)                                                                          \
    X(fetch_add, add)                                                                              \
    X(fetch_sub, sub)                                                                              \
    X(fetch_and, and)                                                                              \
    X(fetch_or, or)                                                                                \
    X(fetch_xor, xor)                                                                              \
    X(fetch_min, min)                                                                              \
    X(fetch_max, max)

typedef PyObject *(*fast_method)(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);

#define METHOD(name, function, doc)                                                                \
    {name, (PyCFunction)(void (*)(void))(fast_method)(function), METH_FASTCALL | METH_KEYWORDS, doc}

/* WHERE is "" for a cell and "index, " for an array. */
#define DOC_SIGNATURE(name, arguments) name "($self, " arguments ")\n--\n\n"
#define DOC_ORDER_ALL                                                                              \
    "order: \"relaxed\", \"acquire\", \"release\", \"acq_rel\" or \"seq_cst\". Never blocks; "     \
    "keeps the "                                                                                   \
    "GIL."
#define DOC_FITS                                                                                   \
    "OverflowError for an int that does not fit the dtype, TypeError for a float where the "       \
    "elements are integers.\n\n"

#define DOC_LOAD(W)                                                                                \
    DOC_SIGNATURE("load", W "/, order='seq_cst'")                                                  \
    "The value.\n\norder: \"relaxed\", \"acquire\" or \"seq_cst\". Never blocks; keeps the GIL."
#define DOC_STORE(W)                                                                               \
    DOC_SIGNATURE("store", W "value, /, order='seq_cst'")                                          \
    "Set the value.\n\n" DOC_FITS                                                                  \
    "order: \"relaxed\", \"release\" or \"seq_cst\". Never blocks; keeps the GIL."
#define DOC_FETCH(name, W, text)                                                                   \
    DOC_SIGNATURE(name, W "value, /, order='seq_cst'")                                             \
    text "\n\n" DOC_FITS DOC_ORDER_ALL
#define DOC_exchange(W) DOC_FETCH("exchange", W, "Set the value; returns the one before.")
#define DOC_fetch_add(W)                                                                           \
    DOC_FETCH("fetch_add", W,                                                                      \
              "Add to the value; returns the one before. Integers wrap around on their width.")
#define DOC_fetch_sub(W)                                                                           \
    DOC_FETCH("fetch_sub", W,                                                                      \
              "Subtract from the value; returns the one before. Integers wrap around on their "    \
              "width.")
#define DOC_fetch_and(W)                                                                           \
    DOC_FETCH("fetch_and", W, "Bitwise and into the value (integers); returns the one before.")
#define DOC_fetch_or(W)                                                                            \
    DOC_FETCH("fetch_or", W, "Bitwise or into the value (integers); returns the one before.")
#define DOC_fetch_xor(W)                                                                           \
    DOC_FETCH("fetch_xor", W, "Bitwise xor into the value (integers); returns the one before.")
#define DOC_fetch_min(W)                                                                           \
    DOC_FETCH("fetch_min", W,                                                                      \
              "Set to the smaller of the two; returns the value before. A NaN wins.")
#define DOC_fetch_max(W)                                                                           \
    DOC_FETCH("fetch_max", W, "Set to the larger of the two; returns the value before. A NaN wins.")
#define DOC_COMPARE_EXCHANGE(W)                                                                    \
    DOC_SIGNATURE("compare_exchange", W "expected, desired, /, order='seq_cst'")                   \
    "Set to `desired` if the value is `expected`; returns (swapped, observed).\n\n"                \
    "Floats are compared by their bits: -0.0 is not 0.0, and a NaN equals itself. A failure "      \
    "does not write: it has the order's acquire half only.\n\n" DOC_FITS DOC_ORDER_ALL
#define DOC_WAIT(W)                                                                                \
    DOC_SIGNATURE("wait", W "expected, /, timeout=None, order='seq_cst'")                          \
    "Block while the value is `expected`: True once it differs, False when `timeout` seconds "     \
    "have passed.\n\n"                                                                             \
    "A store does not wake a waiter: whoever changes the value calls notify. Waiters may be in "   \
    "other processes that map the memory. Releases the GIL while it sleeps; signal handlers "      \
    "run. timeout: None waits for ever, 0 only looks. order: as for load."
#define DOC_NOTIFY(W)                                                                              \
    DOC_SIGNATURE("notify", W "/, count=1")                                                        \
    "Wake up to `count` waiters of this element; returns how many, as far as the system tells."    \
    " Keeps the GIL; costs a system call."

/* `v` is how many values say which element: 0 for a cell, 1 for an array. */
#define SIGNATURES(prefix, v)                                                                      \
    static const signature prefix##_load_s = {"load", v, {"order"}, ORDERS_LOAD};                  \
    static const signature prefix##_store_s = {"store", v + 1, {"order"}, ORDERS_STORE};           \
    static const signature prefix##_compare_exchange_s = {                                         \
        "compare_exchange", v + 2, {"order"}, ORDERS_ALL};                                         \
    static const signature prefix##_wait_s = {"wait", v + 1, {"timeout", "order"}, ORDERS_LOAD};   \
    static const signature prefix##_notify_s = {"notify", v, {"count"}, "", 0};

#endif
