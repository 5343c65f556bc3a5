/* Wait and notify: no wake is lost, and what was written before the change is seen. */
#include "atomic.h"
#include "model.h"
#include "platform.h"

static _Atomic uint32_t word;
static _Atomic uint64_t wide;
static _Atomic uint8_t narrow;
static int message, heard; /* plain: a race where the wait does not order them */

static void waiter(void) {
    int status;
    while ((status = c2_wait((const void *)&word, 4, 0, -1)) == C2_INTERRUPTED) {
    }
    MODEL_CHECK(status == C2_OK);
    MODEL_CHECK(message == 7);
}

static void notifier(void) {
    message = 7;
    store_rel(&word, 1);
    c2_notify((const void *)&word, 4, model_size());
}

static void wide_waiter(void) {
    MODEL_CHECK(c2_wait((const void *)&wide, 8, 0, -1) == C2_OK);
    MODEL_CHECK(message == 7);
}

static void wide_notifier(void) { /* the high half only */
    message = 7;
    store_rel(&wide, UINT64_C(1) << 32);
    c2_notify((const void *)&wide, 8, 1);
}

static void narrow_waiter(void) {
    MODEL_CHECK(c2_wait((const void *)&narrow, 1, 0, -1) == C2_OK);
    MODEL_CHECK(message == 7);
}

static void narrow_notifier(void) {
    message = 7;
    store_rel(&narrow, 1);
    c2_notify((const void *)&narrow, 1, -1);
}

static void impatient(void) {
    const int status = c2_wait((const void *)&word, 4, 0, 5000);
    MODEL_CHECK(status == C2_OK || status == C2_TIMEOUT);
    if (status == C2_OK) MODEL_CHECK(message == 7);
}

/* To and fro, three times: each waits for the other's turn. */
static void ping(void) {
    for (uint32_t turn = 0; turn < 3; turn++) {
        message++;
        store_rel(&word, 2 * turn + 1);
        c2_notify((const void *)&word, 4, 1);
        c2_wait((const void *)&word, 4, 2 * turn + 1, -1);
    }
}

static void pong(void) {
    for (uint32_t turn = 0; turn < 3; turn++) {
        c2_wait((const void *)&word, 4, 2 * turn, -1);
        message++;
        heard++;
        store_rel(&word, 2 * turn + 2);
        c2_notify((const void *)&word, 4, 1);
    }
}

static void all_heard(void) {
    MODEL_CHECK(message == 6 && heard == 3);
}

static const model_test tests[] = {
    {.name = "a waiter and a notifier",
     .threads = {waiter, notifier},
     .size = 1,
     .bounds = {.stale = 3, .spins = 1, .spurious = 2, .interrupts = 2}},
    {.name = "two waiters, all are notified",
     .threads = {waiter, waiter, notifier},
     .size = -1,
     .bounds = {.stale = 1, .spins = 2, .spurious = 1}},
    {.name = "8 bytes, the high half changes",
     .threads = {wide_waiter, wide_notifier},
     .bounds = {.stale = 2, .spins = 1, .spurious = 1}},
    {.name = "1 byte, two waiters",
     .threads = {narrow_waiter, narrow_waiter, narrow_notifier},
     .bounds = {.stale = 1, .spins = 2}},
    {.name = "one of two waiters gives up after 5 us",
     .threads = {waiter, impatient, notifier},
     .size = -1,
     .patience = 10000,
     .bounds = {.stale = 1, .spins = 2, .timeouts = 1}},
    {.name = "to and fro, three times",
     .threads = {ping, pong},
     .end = all_heard,
     .bounds = {.stale = 1, .spins = 6}},
    {0}};

int main(int argc, char **argv) {
    return model_main(argc, argv, "wait", tests);
}
