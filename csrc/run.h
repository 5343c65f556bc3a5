/* A run: what its workers tell each other. c2_run is also Python's, so its shared words are plain
 * integers there.
 *
 * | word    | meaning                               | changed by                                |
 * |---------|---------------------------------------|-------------------------------------------|
 * | stop    | 0 -> 1: every worker returns soon     | the one that claims; whoever cancels      |
 * | claimed | 0 -> 1 -> 2: nobody failed; the first | CAS 0 -> 1 by the first to fail, who then |
 * |         | failure is being written; is written  | fills the rest and stores 2 (release)     |
 *
 * | skip    | NULL -> flags, one for each operator  | c2_run_skip, release; met by acquire      |
 * | its     | 0 -> C2_TO_SKIP: leave it out         | c2_run_skip, release; met by acquire      |
 * | flags   | -> C2_SKIPPED: it was left out        | who would have run the operator           |
 *
 * No operator runs on what another, left out, has not made: its flag was set before the other's.
 * Who sees the other's flag (acquire) sees both, and the executor orders the operators after that.
 *
 * `stop` is read relaxed: it hurries others up and carries no data. The caller reads the rest
 * after it has joined every worker (plan.c), and that join is the acquire which the release of
 * claimed = 2 meets.
 */
#ifndef C2_RUN_H
#define C2_RUN_H

#include "atomic.h"
#include "c2.h"

static inline int c2_run_stopped(const c2_run *run) {
    return load_rlx((const _Atomic int32_t *)&run->stop) != 0;
}

/* Record a failure, if it is the first, and stop the run. Returns `status`. */
int c2_run_fail(c2_run *run, int status, const c2_net *net, int op, const char *message);

/* 1 when the run is to stop. On the thread that called the run it also polls for signals: for
 * waits, in each slice. */
int c2_run_stopping(c2_run *run);

/* 1 on the thread that polls for signals: where a loop has a ticker. */
int c2_run_polls_here(const c2_run *run);

/* Looks at the clock now and then, and polls for signals when 50 ms have passed. Belongs to one
 * thread. */
typedef struct c2_ticker {
    int64_t last;  /* when the clock was read last */
    int32_t every; /* calls between two looks at the clock; adapts to how long they take */
    int32_t left;
} c2_ticker;
void c2_tick_slow(c2_ticker *ticker, c2_run *run);
static inline void c2_tick(c2_ticker *ticker, c2_run *run) {
    if (ticker && --ticker->left < 0) c2_tick_slow(ticker, run);
}

/* Whether an operator is to be left out of a run that has flags; says so in them. */
int c2_run_skips_slow(c2_run *run, int32_t op);
static inline int c2_run_skips(c2_run *run, int32_t op) {
    return __builtin_expect(load_rlx((uint8_t *_Atomic *)&run->skip) != NULL, 0) &&
           c2_run_skips_slow(run, op);
}

#endif
