/* A run's failure, its end, and what is left out of it; the idea is told in run.h. */
#include "run.h"

#include <stdio.h>

#include "platform.h"

int c2_run_fail(c2_run *run, int status, const c2_net *net, int op, const char *message) {
    int32_t nobody = 0;
    if (cas_rlx((_Atomic int32_t *)&run->claimed, &nobody, 1)) {
        run->status = status;
        run->net = net;
        run->op = op;
        snprintf(run->message, sizeof run->message, "%s", message);
        store_rel((_Atomic int32_t *)&run->claimed, 2);
    }
    store_rlx((_Atomic int32_t *)&run->stop, 1);
    return status;
}

static void poll_now(c2_run *run) {
    const int status = run->poll();
    if (status) c2_run_fail(run, status, NULL, -1, "");
}

void c2_run_stop(c2_run *run) {
    store_rlx((_Atomic int32_t *)&run->stop, 1);
}

void c2_run_skip(c2_run *run, uint8_t *flags, const int32_t *ops, int64_t n) {
    for (int64_t k = 0; k < n; k++) {
        uint8_t none = 0;
        cas_rel((_Atomic uint8_t *)&flags[ops[k]], &none, C2_TO_SKIP);
    }
    store_rel((uint8_t *_Atomic *)&run->skip, flags);
}

int c2_run_skips_slow(c2_run *run, int32_t op) {
    _Atomic uint8_t *flags = (_Atomic uint8_t *)load_acq((uint8_t *_Atomic *)&run->skip);
    if (!load_acq(&flags[op])) return 0;
    store_rlx(&flags[op], C2_SKIPPED);
    return 1;
}

int c2_run_polls_here(const c2_run *run) {
    return run->poll && run->caller == c2_os_self();
}

int c2_run_stopping(c2_run *run) {
    if (c2_run_polls_here(run) && !c2_run_stopped(run)) poll_now(run);
    return c2_run_stopped(run);
}

void c2_tick_slow(c2_ticker *t, c2_run *run) {
    const int64_t poll_every = 50 * 1000 * 1000, quick = 1000 * 1000;
    const int64_t now = c2_os_now();
    /* Look at the clock about once a millisecond, whatever a call takes: between every call for
     * kernels of seconds and every 1024th for kernels of nanoseconds. */
    if (t->every < 1)
        t->every = 1;
    else if (now - t->last > 10 * quick)
        t->every = 1;
    else if (now - t->last < quick && t->every < 1024)
        t->every *= 2;
    t->left = t->every;
    if (run->poll && now / poll_every != t->last / poll_every && t->last) poll_now(run);
    t->last = now;
}
