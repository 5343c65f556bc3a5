/* Helpers for one run: threads that join in when they come, and that nobody waits for.
 *
 * team->helpers counts threads that may still touch the run. A helper's last act is the
 * fetch_sub that releases all it did; the caller's acquire load of 0 in c2_team_end meets it.
 * A helper that has not begun when the caller is done is taken back instead of waited for.
 */
#ifndef C2_TEAM_H
#define C2_TEAM_H

#include "pool.h"
#include "run.h"

enum { C2_TEAM_MOST = 256 };

typedef struct c2_team {
    _Alignas(64) _Atomic uint32_t helpers;
    void (*body)(void *); /* a helper's work */
    void *arg;
    int32_t count;
    struct {
        c2_worker *worker;
        uint32_t ticket;
    } hired[C2_TEAM_MOST];
} c2_team;

/* Ask for `count` helpers that each call body(arg) inside a guard. Fewer may come. */
void c2_team_begin(c2_team *team, int32_t count, void (*body)(void *), void *arg);
/* Sleep until all of them have come and gone. */
void c2_team_wait(c2_team *team, c2_run *run, const c2_ticker *ticker);
/* Take back who has not begun, and wait for the others. ticker: not NULL where signals are to be
 * polled. */
void c2_team_end(c2_team *team, c2_run *run, const c2_ticker *ticker);

#endif
