/* base[k] += scale * values[k], each element in one relaxed atomic operation, 16 bytes at a time.
 *
 * For the dense add (dense.c), whose promise it keeps: nothing is lost, whoever else adds
 * atomically, in words of whatever size, from any process. An exchange of 16 bytes (cmpxchg16b)
 * takes 1.15 times as long as one of 8 on Zen 5. Other processors do not do it, nor does
 * ThreadSanitizer, which would not see into it.
 */
#ifndef C2_WIDE_H
#define C2_WIDE_H

#include <stdint.h>

/* Does a multiple of 16 bytes, from `base`, which is aligned to 16. Returns how many elements:
 * nearly all of n, or 0 where the processor cannot. The rest is the caller's. */
int64_t c2_wide_add_f32(float *base, const float *values, float scale, int64_t n);
int64_t c2_wide_add_f64(double *base, const double *values, double scale, int64_t n);

#endif
