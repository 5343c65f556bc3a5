/* Running a net in dependency order from inside a run, for plan.c; the idea is told in async.c. */
#ifndef C2_ASYNC_H
#define C2_ASYNC_H

#include "run.h"

/* As c2_async_run, inside a guard and a run that the caller began. C2_OK; C2_STOPPED, with the run
 * telling why; or C2_BUSY, and nothing has run. */
int c2_async_execute(c2_async *async, c2_run *run, c2_ticker *ticker);

#endif
