/* Operators on shared words: mutex, fetch-add, atomic bool, barrier, iteration counters.
 *
 * Every one of them may run on the same blobs from any number of threads at once: each change is
 * one atomic operation, and what they write to an output blob that others write too ("fetched"
 * of several workers, say) is stored without tearing.
 *
 * The forms that take a mutex hold it while they change the value, so that whoever else holds it
 * sees the value stand still. Their change is atomic as well, which buys two things: adds with
 * and without the mutex mix and none is lost; and a mutex whose owner died half-way
 * (C2_OWNER_DIED) guards nothing half-done here, so it is taken and the work goes on.
 *
 * Orders: a fetch-add is acq_rel, so the adds on one word form a chain in which each sees what
 * came before the adds that it follows. The release of setting a flag meets the acquire of
 * checking it.
 */
#include <string.h>
#include "kernel.h"
#include "mutex.h"
#include "scalar.h"

/* A wait for a mutex looks this often whether the run is to stop. */
#define SLICE_NS 20000000

static int lock_slow(c2_context *c, _Atomic uint64_t *mutex) {
    for (;;) {
        const int status = c2_mutex_lock_slow(mutex, SLICE_NS);
        if (status == C2_OK || status == C2_OWNER_DIED) return C2_OK;
        /* C2_TIMEOUT or C2_INTERRUPTED */
        if (c2_stopping(c))
            return c2_fail(c, C2_STOPPED, "stopped while it waited for the mutex, input 0");
    }
}

static inline int lock(c2_context *c, _Atomic uint64_t *mutex) {
    return __builtin_expect(mutex_take(mutex), 1) ? C2_OK : lock_slow(c, mutex);
}

static int create_mutex(c2_context *c) {
    return c2_out_word(c, 0, C2_MUTEX, 0) ? C2_OK : C2_NO_MEMORY;
}

/* [mutex,] mut_value, increment -> mut_value in place, fetched (0-D). Wraps as C does on the
 * unsigned word. `dtype` is a constant at each call, so one of the two adds is left. */
static inline int fetch_add(c2_context *c, int dtype) {
    const int at = c->n_in - 2; /* where mut_value is: behind the mutex, if there is one */
    if (c->in[at] != c->out[0])
        return c2_fail(c, C2_VALUE, "output 0 must be the blob of input %d: it adds in place", at);
    if (c->out[1] == c->out[0])
        return c2_fail(c, C2_VALUE, "output 1, the value before, must be a blob of its own");
    void *value = c2_in_scalar(c, at, dtype);
    if (!value) return C2_TYPE;
    const void *increment = c2_in_scalar(c, at + 1, dtype);
    if (!increment) return C2_TYPE;
    _Atomic uint64_t *mutex = NULL;
    if (at > 0 && !(mutex = c2_in_word(c, 0, C2_MUTEX))) return C2_TYPE;
    const c2_tensor *fetched = c2_out(c, 1, dtype, 0, NULL);
    if (!fetched) return C2_NO_MEMORY;
    if (mutex) {
        const int status = lock(c, mutex);
        if (status != C2_OK) return status;
    }
    if (dtype == C2_INT32) {
        const int32_t by = c2_i32_load(increment, C2_RELAXED);
        c2_i32_store(fetched->data, c2_i32_fetch_add(value, by, C2_ACQ_REL), C2_RELAXED);
    } else {
        const int64_t by = c2_i64_load(increment, C2_RELAXED);
        c2_i64_store(fetched->data, c2_i64_fetch_add(value, by, C2_ACQ_REL), C2_RELAXED);
    }
    if (mutex) mutex_give(mutex);
    return C2_OK;
}

static int fetch_add_int32(c2_context *c) {
    return fetch_add(c, C2_INT32);
}
static int fetch_add_int64(c2_context *c) {
    return fetch_add(c, C2_INT64);
}

/* The word of an atomic bool: 0 is false, 1 is true; ConditionalSetAtomicBool takes it from 0 to
 * 1, and only CreateAtomicBool, by making a new word, back to 0. */
static int create_atomic_bool(c2_context *c) {
    return c2_out_word(c, 0, C2_ATOMIC_BOOL, 0) ? C2_OK : C2_NO_MEMORY;
}

static int conditional_set_atomic_bool(c2_context *c) {
    _Atomic uint64_t *flag = c2_in_word(c, 0, C2_ATOMIC_BOOL);
    if (!flag) return C2_TYPE;
    const void *condition = c2_in_scalar(c, 1, C2_BOOL);
    if (!condition) return C2_TYPE;
    /* An or, not a store: a second setter then continues the release of the first, and whoever
     * sees true (check_atomic_bool's acquire) sees what each setter did before. */
    if (c2_b8_load(condition, C2_RELAXED)) or_acq_rel(flag, 1);
    return C2_OK;
}

