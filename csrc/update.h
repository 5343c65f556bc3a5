/* How an optimizer writes to parameters that others may write at the same time.
 *
 *   atomic   each element changes in one relaxed atomic operation (c2_dense_add, scalar.h): no
 *            update is lost, whoever else adds atomically. The default.
 *   locked   the operator holds a mutex from its first read to its last write, so its moments
 *            and its parameters change together. For those who take the same mutex.
 *   racy     plain vector loads and stores, as Hogwild! has it: updates may be lost. For a
 *            parameter that nobody else writes it is the same as the others, and the fastest.
 *
 * Who needs to see an update takes that from an edge of the net, from the mutex, or from whatever
 * else orders the two: relaxed adds order nothing.
 */
#ifndef C2_UPDATE_H
#define C2_UPDATE_H

#include <string.h>
#include "kernel_check.h"
#include "mutex.h"
#include "scalar.h"

typedef struct c2_update {
    bool atomic;
    void *mutex; /* held; NULL where there is none */
} c2_update;

/* A wait for the mutex looks this often whether the run is to stop. */
#define C2_UPDATE_SLICE_NS 20000000

/* By the mode that argument `arg` names; the mutex is input `i`, a mutex blob or an int64 tensor
 * of one element in whatever memory. Takes it where the mode is "locked". A mutex whose owner died
 * is taken too: a half-written step is one that SGD bears. Status. */
static inline int c2_update_begin(c2_context *c, int arg, int i, c2_update *u) {
    const char *mode = c->args[arg].s;
    *u = (c2_update){.atomic = strcmp(mode, "atomic") == 0};
    if (strcmp(mode, "locked") != 0) return C2_OK;
    if (c2_blob_kind(c->in[i]) == C2_MUTEX)
        u->mutex = c2_in_word(c, i, C2_MUTEX);
    else
        u->mutex = c2_in_scalar(c, i, C2_INT64);
    if (!u->mutex) return C2_TYPE;
    if ((uintptr_t)u->mutex % 8)
        return c2_fail(c, C2_ALIGNMENT, "input %d (the mutex) must be aligned to 8 bytes", i);
    for (;;) {
        const int status = c2_mutex_lock(u->mutex, C2_UPDATE_SLICE_NS);
        if (status == C2_OK || status == C2_OWNER_DIED) return C2_OK;
        if (status != C2_TIMEOUT && status != C2_INTERRUPTED)
            return c2_fail(c, status, "the mutex, input %d, cannot be locked", i);
        if (c2_stopping(c))
            return c2_fail(c, C2_STOPPED, "stopped while it waited for the mutex, input %d", i);
    }
}

static inline void c2_update_end(const c2_update *u) {
    if (u->mutex) c2_mutex_unlock(u->mutex);
}

/* Output `o` must be the blob of input `i`: it is changed where it lies. */
static inline int c2_update_in_place(c2_context *c, int i, int o) {
    if (c->in[i] == c->out[o]) return C2_OK;
    return c2_fail(c, C2_VALUE, "output %d must be the blob of input %d", o, i);
}

#endif
