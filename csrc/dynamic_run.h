/* Running whatever is ready; the idea is told in dynamic_run.c. */
#ifndef C2_DYNAMIC_RUN_H
#define C2_DYNAMIC_RUN_H

#include "graph.h"
#include "watch.h"

/* Which operator belongs to which device, and who works there. */
typedef struct c2_lanes {
    int32_t count;
    int32_t of_caller;        /* the lane of the calling thread; -1: of none */
    int32_t workers;          /* of all lanes, the caller included if it is one */
    const int32_t *of_op;     /* NULL: all on lane 0 */
    const int32_t *of_helper; /* workers - 1, or workers where the caller is none */
    const uint64_t *cpus;     /* C2_CPU_WORDS a lane (platform.h), all 0: any; NULL: any for all */
} c2_lanes;

typedef struct c2_dynamic c2_dynamic;
c2_dynamic *c2_dynamic_new(c2_net *net, const c2_graph *graph, const c2_lanes *lanes);
void c2_dynamic_free(c2_dynamic *d);
/* rank[v]: the smaller, the sooner; NULL: program order. Borrowed. */
void c2_dynamic_rank(c2_dynamic *d, const int32_t *rank);
/* Operators before `first` have run already. One run at a time. watch may be NULL. */
void c2_dynamic_run(c2_dynamic *d, int32_t first, c2_run *run, c2_ticker *ticker, c2_watch *watch);

#endif
