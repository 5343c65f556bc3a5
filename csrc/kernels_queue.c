/* Operators on a queue of tuples of tensors (queue.h), which a blob owns.
 *
 * The elements are copied on the way in and on the way out, so whoever puts keeps its blobs, and
 * nothing that two threads hold is shared. A tuple that does not fit the output blobs goes back
 * to the front of the queue. A wait ends within about 20 ms when the run is to stop.
 *
 * The kernel's guard keeps the queue while it works. One that waits must not hold up the freeing
 * of everybody's memory for as long as that takes, so from the first slice on it holds the queue
 * itself, and opens its guard anew in each slice. Who replaces or frees the blob closes the queue:
 * nobody new can reach it, and those who wait on it are told.
 */
#include <stdlib.h>
#include <string.h>
#include "kernel.h"
#include "platform.h"
#include "queue.h"
#include "scalar.h"

#define MAX_CAPACITY INT32_MAX
#define MAX_WIDTH    1024 /* tensors in a tuple */

/* One who waits on the queue. */
typedef struct waiter {
    c2_context *context;
    c2_queue *queue;
    int kept;
} waiter;

/* Between the slices: no tensor that the kernel got before is looked at after it. */
static int look_around(void *who) {
    waiter *w = who;
    if (!w->kept) c2_queue_keep(w->queue);
    w->kept = 1;
    c2_guard_leave();
    c2_guard_enter();
    return c2_stopping(w->context);
}

static void let_go(waiter *w) {
    if (w->kept) c2_queue_drop(w->queue);
}

static void abandon(void *queue) {
    c2_queue_close(queue);
    c2_queue_drop(queue);
}

static int create_queue(c2_context *c) {
    const int64_t capacity = c->args[0].i, width = c->args[1].i;
    if (capacity < 1 || capacity > MAX_CAPACITY)
        return c2_fail(c, C2_VALUE, "capacity must be from 1 to %d, not %lld", MAX_CAPACITY,
                       (long long)capacity);
    if (width < 1 || width > MAX_WIDTH)
        return c2_fail(c, C2_VALUE, "num_blobs must be from 1 to %d, not %lld", MAX_WIDTH,
                       (long long)width);
    c2_queue *queue = c2_queue_new(capacity, (int32_t)width);
    if (!queue)
        return c2_fail(c, C2_NO_MEMORY, "no memory for a queue of %lld", (long long)capacity);
    const int status = c2_out_state(c, 0, C2_QUEUE, queue, abandon);
    if (status != C2_OK) c2_queue_drop(queue);
    return status;
}

/* The queue in input 0, found to hold tuples of `given` blobs; NULL with the message written. */
static c2_queue *queue_of(c2_context *c, int given, int *status) {
    c2_queue *queue = c2_in_state(c, 0, C2_QUEUE);
    *status = C2_TYPE;
    if (queue && c2_queue_width(queue) != given) {
        *status = c2_fail(c, C2_VALUE, "the queue holds tuples of %d blobs, not of %d",
                          c2_queue_width(queue), given);
        return NULL;
    }
    return queue;
}

static int stopped(c2_context *c) {
    return c2_fail(c, C2_STOPPED, "stopped while it waited for the queue, input 0");
}

/* The last output of a Safe form: true when there was nothing to put into or to take. */
static int report(c2_context *c, int failed) {
    const c2_tensor *status = c2_out(c, c->n_out - 1, C2_BOOL, 0, NULL);
    if (!status) return C2_NO_MEMORY;
    c2_b8_store(status->data, failed, C2_RELAXED);
    return C2_OK;
}

