/* Updates by plain vector loops that lose nothing: a lock for each stretch of the memory, for as
 * long as nobody can reach it who would not take that lock.
 *
 * An atomic instruction costs 5 ns and changes one or two parameters; a vector loop changes 50 in
 * that time. What a plain loop cannot bear is somebody who adds atomically between its load and
 * its store. But the memory of a blob that the library allocated is reached through operators
 * only: it belongs to one process, and no array of the caller's lies on it. So there the
 * optimizers take turns, stripe by stripe, and add plainly; everybody else who adds atomically, or
 * hands the address to somebody who might, first *opens* the memory, for good: from then on the
 * optimizers add by atomic instructions too.
 *
 *   memory                          who may write its elements atomically     optimizers add
 *   of a blob, closed               the holder of the stripe's lock           plainly
 *   of a blob, open                 anybody: an operator that adds in single  by atomic
 *                                   words, a function of the user that has    instructions
 *                                   seen the address, a Python array on it
 *   the caller's (ShareBlob)        anybody, in any process: always open      the same
 *
 * The word `access` of a c2_memory:
 *
 *   value      meaning                                    who changes it
 *   CLOSED     plain adds, under the stripe's lock        c2_memory_open: -> OPENING (relaxed)
 *   OPENING    a plain add may not have ended yet         c2_memory_open: -> OPEN (release), after
 *                                                         it has held each lock of the memory
 *   OPEN       no plain add is on, nor will be            nobody
 *
 * Why that is enough. Take one plain add under lock L and one opener. If the add's turn at L comes
 * first, its unlock (release) meets the opener's lock (acquire): all its stores come before what
 * the opener does next. If the opener's comes first, its unlock meets the adder's lock, so the
 * adder's look at `access`, which is made under the lock, finds OPENING or OPEN, and it adds
 * atomically. A second opener who finds OPENING takes the locks himself; one who finds OPEN
 * (acquire) meets the release of who wrote it. csrc/tests/model/prove_stripes.c runs it through
 * every schedule.
 *
 *   operation         who may call                     blocks
 *   c2_stripe_take    anybody who holds no stripe      for as long as another's turn: some 3 us
 *   c2_stripe_give    who took it
 *   c2_memory_open    anybody who holds no stripe      the first time, as c2_stripe_take
 *
 * Readers take no lock: they see each element before or after, as ever. Those who store plainly
 * (Copy, ScatterAssign) have no promise from either kind of add, and give none.
 */
#ifndef C2_STRIPES_H
#define C2_STRIPES_H

#include "blob.h"
#include "mutex.h"

/* The lock, held, under which elements from `at` on may be written plainly: *bytes of them, which
 * was how many are wanted, at least 1. NULL, and *bytes as it was, where memory (which `at` lies
 * in) is open; so is NULL. Elements are aligned to their size: none crosses the end of a stripe. */
_Atomic uint64_t *c2_stripe_take(c2_memory *memory, const void *at, int64_t *bytes);

static inline void c2_stripe_give(_Atomic uint64_t *lock) {
    if (lock) mutex_give(lock);
}

void c2_memory_open_slow(c2_memory *memory);

/* After this, who adds atomically to elements in this memory loses nothing and makes nobody lose
 * anything. NULL is the caller's memory: open. */
static inline void c2_memory_open(c2_memory *memory) {
    if (memory && load_acq(&memory->access) != C2_MEMORY_OPEN) c2_memory_open_slow(memory);
}

/* The memory of a tensor that a kernel got from c2_in or c2_out. */
static inline c2_memory *c2_memory_of(const c2_tensor *tensor) {
    return ((const c2_body *)((const char *)tensor - offsetof(c2_body, tensor)))->memory;
}

#endif
