/* Helpers for one run; the idea is told in team.h. */
#include "team.h"

#include "platform.h"
#include "reclaim.h"

static void help(void *arg) {
    c2_team *team = arg;
    c2_guard_enter();
    team->body(team->arg);
    c2_guard_leave();
    /* The wake comes after the last touch, by address only (plan.c says why that is harmless). */
    _Atomic uint32_t *const word = &team->helpers;
    if (sub_acq_rel(word, 1) == 1) c2_os_wake((void *)word, 4, 1);
}

void c2_team_begin(c2_team *team, int32_t count, void (*body)(void *), void *arg) {
    team->body = body;
    team->arg = arg;
    team->count = 0;
    while (team->count < count && team->count < C2_TEAM_MOST) {
        add_rlx(&team->helpers, 1);
        team->hired[team->count].worker =
            c2_pool_start(help, team, &team->hired[team->count].ticket);
        if (!team->hired[team->count].worker) {
            add_rlx(&team->helpers, -1);
            return; /* fewer hands do the same work */
        }
        team->count++;
    }
}

static void sleep_while(c2_team *team, uint32_t left, c2_run *run, const c2_ticker *ticker) {
    c2_os_wait(&team->helpers, 4, left, c2_os_now() + 50 * 1000000);
    if (ticker) c2_run_stopping(run);
}

void c2_team_wait(c2_team *team, c2_run *run, const c2_ticker *ticker) {
    uint32_t left;
    while ((left = load_acq(&team->helpers)) != 0)
        sleep_while(team, left, run, ticker);
}

void c2_team_end(c2_team *team, c2_run *run, const c2_ticker *ticker) {
    for (int32_t k = 0; k < team->count; k++)
        if (c2_pool_revoke(team->hired[k].worker, team->hired[k].ticket))
            sub_acq_rel(&team->helpers, 1);
    uint32_t left;
    /* A helper that has begun has found nothing left to do, or does the last bit: spin first. */
    for (int spin = 0; (left = load_acq(&team->helpers)) != 0; spin++)
        if (spin < 1000)
            c2_os_relax();
        else
            sleep_while(team, left, run, ticker);
}
