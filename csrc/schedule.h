/* A compiled schedule: every operator placed on a worker, and each worker's operators in order.
 *
 * Worker w's program is items[start[w]] .. items[start[w + 1] - 1]. Before an item, its waits
 * must hold: worker `waits[k].worker` has done at least `waits[k].count` items of its program.
 * An item whose `publish` is set has a successor elsewhere, so that its worker tells its progress
 * right after it.
 *
 * All programs are cut out of one order (program order), in which predecessors come first: so
 * the earliest operator that has not run can always run, and waiting cannot go round in circles,
 * whoever executes which program.
 */
#ifndef C2_SCHEDULE_H
#define C2_SCHEDULE_H

#include "graph.h"

typedef struct c2_item {
    int32_t op;
    uint32_t waits : 31; /* index of its first wait; the next item's is the end */
    uint32_t publish : 1;
} c2_item;

typedef struct c2_wait_for {
    int32_t worker;
    int32_t count;
} c2_wait_for;

typedef struct c2_schedule {
    int32_t n, workers;
    int32_t *start; /* workers + 1 */
    c2_item *items; /* n + 1 */
    c2_wait_for *waits;
    double serial_ns;   /* the sum of the costs */
    double makespan_ns; /* what the schedule should take, by the costs it was made from */
} c2_schedule;

/* What the machine charges, in ns. */
typedef struct c2_machine {
    float latency; /* from a result on one core to the moment another may use it */
    float signal;  /* what the one who waits pays, even when the result is there long since */
} c2_machine;

/* What an operator counts for, in ns, that was never measured: who wants a schedule before the
 * first run has operators that are worth sharing. */
#define C2_UNKNOWN_COST 1000.0f

/* costs: ns for each operator, or NULL: unknown. held: which operators must be on worker 0, 1 for
 * each of them; NULL: none. NULL when out of memory. */
c2_schedule *c2_schedule_new(const c2_graph *graph, int32_t workers, const float *costs,
                             const uint8_t *held, const c2_machine *machine);
void c2_schedule_free(c2_schedule *schedule);

#endif
