/* How an optimizer writes to parameters that others may write at the same time.
 *
 *   atomic   each element changes in one relaxed atomic operation (c2_dense_add, scalar.h): no
 *            update is lost, whoever else adds atomically. The default.
 *   locked   the operator holds a mutex from its first read to its last write, so its moments
 *            and its parameters change together, by plain vector loops. For those who take the
 *            same mutex: the one that is given, or else this process's own for the parameter's
 *            address.
 *   racy     plain vector loops, as Hogwild! has it: updates may be lost. For a parameter that
 *            nobody else writes it is the same as the others, and the fastest.
 *
 * Who needs to see an update takes that from an edge of the net, from the mutex, or from whatever
 * else orders the two: relaxed adds order nothing.
 */
#ifndef C2_UPDATE_H
#define C2_UPDATE_H

#include <stdbool.h>
#include "kernel.h"

typedef struct c2_update {
    bool atomic;
    void *mutex; /* held; NULL where there is none */
} c2_update;

/* By the mode that argument `arg` names, for parameters at `data`. In the mode "locked", takes the
 * mutex: input `i` where there is one, a mutex blob or an int64 tensor of one element in whatever
 * memory. One whose owner died is taken too: a half-written step is one that descent bears.
 * Status; C2_OK asks for c2_update_end. */
int c2_update_begin(c2_context *c, int arg, int i, const void *data, c2_update *u);
void c2_update_end(const c2_update *u);

/* Output `o` must be the blob of input `i`: it is changed where it lies. Status. */
int c2_update_in_place(c2_context *c, int i, int o);

#endif
