/* The same tests on a Linux without futex_waitv, where 64-bit waits go in slices. */
#define _GNU_SOURCE
#include "../platform_linux.c"
#include "wait_bodies.h"

static void *sleep_on_both_halves(void *arg) {
    while (c2_u64_load(arg, C2_ACQUIRE) == 7)
        c2_os_wait(arg, 8, 7, C2_FOREVER);
    return NULL;
}

/* Of the halves only the high one changes, and nobody wakes: the slices must see it. */
TEST(the_high_half_is_looked_at) {
    uint64_t word = 7;
    const pthread_t thread = go(sleep_on_both_halves, &word);
    usleep(3000);
    c2_u64_store(&word, UINT64_C(1) << 40 | 7, C2_RELEASE);
    pthread_join(thread, NULL);
}

int main(void) {
    store_rlx(&no_waitv, 1);
    run_wait_tests();
    RUN(the_high_half_is_looked_at);
    return report();
}
