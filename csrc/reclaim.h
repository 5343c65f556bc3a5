/* Giving memory back while others may still be reading it: epoch-based reclamation.
 *
 * A reader works between c2_guard_enter and c2_guard_leave (c2_abi.h). A writer first takes the
 * old object out of every shared pointer, then gives it to c2_retire, which destroys it once
 * every guard that was open at that moment has closed.
 *
 * | who            | enter, leave   | c2_retire                       | c2_idle    |
 * |----------------|----------------|---------------------------------|------------|
 * | any thread     | yes, nests     | yes, inside a guard or outside  | yes        |
 * | blocks         | never          | a short spin lock               | never      |
 *
 * Source: K. Fraser, "Practical lock-freedom", 2004, section 5.2.3; one counter that every
 * retirement moves, in place of his three epochs, because retirements are rare here.
 */
#ifndef C2_RECLAIM_H
#define C2_RECLAIM_H

#include "c2.h"

typedef struct c2_retired {
    struct c2_retired *next;
    uint64_t stamp;
    void (*destroy)(struct c2_retired *);
} c2_retired;

/* Destroy `object` (which begins with a c2_retired) once nobody can be looking at it. The caller
 * unpublished it before with a seq_cst swap. */
void c2_retire(c2_retired *object, void (*destroy)(c2_retired *));

/* 1 when something waits to be destroyed: a long guard may then close and open again. */
int c2_retired_pending(void);

#endif
