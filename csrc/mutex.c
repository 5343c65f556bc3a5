/* The mutex's slow half: spin a little, sleep, and inherit from the dead. mutex.h has the idea
 * and the table of the word's states.
 *
 * Sleeping is Drepper's third mutex ("Futexes are tricky", 2011) with the owner's name in the
 * place of his 1 and the WAITERS bit in the place of his 2. A sleeper compares the low half of
 * the word: the owner's process and WAITERS. That another thread of the owner's process may have
 * taken the lock meanwhile does not matter: with WAITERS set, whoever has it will wake somebody.
 *
 * No wake is lost:
 *   - a sleeper sets WAITERS before it sleeps, in the compare-exchange that also proves that the
 *     lock is held, and the system compares the bit again when it queues the sleeper;
 *   - an unlock that finds WAITERS wakes one sleeper, and clears the bit for all of them. The one
 *     that was woken takes the lock with WAITERS, as it cannot know whether it was the last;
 *   - one that was woken and finds the lock held by a thread that passed it, or whose timeout has
 *     run out at that moment, sets WAITERS before it sleeps again or gives up. So the wake that
 *     it used up is sent again by the next unlock.
 * Except by death: a process killed between the unlock and its wake, or after it was woken and
 * before it took the lock. That is what slices are for: nobody sleeps longer than 50 ms without
 * looking at the word again.
 *
 * The dead: a waiter whose slice ended without a wake asks the system whether the owner still
 * runs. Slices begin with 1 ms and double up to 50 ms, so a lock is inherited about 1 ms after
 * one comes to wait for a dead owner's lock, and at most about 50 ms after the death for those
 * that wait already. (The kernel's robust list, what pthread's robust mutexes use, is told at
 * once, but libc owns the one list head that a thread can have.) The heir replaces exactly the word
 * that it saw, so of several heirs one wins, and an owner that was alive after all cannot be
 * robbed: a dead thread's name does not come back. Its acquire meets no release, for the dead made
 * none; what the dead wrote is seen since the system said "ended" only after its last store, and
 * telling goes through the kernel's locks. What it wrote may be half of something: hence
 * C2_OWNER_DIED.
 */
#include "mutex.h"
#include "cpu.h"

/* A lock that is held for a few loads and stores comes free while we look; a sleep and a wake
 * cost 20-40 us. Each step is a load and a pause, growing, 3 us in all. */
enum { SPIN_STEPS = 8 };

#define SLICE_FIRST_NS 1000000
#define SLICE_MOST_NS  50000000
#define LOOK_NS        1000000

static uint64_t owner_of(uint64_t seen) {
    return seen & ~C2_MUTEX_WAITERS;
}

/* May this caller, which does not wait long enough for a slice to end, pay for a look at the
 * owner's life? Once in 1-2 ms per thread. The clock's own low bits vary the pause, so that a
 * thread that polls several locks in turn does not spend every look on the same one. */
static bool look_is_due(int64_t now) {
    static _Thread_local int64_t next_look;
    if (now < next_look) return false;
    next_look = now + LOOK_NS + (now & 0xFFFFF);
    return true;
}

/* Takes the lock that `seen` says is a dead owner's. False when it lives, or somebody else was
 * faster. WAITERS stays: the others sleep on. */
static bool inherit(_Atomic uint64_t *word, uint64_t seen) {
    return !c2_os_alive(owner_of(seen)) &&
           cas_acq(word, &seen, c2_os_self() | (seen & C2_MUTEX_WAITERS));
}

static int try_slow(_Atomic uint64_t *word) {
    const uint64_t seen = load_rlx(word);
    if (seen == 0) return mutex_take(word) ? C2_OK : C2_BUSY;
    if (owner_of(seen) == c2_os_self()) return C2_BUSY;
    return look_is_due(c2_os_now()) && inherit(word, seen) ? C2_OWNER_DIED : C2_BUSY;
}

bool c2_mutex_spin(_Atomic uint64_t *word) {
    static _Atomic int cpus; /* 0: not asked yet; any thread writes the same number */
    int n = load_rlx(&cpus);
    if (n == 0) store_rlx(&cpus, n = c2_os_cpus());
    if (n == 1) return false; /* the owner cannot run while we do */
    const uint64_t me = c2_os_self();
    for (int step = 0; step < SPIN_STEPS; step++) {
        const uint64_t seen = load_rlx(word);
        if (seen == 0 && mutex_take(word)) return true;
        if (owner_of(seen) == me) return false;
        for (int k = 0; k < 1 << step; k++)
            cpu_relax();
    }
    return false;
}

int c2_mutex_lock_slow(_Atomic uint64_t *word, int64_t timeout_ns) {
    if (timeout_ns == 0) return try_slow(word);
    const uint64_t me = c2_os_self();
    if (c2_mutex_spin(word)) return C2_OK;

    int64_t now = c2_os_now();
    const int64_t deadline =
        timeout_ns < 0 || timeout_ns > C2_FOREVER - now ? C2_FOREVER : now + timeout_ns;
    int64_t slice = SLICE_FIRST_NS, look = now + slice;
    uint64_t mine = me; /* what we write: with WAITERS once we have slept */
    int status = C2_OK;
    for (;;) {
        uint64_t seen = load_rlx(word);
        if (seen == 0) {
            if (cas_acq(word, &seen, mine)) return C2_OK;
            continue;
        }
        if (owner_of(seen) == me && timeout_ns < 0) return C2_DEADLOCK;
        if (!(seen & C2_MUTEX_WAITERS)) {
            if (!cas_rlx(word, &seen, seen | C2_MUTEX_WAITERS)) continue;
            seen |= C2_MUTEX_WAITERS;
        }
        if (status == C2_INTERRUPTED) return status;
        if (status == C2_TIMEOUT) {
            now = c2_os_now();
            if (now >= look || (now >= deadline && look_is_due(now))) {
                if (inherit(word, seen)) return C2_OWNER_DIED;
                if (load_rlx(word) == 0) continue;
                if (slice < SLICE_MOST_NS)
                    slice = slice * 2 < SLICE_MOST_NS ? slice * 2 : SLICE_MOST_NS;
                look = now + slice;
            }
            if (now >= deadline) return C2_TIMEOUT;
        }
        mine = me | C2_MUTEX_WAITERS;
        status = c2_os_wait(low_half((const void *)word), 4, (uint32_t)seen,
                            look < deadline ? look : deadline);
    }
}

/* The word has WAITERS, and nobody but the owner changes such a word: a store will do. It is the
 * last time that the unlock touches the word: the next owner may free the memory, and the wake
 * uses only its address. A stray wake is allowed everywhere. */
int c2_mutex_unlock_slow(_Atomic uint64_t *word, uint64_t seen) {
    if (owner_of(seen) != c2_os_self()) return C2_NOT_OWNER;
    store_rel(word, 0);
    c2_os_wake(low_half((const void *)word), 4, 1);
    return C2_OK;
}

int c2_mutex_lock(void *word, int64_t timeout_ns) {
    return mutex_lock(word, timeout_ns);
}

int c2_mutex_unlock(void *word) {
    return mutex_give(word);
}

int c2_mutex_locked(const void *word) {
    return load_rlx((const _Atomic uint64_t *)word) != 0;
}
