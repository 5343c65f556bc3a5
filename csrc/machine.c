/* A ball goes to and fro between two cores: half of the quickest round is the latency. */
#include "machine.h"

#include "atomic.h"
#include "platform.h"
#include "team.h"

enum { ROUNDS = 300 };

typedef struct court {
    c2_team team;
    _Alignas(
        64) _Atomic uint32_t ball; /* odd: the helper's turn; each adds one (release/acquire) */
    _Atomic uint32_t over;
} court;

static void play(void *arg) {
    court *c = arg;
    for (uint32_t turn = 1; !load_acq(&c->over); c2_os_relax())
        if (load_acq(&c->ball) == turn) {
            store_rel(&c->ball, turn + 1);
            turn += 2;
        }
}

static c2_machine measure(void) {
    c2_machine m = {.latency = 200, .signal = 30}; /* when no second core plays */
    court c = {0};
    c2_run run = {0};
    if (c2_os_cpus() < 2) return m;
    c2_team_begin(&c.team, 1, play, &c);
    const int64_t begin = c2_os_now();
    int64_t quickest = INT64_MAX, before = begin;
    for (uint32_t turn = 0; turn < 2 * ROUNDS; turn += 2) {
        store_rel(&c.ball, turn + 1);
        while (load_acq(&c.ball) != turn + 2)
            if (c2_os_now() - begin > 2 * 1000 * 1000) goto out; /* the other core is busy */
        const int64_t now = c2_os_now();
        if (now - before < quickest) quickest = now - before;
        before = now;
    }
    m.latency = (float)quickest / 2;
    m.signal = m.latency / 4;
out:
    store_rel(&c.over, 1);
    c2_team_end(&c.team, &run, NULL);
    return m;
}

c2_machine c2_machine_measured(void) {
    static _Atomic uint32_t state; /* 0: not measured; 1: somebody does; 2: done */
    static c2_machine machine;
    uint32_t nobody = 0;
    if (load_acq(&state) == 2) return machine;
    if (cas_acq(&state, &nobody, 1)) {
        machine = measure();
        store_rel(&state, 2); /* meets the load_acq above and below */
        return machine;
    }
    if (load_acq(&state) == 2) return machine;
    return measure(); /* beside another thread that measures: rare, and right too */
}
