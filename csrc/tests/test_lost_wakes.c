/* No wake is lost. mutex.c and wait.c look again after a while in any case, which would hide a
 * lost wake behind a pause; here they run over a platform that sleeps until it is woken, so a
 * lost wake ends in the time box. (On the portable seam every sleep ends by itself.) */
#define _GNU_SOURCE
#include "threads.h"
#include "scalar.h"

static _Thread_local int keep_deadlines; /* of threads that mean to time out */
static _Atomic long sleeps;

static int sleep_until_woken(const void *word, int size, uint64_t expected, int64_t deadline) {
    add_acq_rel(&sleeps, 1);
    return c2_os_wait(word, size, expected, keep_deadlines ? deadline : C2_FOREVER);
}

#define c2_os_wait sleep_until_woken
#include "../mutex.c"
#include "../wait.c"
#undef c2_os_wait

enum { WORKERS = 4, HANDOVERS = SANITIZED ? 300 : 3000, TURNS = SANITIZED ? 300 : 3000 };

static _Atomic uint64_t word;
static _Atomic int patient_left;
static long count;

/* Long enough for the others to fall asleep now and then. */
static void hold(int k) {
    if (k % 50 == 0) usleep(100);
    count++;
}

static void *patient(void *arg) {
    for (int k = 0; k < HANDOVERS; k++) {
        CHECK_EQ(c2_mutex_lock(&word, -1), C2_OK);
        hold(k);
        CHECK_EQ(c2_mutex_unlock(&word), C2_OK);
    }
    sub_acq_rel(&patient_left, 1);
    return NULL;
}

/* Gives up nearly always, often just when it is woken. */
static void *hasty(void *arg) {
    keep_deadlines = 1;
    for (int k = 0; load_acq(&patient_left) > 0; k++) {
        const int status = c2_mutex_lock(&word, 10000 + k % 100 * 1000);
        if (status == C2_TIMEOUT) continue;
        CHECK_EQ(status, C2_OK);
        CHECK_EQ(c2_mutex_unlock(&word), C2_OK);
    }
    return NULL;
}

static void all_get_the_lock(int n_hasty) {
    pthread_t threads[WORKERS];
    store_rel(&patient_left, WORKERS - n_hasty);
    count = 0;
    for (int t = 0; t < WORKERS; t++)
        threads[t] = go(t < n_hasty ? hasty : patient, NULL);
    for (int t = 0; t < WORKERS; t++)
        pthread_join(threads[t], NULL);
    CHECK_EQ(count, (WORKERS - n_hasty) * HANDOVERS);
    CHECK_EQ(load_acq(&word), 0);
}

TEST(of_the_mutex) {
    const long before = load_acq(&sleeps);
    do
        all_get_the_lock(0);
    while (load_acq(&sleeps) == before); /* threads that ran one after the other did not sleep */
}

TEST(of_the_mutex_by_those_who_give_up) {
    all_get_the_lock(2);
}

static _Alignas(8) unsigned char taken[8];
static int size;

/* As in wait_bodies.h: only the high end of the value changes. */
static uint64_t high(unsigned n) {
    return size == 8 ? (uint64_t)n << 32 : (uint64_t)(n & 0x7F) << (8 * (size - 1));
}

static void *play(void *arg) {
    for (unsigned k = arg ? 1 : 0; k < TURNS; k += 2) {
        if (k > 0) CHECK_EQ(c2_wait(taken, size, high(k - 1), -1), C2_OK);
        if (k % 64 > 60) usleep(200);
        const uint64_t next = high(k + 1);
        if (size == 1) c2_u8_store(taken, (uint8_t)next, C2_RELEASE);
        if (size == 2) c2_u16_store(taken, (uint16_t)next, C2_RELEASE);
        if (size == 4) c2_u32_store(taken, (uint32_t)next, C2_RELEASE);
        if (size == 8) c2_u64_store(taken, next, C2_RELEASE);
        c2_notify(taken, size, 1);
    }
    return NULL;
}

TEST(of_wait_and_notify) {
    for (size = 1; size <= 8; size *= 2) {
        const long before = load_acq(&sleeps);
        do {
            memset(taken, 0, sizeof taken);
            const pthread_t thread = go(play, &size);
            play(NULL);
            pthread_join(thread, NULL);
        } while (load_acq(&sleeps) == before);
    }
}

int main(void) {
    RUN(of_the_mutex);
    RUN(of_the_mutex_by_those_who_give_up);
    RUN(of_wait_and_notify);
    return report();
}
