/* base[k] += scale * values[k], each element in one relaxed atomic operation, 16 bytes at a time
 * where the processor can.
 *
 * The twin of c2_dense_add for float32 and float64, on one thread, same result, same promise:
 * nothing is lost, whoever else adds atomically, in words of whatever size, from any process.
 * An exchange of 16 bytes (cmpxchg16b) takes 1.15 times as long as one of 8 on Zen 5. Other
 * processors, and ThreadSanitizer, which does not see into it, get c2_dense_add itself.
 */
#ifndef C2_WIDE_H
#define C2_WIDE_H

#include <stdint.h>

void c2_wide_add_f32(float *base, const float *values, float scale, int64_t n);
void c2_wide_add_f64(double *base, const double *values, double scale, int64_t n);

#endif
