/* Random numbers from a counter: number k of the stream `seed` is a function of both, so there
 * is no state that threads would share, and any part of a tensor can be filled alone.
 *
 * The generator is SplitMix64: G. L. Steele, D. Lea, C. H. Flood, "Fast Splittable Pseudorandom
 * Number Generators", OOPSLA 2014; mix64 in cpu.h is its last step.
 * Good for initial values and sampling, not for secrets.
 */
#ifndef C2_RANDOM_H
#define C2_RANDOM_H

#include <stdint.h>
#include "cpu.h"

/* 64 random bits: the k-th of the stream, from 0. */
static inline uint64_t c2_random_bits(uint64_t seed, uint64_t k) {
    return mix64(seed + (k + 1) * 0x9e3779b97f4a7c15u);
}

#endif
