/* The seam of platform.h in the model: sleeps, wakes, names, deaths and clocks that the checker
 * decides about.
 *
 * A sleep compares the newest value and begins in one step, as a futex does under its lock; a
 * wake reaches any of the sleepers. Neither orders any memory. Each thread has a clock of its own
 * that only its own calls and timeouts move on, so nothing may rest on comparing two threads'
 * clocks.
 */
#include "platform.h"

#include <string.h>

#include "engine.h"

_Static_assert(C2_OK == 0 && C2_TIMEOUT == 1 && C2_INTERRUPTED == 2, "engine.c says so too");

#define HERE __builtin_return_address(0)

static uint64_t newest(const void *word, int size) {
    uint64_t value = 0;
    memcpy(&value, word, (size_t)size);
    return value;
}

int c2_os_wait(const void *word, int size, uint64_t expected, int64_t deadline) {
    fiber *f = self();
    f->fast = 0;
    model_point();
    model_plain((uintptr_t)word, (size_t)size, 0, 1);
    const uint64_t now = newest(word, size);
    const int differs = now != expected, late = deadline <= f->clock;
    model_note(1, (uintptr_t)word, (uint64_t)(differs * 2 + late));
    model_event(differs ? "sleep: not begun" : "sleep", (uintptr_t)word, expected, now, 0, HERE);
    if (differs) return C2_OK;
    if (late) return C2_TIMEOUT;
    f->state = SLEEPING;
    f->bed = (uintptr_t)word;
    f->bed_size = size;
    f->deadline = deadline;
    model_schedule();
    model_note(2, (uint64_t)f->woken_with, 0);
    if (f->woken_with == C2_TIMEOUT) f->clock = deadline;
    return f->woken_with;
}

int c2_os_wake(const void *word, int size, int count) {
    self()->fast = 0;
    model_point();
    int woken = 0;
    for (; woken < count; woken++) {
        int found[THREADS], n = 0;
        for (int t = 0; t < M->threads; t++) {
            const fiber *f = &M->fiber[t];
            if (f->state == SLEEPING && f->bed == (uintptr_t)word && f->bed_size == size)
                found[n++] = t;
        }
        if (n == 0) break;
        fiber *f = &M->fiber[found[n <= count - woken ? 0 : model_choose(n)]];
        f->state = RUNNABLE;
        f->woken_with = C2_OK;
        /* It may come to run so late that its deadline has passed as well. */
        if (M->left.timeouts > 0 && f->deadline != C2_FOREVER && model_choose(2)) {
            M->left.timeouts--;
            f->clock = f->deadline;
            f->hash = mix(f->hash, 8);
        }
        M->changes++;
        M->idle_rounds = 0;
    }
    model_note(3, (uintptr_t)word, (uint64_t)woken);
    model_event("wake", (uintptr_t)word, (uint64_t)count, (uint64_t)woken, 0, HERE);
    return woken;
}

int64_t c2_os_now(void) {
    return self()->clock += 1;
}

void c2_os_relax(void) {
    fiber *f = self();
    if (M->alone) return;
    if (f->fast) {
        f->clock += 1000;
        return;
    }
    f->state = SPINNING;
    model_note(4, 0, 0);
    if (++M->steps > STEPS) model_fail(LIVELOCK, "an execution of more than %d steps", STEPS);
    model_schedule();
}

void c2_os_yield(void) {
    self()->fast = 0;
    c2_os_relax();
}

/* The low half names the process, the high half the thread. */
static uint64_t name_of(int t) {
    const uint64_t process = M->test->processes ? (uint64_t)t + 1 : 1;
    return process | ((uint64_t)t + 1) << 32;
}

uint64_t c2_os_self(void) {
    return name_of(M->current);
}

/* Who hears that a thread has ended sees all that it wrote: the system says so after its last
 * store. */
int c2_os_alive(uint64_t name) {
    self()->fast = 0;
    model_point();
    int alive = 0;
    for (int t = 0; t < M->threads; t++) {
        const fiber *f = &M->fiber[t];
        if (name_of(t) != name) continue;
        alive = f->state != DEAD && f->state != FINISHED;
        if (!alive) model_join(&self()->view, &f->view);
    }
    model_note(5, name, (uint64_t)alive);
    model_event(alive ? "looks: alive" : "looks: dead", 0, name, 0, 0, HERE);
    return alive;
}

int c2_os_thread(void (*body)(void *), void *arg) {
    self()->fast = 0;
    model_point();
    const int refused = M->left.refusals > 0 && model_choose(2);
    model_note(6, (uint64_t)refused, 0);
    model_event(refused ? "no thread to be had" : "starts a thread", 0, 0, 0, 0, HERE);
    if (refused) {
        M->left.refusals--;
        return C2_SYSTEM;
    }
    model_start(body, arg, 1);
    return C2_OK;
}

int c2_os_stay_on(const uint64_t *mask, uint64_t *before) {
    (void)mask, (void)before;
    return C2_SYSTEM;
}

void *c2_os_map(int64_t bytes) {
    (void)bytes;
    return NULL; /* nothing in the model is that large */
}
void c2_os_unmap(void *memory, int64_t bytes) {
    (void)memory, (void)bytes;
}

int c2_os_cpus(void) {
    return M->test->cpus ? M->test->cpus : 1;
}
