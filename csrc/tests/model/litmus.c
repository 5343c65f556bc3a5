/* The checker's own tests: small programs whose outcomes under C11 are known.
 *
 * Names as in Alglave, Maranget, Tautschnig, "Herding cats", 2014: each outcome is the one that
 * a sequentially consistent machine never shows (but for the two that say so).
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "atomic.h"
#include "model.h"
#include "platform.h"

static _Atomic int x, y;
static int data;
static int r[8];

#define LOAD(k, p, o)  r[k] = atomic_load_explicit(&p, memory_order_##o)
#define STORE(p, v, o) atomic_store_explicit(&p, v, memory_order_##o)
/* A thread of two operations. */
#define THREAD(name, first, second)                                                                \
    static void name(void) {                                                                       \
        first;                                                                                     \
        second;                                                                                    \
    }
#define END(name, outcome)                                                                         \
    static void name(void) {                                                                       \
        model_seen(outcome);                                                                       \
    }

/* SB: each stores to its own and reads the other's. */
THREAD(sb_0_sc, STORE(x, 1, seq_cst), LOAD(0, y, seq_cst))
THREAD(sb_1_sc, STORE(y, 1, seq_cst), LOAD(1, x, seq_cst))
THREAD(sb_0_ra, STORE(x, 1, release), LOAD(0, y, acquire))
THREAD(sb_1_ra, STORE(y, 1, release), LOAD(1, x, acquire))
END(sb, r[0] == 0 && r[1] == 0)
/* Half of it seq_cst does not do. */
THREAD(sb_1_half, STORE(y, 1, seq_cst), LOAD(1, x, acquire))
/* A read-modify-write in the place of the store does not help without seq_cst. */
THREAD(sb_0_rmw, atomic_exchange_explicit(&x, 1, memory_order_acq_rel), LOAD(0, y, acquire))
THREAD(sb_1_rmw, atomic_exchange_explicit(&y, 1, memory_order_acq_rel), LOAD(1, x, acquire))

/* MP: a message and its flag. */
THREAD(mp_0_rel, STORE(x, 1, relaxed), STORE(y, 1, release))
THREAD(mp_0_rlx, STORE(x, 1, relaxed), STORE(y, 1, relaxed))
THREAD(mp_1_acq, LOAD(0, y, acquire), LOAD(1, x, relaxed))
THREAD(mp_1_rlx, LOAD(0, y, relaxed), LOAD(1, x, relaxed))
END(mp, r[0] == 1 && r[1] == 0)
/* The flag is raised further by another's relaxed read-modify-write: a release sequence. */
static void mp_2_add(void) {
    add_rlx(&y, 1);
}
END(mp_sequence, r[0] == 2 && r[1] == 0)

/* The same with plain data: without acquire it is a race. */
static void plain_0(void) {
    data = 1;
    store_rel(&y, 1);
}
static void plain_1_acq(void) {
    if (load_acq(&y)) r[0] = data;
}
static void plain_1_rlx(void) {
    if (load_rlx(&y)) r[0] = data;
}

/* Coherence of one object. */
THREAD(corr_0, STORE(x, 1, relaxed), STORE(x, 2, relaxed))
THREAD(corr_1, LOAD(0, x, relaxed), LOAD(1, x, relaxed))
END(corr, r[0] == 2 && r[1] == 1)
THREAD(cowr_0, STORE(x, 1, relaxed), LOAD(0, x, relaxed))
static void cowr_1(void) {
    STORE(x, 2, relaxed);
}
THREAD(cowr_2, LOAD(1, x, relaxed), LOAD(2, x, relaxed))
/* Thread 0 sees 2 after its 1, thread 2 sees 1 after 2. */
END(cowr, r[0] == 2 && r[1] == 2 && r[2] == 1)
static void add_twice(void) {
    add_rlx(&x, 1);
    add_rlx(&x, 1);
}
END(lost_add, load_rlx(&x) != 4)

/* IRIW: two readers see two writers in opposite orders. */
static void iriw_0(void) {
    STORE(x, 1, release);
}
static void iriw_1(void) {
    STORE(y, 1, release);
}
static void iriw_0_sc(void) {
    STORE(x, 1, seq_cst);
}
static void iriw_1_sc(void) {
    STORE(y, 1, seq_cst);
}
THREAD(iriw_2_acq, LOAD(0, x, acquire), LOAD(1, y, acquire))
THREAD(iriw_3_acq, LOAD(2, y, acquire), LOAD(3, x, acquire))
THREAD(iriw_2_sc, LOAD(0, x, seq_cst), LOAD(1, y, seq_cst))
THREAD(iriw_3_sc, LOAD(2, y, seq_cst), LOAD(3, x, seq_cst))
END(iriw, r[0] == 1 && r[1] == 0 && r[2] == 1 && r[3] == 0)

/* 2+2W: both objects end with what was stored first. */
THREAD(w22_0_rel, STORE(x, 1, release), STORE(y, 2, release))
THREAD(w22_1_rel, STORE(y, 1, release), STORE(x, 2, release))
THREAD(w22_0_sc, STORE(x, 1, seq_cst), STORE(y, 2, seq_cst))
THREAD(w22_1_sc, STORE(y, 1, seq_cst), STORE(x, 2, seq_cst))
END(w22, load_rlx(&x) == 1 && load_rlx(&y) == 1)

