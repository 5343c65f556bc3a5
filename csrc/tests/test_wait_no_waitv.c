/* The same tests on a Linux without futex_waitv, where 64-bit waits go in slices. */
#define _GNU_SOURCE
#ifdef C2_PLATFORM_linux
#include "../platform_linux.c"
#include "wait_bodies.h"

int main(void) {
    store_rlx(&no_waitv, 1);
    run_wait_tests();
    return report();
}
#else
#include "check.h"

int main(void) {
    return report();
}
#endif
