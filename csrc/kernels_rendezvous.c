/* A rendezvous: operators of nets that run at the same time wait for each other.
 *
 * Input 0 is an int64 scalar, anybody's memory (python/caffe2op/asyncnet/rendezvous.py works on
 * the same word, from other processes too):
 *
 * | bits   | meaning                                | changed by                                  |
 * |--------|----------------------------------------|---------------------------------------------|
 * | 0..31  | parties that have arrived and wait     | arriving: CAS +1; one that gives up: CAS -1 |
 * | 32..63 | meetings so far; wraps                 | the last to arrive: CAS to (meetings + 1, 0)|
 *
 * The arriving CAS releases what a party did before, and acquires what those before it did; the
 * last one's CAS is released to the acquire load that ends each wait. So all that any party did
 * before the meeting is seen by every party after it. One that gives up leaves no trace: whoever
 * comes next takes its place.
 */
#include "kernel.h"

#include "atomic.h"
#include "platform.h"

#define SLICE_NS (20 * 1000 * 1000)

static uint64_t meetings(uint64_t word) {
    return word >> 32;
}

/* The word, while it still is the one that we arrived at. */
static _Atomic uint64_t *same_word(c2_context *c, _Atomic uint64_t *word) {
    _Atomic uint64_t *now = c2_in_scalar(c, 0, C2_INT64);
    if (now && now != word) c2_fail(c, C2_TYPE, "input 0 was replaced during the rendezvous");
    return now == word ? now : NULL;
}

/* Take back the arrival at `met`. 0: too late, all have come. */
static int give_up(_Atomic uint64_t *word, uint64_t met) {
    uint64_t seen = load_acq(word);
    while (meetings(seen) == met)
        if (cas_acq_rel(word, &seen, seen - 1)) return 1;
    return 0;
}

static int wait_for_others(c2_context *c, _Atomic uint64_t *word, uint64_t met, int64_t deadline) {
    uint64_t seen;
    while (meetings(seen = load_acq(word)) == met) { /* meets the last one's CAS */
        const int64_t now = c2_os_now();
        const int stop = c2_stopping(c);
        if (stop || now >= deadline) {
            if (!give_up(word, met)) return C2_OK;
            return stop ? c2_fail(c, C2_STOPPED, "stopped during the rendezvous")
                        : c2_fail(c, C2_TIMEOUT,
                                  "the others did not come to the rendezvous in time");
        }
        const int64_t slice = now + SLICE_NS;
        c2_os_wait((void *)word, 8, seen, slice < deadline ? slice : deadline);
        /* Let memory be freed that others retired meanwhile; ours is looked up again. */
        c2_guard_leave();
        c2_guard_enter();
        if (!same_word(c, word)) return C2_TYPE;
    }
    return C2_OK;
}

static int rendezvous(c2_context *c) {
    const int64_t parties = c->args[0].i;
    const double seconds = c->args[1].f;
    _Atomic uint64_t *word = c2_in_scalar(c, 0, C2_INT64);
    if (!word) return C2_TYPE;
    const int64_t deadline =
        c->args[1].given && seconds < 9e9 ? c2_os_now() + (int64_t)(seconds * 1e9) : C2_FOREVER;
    uint64_t seen = load_acq(word);
    for (;;) {
        const uint32_t arrived = (uint32_t)seen + 1;
        const int last = arrived >= parties;
        if (last && arrived > parties)
            return c2_fail(c, C2_VALUE, "%u parties wait at a rendezvous of %lld", arrived - 1,
                           (long long)parties);
        const uint64_t next = last ? (meetings(seen) + 1) << 32 : seen + 1;
        if (!cas_acq_rel(word, &seen, next)) continue;
        if (!last) return wait_for_others(c, word, meetings(seen), deadline);
        c2_os_wake((void *)word, 8, INT32_MAX);
        return C2_OK;
    }
}

const c2_kernel_entry c2_kernels_rendezvous[] = {{"Rendezvous", rendezvous}, {NULL, NULL}};
