/* A robust mutex in 8 bytes of anybody's memory, between threads and between processes.
 *
 * The word holds its owner's name (c2_os_self) and one bit that says that somebody sleeps. All
 * who map the memory may use it; nothing is registered anywhere, so an owner that is killed
 * leaves its name behind, and whoever wants the lock finds that the name is a dead one's.
 * mutex.c has the slow half, and argues it.
 *
 * The word:
 *
 *   value            meaning                        who changes it, to what
 *   0                unlocked                       anybody: -> its own name (acquire); one who has
 *                                                   slept: -> its own name | WAITERS (acquire)
 *   name             locked, nobody needs a wake    its owner: -> 0 (release)
 *                                                   anybody: -> name | WAITERS (relaxed)
 *                                                   anybody, once the owner is dead: -> its own
 *                                                   name (acquire)
 *   name | WAITERS   locked, somebody may sleep     its owner: -> 0 (release), then wakes one
 *                                                   anybody, once the owner is dead: -> its own
 *                                                   name | WAITERS (acquire)
 *
 * Tolerated: WAITERS with nobody asleep (one wake too many). Not tolerated: a sleeper while the
 * word is held without WAITERS, except between the wake that it was sent and its return.
 *
 *   operation            who may call              blocks   progress
 *   mutex_take           anybody                   no       wait-free (one compare-exchange)
 *   c2_mutex_lock        anybody but the owner(1)  yes      no order among waiters: a running
 *                                                           thread may pass a sleeper
 *   c2_mutex_lock, 0     anybody                   no(2)    wait-free
 *   mutex_give, unlock   the owner(3)              no       lock-free; at most one system call
 *   c2_mutex_locked      anybody                   no       wait-free; old as soon as it is known
 *
 *   (1) the owner gets C2_DEADLOCK, or C2_TIMEOUT after its timeout
 *   (2) looks at the owner's life at most once in 1-2 ms per thread: about 10 us then
 *   (3) others get C2_NOT_OWNER and nothing is changed
 *
 * Not async-signal-safe, like every lock: a handler that interrupts the owner would wait for it.
 */
#ifndef C2_MUTEX_H
#define C2_MUTEX_H

#include <stdbool.h>
#include "atomic.h"
#include "platform.h"

/* In the low half of the word, which is what sleepers compare; never set in a name. */
#define C2_MUTEX_WAITERS (UINT64_C(1) << 31)

int c2_mutex_lock_slow(_Atomic uint64_t *word, int64_t timeout_ns);
bool c2_mutex_spin(_Atomic uint64_t *word); /* looks for about 3 us; true when it took the lock */
int c2_mutex_unlock_slow(_Atomic uint64_t *word, uint64_t seen);

/* One attempt. The acquire meets the release of the unlock that wrote the 0, so all that the
 * previous owner did is seen. */
static inline bool mutex_take(_Atomic uint64_t *word) {
    uint64_t unlocked = 0;
    return cas_acq(word, &unlocked, c2_os_self());
}

/* Held by the calling thread? By a thread of the calling process? */
static inline bool mutex_is_mine(_Atomic uint64_t *word) {
    return (load_rlx(word) & ~C2_MUTEX_WAITERS) == c2_os_self();
}
static inline bool mutex_is_ours(_Atomic uint64_t *word) {
    return ((load_rlx(word) ^ c2_os_self()) & (C2_MUTEX_WAITERS - 1)) == 0;
}

/* C2_OK or C2_NOT_OWNER. The release meets the acquire of whoever takes the lock next. */
static inline int mutex_give(_Atomic uint64_t *word) {
    uint64_t seen = c2_os_self();
    if (__builtin_expect(cas_rel(word, &seen, 0), 1)) return C2_OK;
    return c2_mutex_unlock_slow(word, seen);
}

static inline int mutex_lock(_Atomic uint64_t *word, int64_t timeout_ns) {
    return __builtin_expect(mutex_take(word), 1) ? C2_OK : c2_mutex_lock_slow(word, timeout_ns);
}

#endif
