/* Looking at a run: how long each operator takes, and which worker ran it when.
 *
 * Nothing here runs unless it was asked for: the executors test one pointer. A worker writes its
 * own ring of events and, for the operator it has just run, that operator's figures; an operator
 * runs once in a run and runs of one net do not overlap, so nothing here is shared.
 *
 * Times are the processor's ticks where it has such a counter (8-10 ns a look), else the
 * monotonic clock; they are turned into ns at the end of a run.
 */
#ifndef C2_WATCH_H
#define C2_WATCH_H

#include "batch.h"
#include "cpu.h"
#include "platform.h"

#ifdef CPU_NO_TICKS
static inline int64_t cpu_ticks(void) {
    return c2_os_now();
}
#endif

typedef struct c2_ring {
    _Alignas(64) int64_t count; /* events ever written; the last `capacity` are there */
    c2_event *events;
} c2_ring;

typedef struct c2_figures { /* Welford's running mean and variance, in ticks */
    int64_t count;
    double mean, squares;
} c2_figures;

typedef struct c2_watch {
    int32_t workers;
    int64_t capacity;
    c2_ring *rings;      /* one a worker */
    c2_figures *figures; /* one an operator; NULL: not wanted */
    int32_t measures;    /* 0: the figures stay as they are */
    int64_t ticks, ns;   /* one moment on both clocks: that of the first run */
    double ns_per_tick;  /* as of the end of the last run */
} c2_watch;

c2_watch *c2_watch_new(int32_t n, int32_t workers, int64_t capacity, int figures);
void c2_watch_free(c2_watch *watch);
void c2_watch_begin(c2_watch *watch); /* a run begins, ends */
void c2_watch_end(c2_watch *watch);
/* For c2_async_events and c2_async_costs. */
int64_t c2_watch_events(const c2_watch *watch, c2_event *out, int64_t most);
void c2_watch_costs(const c2_watch *watch, int32_t n, int64_t *counts, double *mean,
                    double *deviation);
void c2_watch_record(c2_watch *watch, int32_t worker, int32_t op, int64_t begin, int64_t end);

/* One operator, looked at where that is wanted; to wait for the GIL is no part of its time. */
static inline int c2_run_watched(c2_watch *watch, int32_t worker, c2_net *net, int32_t op,
                                 c2_run *run, c2_batch *batch) {
    const int entered = c2_batch_for(batch, net, op, run);
    if (__builtin_expect(entered != C2_OK, 0)) return entered;
    if (__builtin_expect(watch == NULL, 1)) return c2_run_op(net, op, run);
    const int64_t begin = cpu_ticks();
    const int status = c2_run_op(net, op, run);
    c2_watch_record(watch, worker, op, begin, cpu_ticks());
    return status;
}

#endif
