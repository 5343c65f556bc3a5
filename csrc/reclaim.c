/* Epoch-based reclamation; the idea is told in reclaim.h.
 *
 * Shared words:
 *
 * | word        | meaning                                   | changed by                        |
 * |-------------|-------------------------------------------|-----------------------------------|
 * | epoch       | how many objects were ever retired, + 1   | c2_retire, fetch_add              |
 * | slot->seen  | 0: free. e: a guard opened when epoch = e | enter: CAS 0 -> e; leave: e -> 0  |
 * | slot->next  | the next slot; slots are never freed      | who appends it, once: CAS         |
 * | limbo       | objects that wait, under limbo_lock       | c2_retire, leave                  |
 *
 * Why an object stamped s (the epoch before its own increment) may go when no slot holds a value
 * in 1..s. Take a guard that could still use it: it loaded the shared pointer before the swap
 * that unpublished it. (a) If it read epoch > s on entry, that read met the fetch_add that
 * followed the swap, so it loads the new pointer: not this guard. (b) So it read epoch <= s, and
 * its slot shows that until it leaves. Could the scan miss it, because the slot was still free
 * when the scan passed? Then in the single order of seq_cst operations: swap < scan's load <
 * CAS of the slot < load of the pointer, and that load finds the new pointer. Or because the slot
 * was appended when the scan had passed the end? The same with the CAS and the load of `next`.
 * Hence both CASes, the scan's loads of `seen` and `next`, the swap and the pointer's load are
 * seq_cst: the store-load pattern that acquire and release do not give. c2_idle scans alike.
 *
 * leave's release meets the acquire in the scan (its seq_cst load): whatever the guard read, it
 * read before the object is destroyed.
 */
#include "reclaim.h"

#include <pthread.h>
#include <stdlib.h>

#include "atomic.h"
#include "platform.h"

typedef struct slot {
    _Alignas(64) _Atomic uint64_t seen; /* its own cache line: enter and leave write it */
    struct slot *_Atomic next;
} slot;

static slot first_slot;
static _Atomic uint64_t epoch = 1;
static _Atomic int limbo_lock;
static c2_retired *limbo;
static _Atomic int limbo_count;
static uint64_t swept_to; /* under limbo_lock: the oldest guard at the last walk through limbo */

static _Thread_local struct {
    slot *slot; /* the one used last: nearly always free again */
    int depth;
} mine;

/* In a forked child the other threads' guards will never close: forget them. An object that
 * another thread was just adding to limbo may be lost to the child; it is never destroyed twice. */
static void after_fork(void) {
    for (slot *s = &first_slot; s; s = load_rlx(&s->next))
        if (mine.depth == 0 || s != mine.slot) store_rlx(&s->seen, 0);
    if (load_rlx(&limbo_lock)) limbo = NULL;
    store_rlx(&limbo_lock, 0);
}

static void register_fork_handler(void) {
    pthread_atfork(NULL, NULL, after_fork);
}

static slot *take_slot_slow(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, register_fork_handler);
    slot *last = &first_slot;
    for (slot *s = &first_slot; s; s = load_acq(&s->next)) {
        uint64_t free = 0;
        if (atomic_compare_exchange_strong(&s->seen, &free, load_sc(&epoch))) return s;
        last = s;
    }
    slot *fresh = aligned_alloc(64, sizeof *fresh);
    if (!fresh) return NULL;
    atomic_init(&fresh->next, NULL);
    atomic_init(&fresh->seen, 0);
    store_sc(&fresh->seen, load_sc(&epoch)); /* announced before anybody can be scanned past it */
    /* Append: release so that a walker (acquire above and in the scan) sees `seen`. */
    for (;;) {
        slot *none = NULL;
        if (atomic_compare_exchange_strong(&last->next, &none, fresh)) return fresh;
        last = none;
    }
}

void c2_guard_enter(void) {
    if (mine.depth++ > 0) return;
    slot *s = mine.slot;
    uint64_t free = 0;
    if (s && atomic_compare_exchange_strong(&s->seen, &free, load_sc(&epoch))) return;
    while (!(s = take_slot_slow()))
        c2_os_yield(); /* out of memory for 64 bytes: wait for a slot */
    mine.slot = s;
}

int c2_inside(void) {
    return mine.depth > 0;
}

int c2_idle(void) {
    for (slot *s = &first_slot; s; s = load_sc(&s->next))
        if (load_sc(&s->seen) != 0) return 0;
    return 1;
}

int c2_retired_pending(void) {
    return load_rlx(&limbo_count) != 0;
}

static uint64_t oldest_guard(void) {
    uint64_t oldest = UINT64_MAX;
    for (slot *s = &first_slot; s; s = load_sc(&s->next)) {
        const uint64_t seen = load_sc(&s->seen);
        if (seen != 0 && seen < oldest) oldest = seen;
    }
    return oldest;
}

static int try_lock_limbo(void) {
    return !swap_acq(&limbo_lock, 1);
}

static void unlock_limbo(void) {
    store_rel(&limbo_lock, 0);
} /* meets swap_acq above */

/* Takes out of limbo what may go, unlocks, and destroys it: outside the lock, since destroying
 * may retire more. The walk is left out while the same guard is still the oldest and the newest
 * object is too new: then nothing can have become free, however many a long guard keeps. */
static void sweep_and_unlock(void) {
    c2_retired *done = NULL, **link = &limbo;
    const uint64_t oldest = oldest_guard();
    if (limbo && (oldest != swept_to || limbo->stamp < oldest)) {
        int waiting = 0;
        while (*link) {
            c2_retired *o = *link;
            if (o->stamp < oldest) { /* every open guard began after o was unpublished */
                *link = o->next;
                o->next = done;
                done = o;
            } else {
                link = &o->next;
                waiting++;
            }
        }
        swept_to = oldest;
        store_rlx(&limbo_count, waiting);
    }
    unlock_limbo();
    while (done) {
        c2_retired *next = done->next;
        done->destroy(done);
        done = next;
    }
}

void c2_retire(c2_retired *object, void (*destroy)(c2_retired *)) {
    object->destroy = destroy;
    object->stamp = atomic_fetch_add(&epoch, 1);
    while (!try_lock_limbo())
        c2_os_yield();
    object->next = limbo;
    limbo = object;
    store_rlx(&limbo_count, load_rlx(&limbo_count) + 1);
    sweep_and_unlock();
}

void c2_guard_leave(void) {
    if (--mine.depth > 0) return;
    store_rel(&mine.slot->seen, 0);
    if (load_rlx(&limbo_count) && try_lock_limbo()) sweep_and_unlock();
}
