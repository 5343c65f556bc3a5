/* Inside of an AsyncNet: what async.c decides and static_run.c and dynamic_run.c carry out.
 *
 * Constant after c2_async_new: net, graph, workers. Changed between runs only, by the one who
 * has `running`: costs, ranks, schedule, the statistics. Changed within a run: the two states.
 */
#ifndef C2_ASYNC_H
#define C2_ASYNC_H

#include "graph.h"
#include "net.h"
#include "schedule.h"

/* One operator now, on this thread, inside a guard. Returns its status. */
static inline int c2_run_op(c2_net *net, int32_t op, c2_run *run) {
    char message[sizeof run->message];
    c2_context c = net->ops[op];
    c.run = run;
    c.message = message;
    message[0] = 0;
    const int status = c.kernel(&c);
    if (__builtin_expect(status != C2_OK, 0))
        return c2_run_fail(run, c.failed ? c.failed : status, net, op, message);
    return C2_OK;
}

typedef struct c2_watch c2_watch; /* watch.h; NULL where nobody looks */

typedef struct c2_static c2_static;
c2_static *c2_static_new(c2_net *net, const c2_schedule *schedule);
void c2_static_free(c2_static *s);
void c2_static_run(c2_static *s, c2_run *run, c2_ticker *ticker, c2_watch *watch);

/* Which operator belongs to which device, and who works there. */
typedef struct c2_lanes {
    int32_t count;
    int32_t of_caller;    /* the lane of the calling thread; -1: of none */
    int32_t workers;      /* of all lanes, the caller included if it is one */
    const int32_t *of_op; /* NULL: all on lane 0 */
    const int32_t *of_helper; /* workers - 1, or workers where the caller is none */
} c2_lanes;

typedef struct c2_dynamic c2_dynamic;
c2_dynamic *c2_dynamic_new(c2_net *net, const c2_graph *graph, const c2_lanes *lanes);
void c2_dynamic_free(c2_dynamic *d);
/* rank[v]: the smaller, the sooner; NULL: program order. Borrowed. */
void c2_dynamic_rank(c2_dynamic *d, const int32_t *rank);
/* Operators before `first` have run already. */
void c2_dynamic_run(c2_dynamic *d, int32_t first, c2_run *run, c2_ticker *ticker, c2_watch *watch);

#endif