static int check_atomic_bool(c2_context *c) {
    static const int64_t one[] = {1};
    _Atomic uint64_t *flag = c2_in_word(c, 0, C2_ATOMIC_BOOL);
    if (!flag) return C2_TYPE;
    const c2_tensor *value = c2_out(c, 0, C2_BOOL, 1, one);
    if (!value) return C2_NO_MEMORY;
    c2_b8_store(value->data, load_acq(flag) != 0, C2_RELAXED);
    return C2_OK;
}

/* Inputs one to one to outputs. In place, which is the use, there is nothing to do: the barrier
 * is in the edges that its blobs add to the graph. A new output becomes a copy. */
static int barrier(c2_context *c) {
    if (c->n_in != c->n_out)
        return c2_fail(c, C2_VALUE, "%d inputs but %d outputs: they go one to one", c->n_in,
                       c->n_out);
    for (int i = 0; i < c->n_out; i++) {
        if (c->in[i] == c->out[i]) continue;
        for (int k = 0; k < c->n_in; k++)
            if (c->out[i] == c->in[k])
                return c2_fail(c, C2_VALUE, "output %d is input %d: in place is one to one", i, k);
        if (!c2_in(c, i, -1)) return C2_TYPE; /* only a tensor can be copied */
    }
    for (int i = 0; i < c->n_out; i++) {
        if (c->in[i] == c->out[i]) continue;
        const c2_tensor *from = c2_in(c, i, -1);
        if (!from) return C2_TYPE;
        const c2_tensor *to = c2_out_like(c, i, from);
        if (!to) return C2_NO_MEMORY;
        if (from->size) memcpy(to->data, from->data, from->size * c2_itemsize(from->dtype));
    }
    return C2_OK;
}

/* The one int64 element of an iteration blob (its shape is (1,) when made here; any shape of one
 * element is taken), or NULL with the message written. */
static void *iteration(c2_context *c) {
    c2_blob *blob = c->out[0];
    const c2_tensor *t = c2_blob_tensor(blob);
    if (t && t->dtype == C2_INT64 && t->size == 1) return t->data;
    if (!t)
        c2_fail(c, C2_TYPE,
                "output 0, the iteration, must be an int64 tensor of one element; "
                "it is %s",
                c2_kind_name(c2_blob_kind(blob)));
    else
        c2_fail(c, C2_TYPE,
                "output 0, the iteration, must be an int64 tensor of one element; "
                "it is %s with %lld elements",
                c2_dtype_name(t->dtype), (long long)t->size);
    return NULL;
}

/* + 1, unless the value is negative or the largest; then nothing changes. */
static int step(c2_context *c, void *value) {
    int64_t old = c2_i64_load(value, C2_RELAXED);
    do {
        if (old < 0)
            return c2_fail(c, C2_VALUE, "output 0, the iteration, is negative: %lld",
                           (long long)old);
        if (old == INT64_MAX)
            return c2_fail(c, C2_OVERFLOW, "output 0, the iteration, would overflow int64");
    } while (!c2_i64_compare_exchange(value, &old, old + 1, C2_ACQ_REL));
    return C2_OK;
}

/* [iter] -> iter in place. Without the input, an empty output starts as 0, and is 1 after the
 * first run. (Two first runs at the same time on one empty blob may each make it; AtomicIter or
 * a filled blob is for that.) */
static int iter(c2_context *c) {
    static const int64_t one[] = {1};
    if (c->n_in > 0 && c->in[0] != c->out[0])
        return c2_fail(c, C2_VALUE, "output 0 must be the blob of input 0: it counts in place");
    if (c->n_in == 0 && c2_blob_kind(c->out[0]) == C2_EMPTY) {
        const c2_tensor *made = c2_out(c, 0, C2_INT64, 1, one);
        if (!made) return C2_NO_MEMORY;
        c2_i64_store(made->data, 0, C2_RELAXED);
    }
    void *value = iteration(c);
    return value ? step(c, value) : C2_TYPE;
}

/* mutex, iter -> iter in place. */
static int atomic_iter(c2_context *c) {
    if (c->in[1] != c->out[0])
        return c2_fail(c, C2_VALUE, "output 0 must be the blob of input 1: it counts in place");
    _Atomic uint64_t *mutex = c2_in_word(c, 0, C2_MUTEX);
    if (!mutex) return C2_TYPE;
    void *value = iteration(c);
    if (!value) return C2_TYPE;
    int status = lock(c, mutex);
    if (status != C2_OK) return status;
    status = step(c, value);
    mutex_give(mutex);
    return status;
}

const c2_kernel_entry c2_kernels_atomic[] = {
    {"CreateMutex", create_mutex},
    {"AtomicFetchAdd", fetch_add_int32},
    {"AtomicFetchAdd64", fetch_add_int64},
    {"CreateAtomicBool", create_atomic_bool},
    {"ConditionalSetAtomicBool", conditional_set_atomic_bool},
    {"CheckAtomicBool", check_atomic_bool},
    {"AsyncNetBarrier", barrier},
    {"Iter", iter},
    {"AtomicIter", atomic_iter},
    {NULL, NULL},
};
