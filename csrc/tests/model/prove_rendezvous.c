/* The barrier that operators wait at: all go on or none does, and each then sees what all did. */
#include <stdlib.h>

#include "kernel.h"
#include "atomic.h"
#include "model.h"
#include "platform.h"

extern const c2_kernel_entry c2_kernels_rendezvous[];

enum { PARTIES = 3 };
static _Atomic uint64_t word;
static int parties, rounds; /* of a meeting; of the test */
static double seconds;      /* 0: no timeout */
static _Atomic int told_to_stop;
static int work[PARTIES][2];           /* plain: [who][round]; the meeting must order it */
static int met, gave_up, status_of[4]; /* of the last round */

/* What operator.c does over a blob. */
void *c2_in_scalar(c2_context *c, int i, int dtype) {
    return (void *)&word;
}
int c2_stopping(const c2_context *c) {
    return load_rlx(&told_to_stop);
}
int c2_fail(c2_context *c, int status, const char *format, ...) {
    return c->failed = status;
}

static int arrive(void) {
    const c2_arg args[] = {{.given = 1, .i = parties}, {.given = seconds > 0, .f = seconds}};
    c2_context c = {.args = args, .n_args = 2};
    c2_guard_enter();
    const int status = c2_kernels_rendezvous[0].kernel(&c);
    c2_guard_leave();
    return status;
}

static void party(void) {
    const int me = model_self() - 1;
    for (int round = 0; round < rounds; round++) {
        work[me][round] = 1;
        MODEL_CHECK(arrive() == C2_OK);
        for (int k = 0; k < parties; k++)
            MODEL_CHECK(work[k][round] == 1);
    }
}

/* Comes once, and may give up. */
static void guest(void) {
    const int me = model_self() - 1;
    work[me][0] = 1;
    const int status = status_of[me + 1] = arrive();
    for (int k = 0; k < parties && status == C2_OK && model_size() == parties; k++)
        MODEL_CHECK(work[k][0] == 1);
}

static void stopper(void) {
    store_rlx(&told_to_stop, 1);
}

static void two(void) {
    parties = 2, rounds = 1;
}
static void three(void) {
    parties = 3, rounds = 1;
}
static void two_twice(void) {
    parties = 2, rounds = 2;
}
static void impatient_two(void) {
    parties = 2, seconds = 5e-6;
}

static void all_met(void) {
    MODEL_CHECK(load_rlx(&word) == (uint64_t)rounds << 32);
}

/* Two met, or nobody; who gave up left no trace. */
static void pairs_met(void) {
    for (int k = 1; k <= model_count(); k++) {
        met += status_of[k] == C2_OK;
        gave_up += status_of[k] == C2_TIMEOUT || status_of[k] == C2_STOPPED;
    }
    MODEL_CHECK(met + gave_up == model_size());
    MODEL_CHECK(met == 0 || met == 2);
    MODEL_CHECK(load_rlx(&word) == (uint64_t)(met / 2) << 32);
}
static void pairs_met_or_stopped(void) {
    status_of[model_count()] = -1; /* the stopper's */
    pairs_met();
}

#define TEST(text, how, out, ...) .name = text, .setup = how, .end = out, .threads = {__VA_ARGS__}

static const model_test tests[] = {
    {TEST("2 parties", two, all_met, party, party), .bounds = {.stale = 3, .spurious = 1}},
    {TEST("3 parties", three, all_met, party, party, party),
     .bounds = {.stale = 1, .preemptions = 3}},
    {TEST("2 parties meet twice", two_twice, all_met, party, party),
     .bounds = {.stale = 2, .spurious = 1}},
    {TEST("2 parties, each gives up after 5 us", impatient_two, pairs_met, guest, guest),
     .patience = 10000, .size = 2, .bounds = {.stale = 1, .timeouts = 1}},
    {TEST("3 come to a meeting of 2, and give up after 5 us", impatient_two, pairs_met, guest,
          guest, guest),
     .patience = 10000, .size = 3, .bounds = {.stale = 1, .timeouts = 1, .preemptions = 3}},
    {TEST("2 parties, stopped meanwhile", two, pairs_met_or_stopped, guest, guest, stopper),
     .patience = 30 * 1000 * 1000, .size = 2, .bounds = {.stale = 1, .timeouts = 1}},
    {0}};

int main(int argc, char **argv) {
    return model_main(argc, argv, "barrier", tests);
}
