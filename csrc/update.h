/* How an optimizer writes to parameters that others may write at the same time.
 *
 *   atomic   no update is lost, whoever else adds atomically. The default. In memory that operators
 *            alone can reach, plainly under the locks of stripes.h, which has the argument; in all
 *            other memory each element changes in one relaxed atomic operation (wide.h).
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
#include "stripes.h"

typedef struct c2_update {
    bool atomic;
    void *mutex; /* held; NULL where there is none */
} c2_update;

/* What is written: a tensor that the kernel got from c2_in or c2_out. */
typedef struct c2_target {
    int dtype;
    char *data;
    c2_memory *memory; /* where atomic updates take turns; NULL: they do not */
} c2_target;

/* By the mode that argument `arg` names, for parameters at `data`. In the mode "locked", takes the
 * mutex: input `i` where there is one, a mutex blob or an int64 tensor of one element in whatever
 * memory. One whose owner died is taken too: a half-written step is one that descent bears.
 * Status; C2_OK asks for c2_update_end. */
int c2_update_begin(c2_context *c, int arg, int i, const void *data, c2_update *u);
void c2_update_end(const c2_update *u);

c2_target c2_update_target(const c2_update *u, const c2_tensor *tensor);

/* target[from + k] += scale * by[k] for k < n, as the mode has it; float32 or float64. Atomic or
 * not is told of each element; nobody sees the n change together. */
void c2_update_add(const c2_update *u, const c2_target *target, int64_t from, const void *by,
                   double scale, int64_t n);

/* Output `o` must be the blob of input `i`: it is changed where it lies. Status. */
int c2_update_in_place(c2_context *c, int i, int o);

#endif
