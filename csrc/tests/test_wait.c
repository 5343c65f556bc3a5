/* wait and notify, for every size, between threads and between processes. */
#define _GNU_SOURCE
#include "wait_bodies.h"

int main(void) {
    run_wait_tests();
    return report();
}
