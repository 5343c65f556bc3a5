/* Wait for a value in shared memory to change, and tell those who wait.
 *
 *     waiter                                    notifier
 *     while (load_acq(word) == expected)        store_rel(word, other)     (or any stronger change)
 *         sleep on word                         wake those who sleep on word
 *
 * The acquire load that ends the wait meets the release of the change, so the waiter sees all
 * that the notifier did before it. A change and its notify that come between the load and the
 * sleep end the sleep at once, as the system compares the value when it queues the sleeper.
 *
 *   operation   who may call   blocks
 *   c2_wait     anybody        until the value differs, the deadline, or a signal
 *   c2_notify   anybody        no; count < 0 wakes all
 *
 * A change that nobody notifies (its process was killed in between, or it was a plain store) is
 * seen all the same, within RECHECK_NS. A value that changes and changes back before the waiter
 * has looked is not a change to it.
 */
#include "cpu.h"
#include "platform.h"
#include "scalar.h"

/* Ten looks a second cost nothing that can be measured. */
#define RECHECK_NS 100000000

/* A notifier on another core is 0.2 us away, a sleep and a wake cost 20-40 us. */
enum { SPINS = 64 };

static uint64_t value_at(const void *word, int size) {
    switch (size) {
    case 1: return c2_u8_load(word, C2_ACQUIRE);
    case 2: return c2_u16_load(word, C2_ACQUIRE);
    case 4: return c2_u32_load(word, C2_ACQUIRE);
    default: return c2_u64_load(word, C2_ACQUIRE);
    }
}

static int check_word(const void *word, int size) {
    if (size != 1 && size != 2 && size != 4 && size != 8) return C2_VALUE;
    return (uintptr_t)word & (uintptr_t)(size - 1) ? C2_ALIGNMENT : C2_OK;
}

int c2_wait(const void *word, int size, uint64_t expected, int64_t timeout_ns) {
    const int wrong = check_word(word, size);
    if (wrong) return wrong;
    for (int k = 0; k < SPINS; k++) {
        if (value_at(word, size) != expected) return C2_OK;
        if (timeout_ns == 0) return C2_TIMEOUT;
        cpu_relax();
    }
    const int64_t start = c2_os_now();
    const int64_t deadline =
        timeout_ns < 0 || timeout_ns > C2_FOREVER - start ? C2_FOREVER : start + timeout_ns;
    int64_t recheck = start + RECHECK_NS;
    for (;;) {
        const int status =
            c2_os_wait(word, size, expected, recheck < deadline ? recheck : deadline);
        if (value_at(word, size) != expected) return C2_OK;
        if (status == C2_INTERRUPTED) return status;
        if (status == C2_TIMEOUT) {
            const int64_t now = c2_os_now();
            if (now >= deadline) return C2_TIMEOUT;
            recheck = now + RECHECK_NS;
        }
    }
}

int c2_notify(const void *word, int size, int count) {
    return check_word(word, size) ? 0 : c2_os_wake(word, size, count < 0 ? INT32_MAX : count);
}
