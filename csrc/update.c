/* See update.h. */
#include "update.h"

#include <pthread.h>
#include <string.h>

#include "atomic.h"
#include "cpu.h"
#include "mutex.h"

/* The mutexes of this process, for those who give none: by the address of the parameters. Two
 * tensors may share one, which costs waiting and nothing else, as a kernel holds one at most.
 *
 * A forked child has a copy in which another thread of the parent may hold one, for ever: so the
 * child, which has one thread, begins with all of them free. */
enum { LOCKS = 64 };
static _Atomic uint64_t locks[LOCKS];
static pthread_once_t watched = PTHREAD_ONCE_INIT;

static void free_all(void) {
    for (int k = 0; k < LOCKS; k++)
        store_rlx(&locks[k], 0);
}

static void watch_forks(void) {
    pthread_atfork(NULL, NULL, free_all);
}

static void *lock_of(const void *data) {
    pthread_once(&watched, watch_forks);
    return &locks[mix64((uintptr_t)data) % LOCKS];
}

static void *given_lock(c2_context *c, int i, int *status) {
    void *mutex = c2_blob_kind(c->in[i]) == C2_MUTEX ? (void *)c2_in_word(c, i, C2_MUTEX)
                                                     : c2_in_scalar(c, i, C2_INT64);
    if (!mutex) *status = C2_TYPE; /* aligned it is: every tensor is, to its elements */
    return mutex;
}

/* A wait for the mutex looks this often whether the run is to stop. */
#define SLICE_NS 20000000

int c2_update_begin(c2_context *c, int arg, int i, const void *data, c2_update *u) {
    const char *mode = c->args[arg].s;
    *u = (c2_update){.atomic = strcmp(mode, "atomic") == 0};
    if (strcmp(mode, "locked") != 0) return C2_OK;
    int status = C2_OK;
    void *mutex = i < c->n_in ? given_lock(c, i, &status) : lock_of(data);
    if (status) return status;
    for (;;) {
        status = c2_mutex_lock(mutex, SLICE_NS);
        if (status == C2_OK || status == C2_OWNER_DIED) {
            u->mutex = mutex;
            return C2_OK;
        }
        /* C2_TIMEOUT or C2_INTERRUPTED */
        if (c2_stopping(c))
            return c2_fail(c, C2_STOPPED, "stopped while it waited for the mutex of the update");
    }
}

void c2_update_end(const c2_update *u) {
    if (u->mutex) c2_mutex_unlock(u->mutex);
}

int c2_update_in_place(c2_context *c, int i, int o) {
    if (c->in[i] == c->out[o]) return C2_OK;
    return c2_fail(c, C2_VALUE, "output %d must be the blob of input %d", o, i);
}