/* LB: each reads the other's and then stores to its own. C11 allows both to read 1 when relaxed;
 * this model has no loads from the future (README.md), and this test says so. */
THREAD(lb_0, LOAD(0, x, relaxed), STORE(y, 1, relaxed))
THREAD(lb_1, LOAD(1, y, relaxed), STORE(x, 1, relaxed))
END(lb, r[0] == 1 && r[1] == 1)

/* WRC: causality through a third thread. */
static void wrc_0(void) {
    STORE(x, 1, release);
}
static void wrc_1(void) {
    LOAD(0, x, acquire);
    if (r[0]) STORE(y, 1, release);
}
static void wrc_1_rlx(void) {
    LOAD(0, x, relaxed);
    if (r[0]) STORE(y, 1, relaxed);
}
THREAD(wrc_2, LOAD(1, y, acquire), LOAD(2, x, relaxed))
END(wrc, r[0] == 1 && r[1] == 1 && r[2] == 0)

/* Sleeping: change then wake, against look then sleep. */
static void sleeper(void) {
    while (load_acq(&x) == 0)
        c2_os_wait((const void *)&x, 4, 0, C2_FOREVER);
}
static void waker(void) {
    store_rel(&x, 1);
    c2_os_wake((const void *)&x, 4, 1);
}
static void waker_first(void) {
    c2_os_wake((const void *)&x, 4, 1);
    store_rel(&x, 1);
}

/* Spinning: both wait for the other to begin. */
static void spin_0(void) {
    while (!load_acq(&x))
        c2_os_relax();
    store_rel(&y, 1);
}
static void spin_1(void) {
    while (!load_acq(&y))
        c2_os_relax();
    store_rel(&x, 1);
}

#define LITMUS(text, out, how, ...)                                                                \
    {.name = text, .threads = {__VA_ARGS__}, .end = out, .bounds = {.stale = -1}, .outcome = how}
#define FAILS(text, how, ...)                                                                      \
    {.name = text, .threads = {__VA_ARGS__}, .bounds = {.stale = 2}, .fails = how}

static const model_test tests[] = {
    LITMUS("store buffering, seq_cst: forbidden", sb, MODEL_FORBIDDEN, sb_0_sc, sb_1_sc),
    LITMUS("store buffering, release/acquire: allowed", sb, MODEL_ALLOWED, sb_0_ra, sb_1_ra),
    LITMUS("store buffering, one load acquire: allowed", sb, MODEL_ALLOWED, sb_0_sc, sb_1_half),
    LITMUS("store buffering, acq_rel exchanges: allowed", sb, MODEL_ALLOWED, sb_0_rmw, sb_1_rmw),
    LITMUS("message passing, release/acquire: forbidden", mp, MODEL_FORBIDDEN, mp_0_rel, mp_1_acq),
    LITMUS("message passing, relaxed store: allowed", mp, MODEL_ALLOWED, mp_0_rlx, mp_1_acq),
    LITMUS("message passing, relaxed load: allowed", mp, MODEL_ALLOWED, mp_0_rel, mp_1_rlx),
    LITMUS("message passing over a release sequence: forbidden", mp_sequence, MODEL_FORBIDDEN,
           mp_0_rel, mp_1_acq, mp_2_add),
    LITMUS("coherence, read-read: forbidden", corr, MODEL_FORBIDDEN, corr_0, corr_1),
    LITMUS("coherence, write-read against a reader: forbidden", cowr, MODEL_FORBIDDEN, cowr_0,
           cowr_1, cowr_2),
    LITMUS("a relaxed add lost: forbidden", lost_add, MODEL_FORBIDDEN, add_twice, add_twice),
    LITMUS("IRIW, seq_cst: forbidden", iriw, MODEL_FORBIDDEN, iriw_0_sc, iriw_1_sc, iriw_2_sc,
           iriw_3_sc),
    LITMUS("IRIW, release/acquire: allowed", iriw, MODEL_ALLOWED, iriw_0, iriw_1, iriw_2_acq,
           iriw_3_acq),
    LITMUS("2+2W, seq_cst: forbidden", w22, MODEL_FORBIDDEN, w22_0_sc, w22_1_sc),
    LITMUS("2+2W, release: allowed", w22, MODEL_ALLOWED, w22_0_rel, w22_1_rel),
    LITMUS("load buffering, relaxed: allowed, but not modelled", lb, MODEL_FORBIDDEN, lb_0, lb_1),
    LITMUS("causality over three, release/acquire: forbidden", wrc, MODEL_FORBIDDEN, wrc_0, wrc_1,
           wrc_2),
    LITMUS("causality over three, relaxed: allowed", wrc, MODEL_ALLOWED, wrc_0, wrc_1_rlx, wrc_2),
    FAILS("plain data behind release/acquire: no race", NULL, plain_0, plain_1_acq),
    FAILS("plain data behind a relaxed load: a race", "data race", plain_0, plain_1_rlx),
    FAILS("change, then wake: no wake is lost", NULL, sleeper, waker),
    FAILS("wake, then change: a lost wake", "lost wake", sleeper, waker_first),
    FAILS("two that wait for each other: a livelock", "livelock", spin_0, spin_1),
    {0}};

int main(int argc, char **argv) {
    return model_main(argc, argv, "litmus", tests);
}
