/* Which way the next run of a net takes, by what the runs before it took.
 *
 * Pure arithmetic: no clock, no thread, so that a test can give it any history. A way that
 * promises to gain is tried TRIALS times, and the fastest stays. But a trial may have met a busy
 * machine, or the costs may have changed: so those that lost are tried again, the later the more
 * they lost by, and each time after twice as many runs. The trials' loss stays near PRICE of all
 * time, whatever a way takes.
 */
#ifndef C2_CHOICE_H
#define C2_CHOICE_H

#include "atomic.h"
#include "c2.h"

enum { C2_MODES = 4 };

/* `took` is read by whoever reports, at any time, hence atomic (relaxed: it carries nothing);
 * changed, like the rest, by the one run that is on. */
typedef struct c2_choice {
    double estimate[C2_MODES];     /* ns that a way promises; 0: not worth a trial */
    _Atomic double took[C2_MODES]; /* what a run takes of late; 0: none yet */
    int32_t trials[C2_MODES], lost[C2_MODES];
    int64_t again[C2_MODES]; /* the run in which one that lost is tried again */
    int64_t runs;
} c2_choice;

/* Forget all, with these promises; `serial` is that of program order, a candidate always. */
void c2_choice_begin(c2_choice *choice, double serial);
/* Whether any way but the serial one is worth a trial. */
int c2_choice_open(const c2_choice *choice);
/* A c2_mode: what the next run does; then c2_choice_took says what it took. */
int c2_choice_next(c2_choice *choice);
void c2_choice_took(c2_choice *choice, int mode, double ns);
/* The fastest by now. */
int c2_choice_best(const c2_choice *choice);

#endif
