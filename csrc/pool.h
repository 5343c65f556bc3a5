/* Threads that are kept: starting one costs a wake-up, not a creation.
 *
 * There is no queue: a job that is accepted has a thread of its own, so jobs may wait for each
 * other. No thread exists before the first job; an idle one spins for 20 us, sleeps,
 * and ends after ten seconds.
 *
 * | who        | c2_pool_start                   | c2_pool_revoke                            |
 * |------------|---------------------------------|-------------------------------------------|
 * | any thread | yes; a short spin lock, never   | yes, once, by the one that started it     |
 * |            | waits for the thread            |                                           |
 *
 * Source of the shape: trio's thread cache.
 */
#ifndef C2_POOL_H
#define C2_POOL_H

#include "c2.h"

typedef struct c2_worker c2_worker;

/* A thread runs body(arg) soon. NULL when the system gives no more threads. */
c2_worker *c2_pool_start(void (*body)(void *), void *arg, uint32_t *ticket);

/* Take the job back if it has not begun: 1, and body never runs; or 0, it began (and may have
 * ended). So a caller that has done the work itself need not wait for a thread that still
 * sleeps. */
int c2_pool_revoke(c2_worker *worker, uint32_t ticket);

#endif