/* Puts the inputs behind the queue. C2_OK, C2_CLOSED without a message, or a failure with one. */
static int put(c2_context *c, int safe) {
    const c2_tensor *tensors[MAX_WIDTH];
    int status;
    const int width = c->n_in - 1;
    c2_queue *queue = queue_of(c, width, &status);
    if (!queue) return status;
    for (int k = 0; k < width; k++)
        if (!(tensors[k] = c2_in(c, 1 + k, -1))) return C2_TYPE;
    /* Memory for it now: what was put cannot be taken back. */
    if (safe && !c2_out(c, c->n_out - 1, C2_BOOL, 0, NULL)) return C2_NO_MEMORY;
    waiter w = {.context = c, .queue = queue};
    status = c2_queue_put(queue, tensors, look_around, &w);
    let_go(&w);
    if (status == C2_STOPPED) return stopped(c);
    if (status == C2_NO_MEMORY) return c2_fail(c, status, "no memory for a copy of the inputs");
    return status;
}

static int copy_out(c2_context *c, int width, const c2_tuple *tuple) {
    for (int k = 0; k < width; k++) {
        const c2_tensor *from = c2_tuple_tensor(tuple, k);
        const c2_tensor *to = c2_out_like(c, k, from);
        if (!to) return C2_NO_MEMORY;
        if (from->size) memcpy(to->data, from->data, (size_t)from->size * c2_itemsize(from->dtype));
    }
    return C2_OK;
}

/* Takes into the first `width` outputs, and reports in the one behind them, if there is one. C2_OK;
 * C2_CLOSED and C2_TIMEOUT without a message or report; or a failure with a message. */
static int take(c2_context *c, int width, int64_t deadline) {
    int status;
    c2_queue *queue = queue_of(c, width, &status);
    if (!queue) return status;
    waiter w = {.context = c, .queue = queue};
    c2_tuple *tuple;
    status = c2_queue_take(queue, deadline, look_around, &w, &tuple);
    if (status == C2_OK) {
        status = copy_out(c, width, tuple);
        if (status == C2_OK && width < c->n_out) status = report(c, 0);
        if (status == C2_OK)
            c2_queue_done(queue, tuple);
        else
            c2_queue_give_back(queue, tuple);
    } else if (status == C2_STOPPED) {
        stopped(c);
    }
    let_go(&w);
    return status;
}

static int enqueue(c2_context *c) {
    const int status = put(c, 0);
    return status == C2_CLOSED ? c2_fail(c, C2_FAILED, "the queue, input 0, is closed") : status;
}

static int safe_enqueue(c2_context *c) {
    const int status = put(c, 1);
    return status == C2_OK || status == C2_CLOSED ? report(c, status == C2_CLOSED) : status;
}

static int dequeue(c2_context *c) {
    const double seconds = c->args[0].f; /* 0: for ever */
    int64_t deadline = C2_FOREVER;
    /* Written so that a NaN goes into the branch too. */
    if (!(seconds >= 0))
        return c2_fail(c, C2_VALUE, "timeout_secs must be at least 0, not %g", seconds);
    if (seconds > 0 && seconds < 1e9) deadline = c2_os_now() + (int64_t)(seconds * 1e9);
    const int status = take(c, c->n_out, deadline);
    if (status == C2_CLOSED)
        return c2_fail(c, C2_FAILED, "the queue, input 0, is closed and empty");
    if (status == C2_TIMEOUT)
        return c2_fail(c, C2_FAILED, "nothing came into the queue, input 0, within %g s", seconds);
    return status;
}

static int safe_dequeue(c2_context *c) {
    const int status = take(c, c->n_out - 1, C2_FOREVER);
    return status == C2_CLOSED ? report(c, 1) : status;
}

static int close_queue(c2_context *c) {
    c2_queue *queue = c2_in_state(c, 0, C2_QUEUE);
    if (!queue) return C2_TYPE;
    c2_queue_close(queue);
    return C2_OK;
}

const c2_kernel_entry c2_kernels_queue[] = {
    {"CreateBlobsQueue", create_queue},
    {"EnqueueBlobs", enqueue},
    {"DequeueBlobs", dequeue},
    {"CloseBlobsQueue", close_queue},
    {"SafeEnqueueBlobs", safe_enqueue},
    {"SafeDequeueBlobs", safe_dequeue},
    {NULL, NULL},
};
