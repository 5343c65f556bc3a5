/* Adding a whole array to another, as the scatter-add's merge and the operators need it. */
#ifndef C2_DENSE_H
#define C2_DENSE_H

#include "indices.h"

/* base[k] += values[k] for k < n, as c2_dense_add, for values of which many are zero: words of
 * zeros are passed over, and nothing is written there. (Which leaves a -0.0 where adding 0.0 would
 * have made it 0.0.) */
void c2_dense_add_sparse(int dtype, void *base, const void *values, int64_t n);

/* base[k] += *scale * values[k], or values[k] where scale is NULL; plainly, on memory that nobody
 * else uses meanwhile. near: the memory is likely to be in a cache. */
void c2_dense_plain(int dtype, void *base, const void *values, const void *scale, int64_t n,
                    bool near);

#endif
