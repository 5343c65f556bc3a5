/* Running a compiled schedule; the idea is told in static_run.c. */
#ifndef C2_STATIC_RUN_H
#define C2_STATIC_RUN_H

#include "schedule.h"
#include "watch.h"

typedef struct c2_static c2_static;
c2_static *c2_static_new(c2_net *net, const c2_schedule *schedule);
void c2_static_free(c2_static *s);
/* Every operator once, on this thread and those of the pool that come. One run at a time. watch
 * may be NULL. */
void c2_static_run(c2_static *s, c2_run *run, c2_ticker *ticker, c2_watch *watch);

#endif
