/* NetRun: runs one net again and again from Python, and keeps the GIL while that is worth it.
 *
 * To give the GIL up costs tens of microseconds, or a switch interval, while another Python
 * thread computes. So runs that take less than SHORT_NS keep it, which is as long as a few
 * bytecodes of anybody; the first run, and those after a longer one, do not. Only nets whose
 * operators are all native and never wait may keep it: whatever such an operator may need of
 * another thread (a helper, a spin lock), that thread gives without the GIL.
 *
 * | state      | meaning                                    | changed by                          |
 * |------------|--------------------------------------------|-------------------------------------|
 * | inside     | 1: a thread uses run; others go the        | CAS 0 -> 1 (acquire); that thread:  |
 * |            | Runner's way, with a c2_run of theirs      | 0 (release)                         |
 * | was_short  | the last run took less than SHORT_NS       | who is inside                       |
 *
 * Whatever is not plain success is the Python side's to tell: `runner.failed`.
 */
#ifndef C2_FAST_NET_RUN_H
#define C2_FAST_NET_RUN_H

#include "async.h"
#include "net.h"
#include "reclaim.h"

static const int64_t SHORT_NS = 2000;
enum { FIRST_LOOK = 16 }; /* operators of a short run before it looks at the clock again */

typedef struct net_run {
    PyObject_HEAD c2_net *net;
    c2_async *async; /* NULL: program order */
    c2_run *run;
    c2_poll poll;     /* for the main thread's runs without the GIL */
    PyObject *runner; /* keeps alive what the pointers point to, but for: */
    PyObject *owner;  /* the c2_run */
    int may_keep, was_short;
    _Atomic int32_t inside;
} net_run;

/* Set at import, and in a forked child: signal handlers run on this thread. */
static _Atomic(unsigned long) main_thread;

/* A handler's exception stays set until the run has ended: with the GIL kept, by native
 * operators only, nothing of Python's runs in between. */
static int poll_with_the_gil(void) {
    return PyErr_CheckSignals() < 0 ? C2_INTERRUPTED : C2_OK;
}

static int run_short(net_run *r) {
    c2_run *const run = r->run;
    int status = C2_OK;
    run->poll = poll_with_the_gil;
    run->caller = c2_os_self();
    c2_guard_enter();
    const int64_t begin = c2_os_now();
    c2_ticker ticker = {.last = begin, .every = FIRST_LOOK, .left = FIRST_LOOK};
    if (r->async)
        status = c2_async_execute(r->async, run, &ticker);
    else
        c2_net_execute(r->net, run, &ticker);
    r->was_short = c2_os_now() - begin < SHORT_NS;
    c2_guard_leave();
    return status == C2_BUSY ? C2_BUSY : run->status;
}

static int run_without_the_gil(net_run *r) {
    int status;
    r->run->poll = PyThread_get_thread_ident() == load_rlx(&main_thread) ? r->poll : (c2_poll)NULL;
    Py_BEGIN_ALLOW_THREADS;
    const int64_t begin = c2_os_now();
    status = r->async ? c2_async_run(r->async, r->run) : c2_net_run(r->net, r->run);
    r->was_short = c2_os_now() - begin < SHORT_NS;
    Py_END_ALLOW_THREADS;
    return status;
}

static COLD PyObject *net_run_failed(net_run *r, int status, PyObject *allow_fail) {
    PyObject *result = NULL;
    if (!PyErr_Occurred())
        result = PyObject_CallMethod(r->runner, "failed", "OiO", r->owner, status, allow_fail);
    *r->run = (c2_run){0};
    return result;
}

static PyObject *net_run_call(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    net_run *r = (net_run *)self;
    PyObject *const allow_fail = nargs ? args[0] : Py_False;
    int32_t nobody = 0;
    if (unlikely(nargs > 1)) {
        PyErr_Format(PyExc_TypeError, "call() takes at most 1 argument, %zd given", nargs);
        return NULL;
    }
    if (likely(cas_acq(&r->inside, &nobody, 1))) {
        const int status = r->may_keep && r->was_short ? run_short(r) : run_without_the_gil(r);
        /* Busy with a run that the Runner does: then nothing has run, and it takes this one. */
        const int busy = status == C2_BUSY && !r->run->claimed;
        PyObject *result = NULL;
        if (likely(status == C2_OK))
            result = shared(Py_True);
        else if (!busy)
            result = net_run_failed(r, status, allow_fail);
        store_rel(&r->inside, 0); /* meets cas_acq above */
        if (!busy) return result;
    }
    return PyObject_CallFunctionObjArgs(r->runner, allow_fail, NULL);
}

/* NetRun(net, async, run, poll, may_keep, owner, runner); the first four are addresses. */
static PyObject *net_run_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    unsigned long long net, async, run, poll;
    int may_keep;
    PyObject *owner, *runner;
    if (!PyArg_ParseTuple(args, "KKKKpOO", &net, &async, &run, &poll, &may_keep, &owner, &runner))
        return NULL;
    net_run *r = (net_run *)PyType_GenericAlloc(type, 0);
    if (!r) return NULL;
    r->net = (c2_net *)(uintptr_t)net;
    r->async = (c2_async *)(uintptr_t)async;
    r->run = (c2_run *)(uintptr_t)run;
    r->poll = (c2_poll)(uintptr_t)poll;
    r->may_keep = may_keep;
    Py_INCREF(owner);
    Py_INCREF(runner);
    r->owner = owner;
    r->runner = runner;
    return (PyObject *)r;
}

static int net_run_traverse(PyObject *self, visitproc visit, void *arg) {
    const net_run *r = (const net_run *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(r->owner);
    Py_VISIT(r->runner);
    return 0;
}

static void net_run_dealloc(PyObject *self) {
    net_run *r = (net_run *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_DECREF(r->owner);
    Py_DECREF(r->runner);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyObject *net_run_set_main_thread(PyObject *unused, PyObject *ident) {
    const unsigned long number = PyLong_AsUnsignedLong(ident);
    if (PyErr_Occurred()) return NULL;
    store_rlx(&main_thread, number);
    return shared(Py_None);
}

static PyMethodDef net_run_methods[] = {
    {"call", (PyCFunction)(void (*)(void))net_run_call, METH_FASTCALL,
     DOC_SIGNATURE("call", "allow_fail=False, /") //
     "Run once. True; False for an operator's failure with allow_fail; raises otherwise. Blocks; "
     "keeps the GIL for runs of up to 2 us of operators that are native and never wait."},
    {"set_main_thread", net_run_set_main_thread, METH_O | METH_STATIC,
     DOC_SIGNATURE("set_main_thread", "ident, /") "The thread that runs signal handlers."},
    {"__reduce__", refuse_pickle, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot net_run_slots[] = {
    {Py_tp_new, net_run_new},
    {Py_tp_dealloc, net_run_dealloc},
    {Py_tp_traverse, net_run_traverse},
    {Py_tp_methods, net_run_methods},
    {Py_tp_doc, "A net to be run again and again. See caffe2op.workspace.run.Runner."},
    {0, NULL},
};

static PyType_Spec net_run_spec = {
    "caffe2op._core.fast.NetRun",
    sizeof(net_run),
    0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    net_run_slots,
};

#endif
