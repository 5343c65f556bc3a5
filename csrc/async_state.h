/* What an AsyncNet consists of, for async.c, which runs it, and costs.c, which finds out what its
 * operators cost and which ways promise to gain. */
#ifndef C2_ASYNC_STATE_H
#define C2_ASYNC_STATE_H

#include "choice.h"
#include "dynamic_run.h"
#include "static_run.h"

/* Words that several threads see:
 *
 * | word     | meaning                                     | changed by                          |
 * |----------|---------------------------------------------|-------------------------------------|
 * | running  | 1: a run is on, or something is changed     | CAS 0 -> 1 (acquire), 0 (release)   |
 * | forced   | the mode that was asked for                 | c2_async_mode                       |
 * | plain    | forced + 1: while it is that, a run may     | who has `running`                   |
 * |          | just be the serial loop; 0: it may not      |                                     |
 * | until    | and `runs` is less than that                | who has `running`                   |
 * | runs     | how many have begun                         | each run                            |
 * | the rest | for c2_async_report_now, which may come at  | who has `running`                   |
 * |          | any time                                    |                                     |
 *
 * All but `running` are relaxed: each is a number of its own. Runs are counted by a load and a
 * store, so what several threads run at the same time may count as less.
 */
struct c2_async {
    c2_net *net;
    const c2_graph *graph;
    int32_t workers;
    _Atomic int32_t running;
    _Atomic int32_t plain, forced, mode;
    _Atomic int64_t until, runs;
    _Atomic double serial_ns, critical_ns, planned_ns;
    int64_t measure_at; /* the run that is timed again, and the one after it */
    float *costs;
    int32_t *rank;
    c2_schedule *schedule;
    c2_static *fixed;
    c2_dynamic *shared;
    c2_lanes lanes;
    int32_t *lane_arrays; /* of_op and of_helper, when there are devices */
    uint64_t *lane_cpus;  /* when devices have processors of their own */
    c2_watch *watch;
    int32_t profiling;
    int64_t capacity;
    c2_choice choice;
};

int c2_async_ensure_static(c2_async *async); /* 1, or 0 when out of memory */
int c2_async_ensure_dynamic(c2_async *async);
/* Runs the net and measures it: run `number`, where that is measure_at or the one after it.
 * After the second it has a plan: what each way promises. */
void c2_async_measure(c2_async *async, int64_t number, c2_run *run, c2_ticker *ticker);

#endif
