/* Random numbers for tests: xorshift (Marsaglia 2003), the same at every run. */
#ifndef C2_TEST_RANDOM_STATE_H
#define C2_TEST_RANDOM_STATE_H

#include <stdint.h>

static uint64_t random_state = 88172645463325252u;
static inline uint64_t next_random(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}

#endif
