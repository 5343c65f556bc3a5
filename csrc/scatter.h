/* Inside the scatter-add: one call, its loops, and the choice of a method. */
#ifndef C2_SCATTER_H
#define C2_SCATTER_H

#include "indices.h"

/* The hot slots of one call, found in a sample of its indices: a table of which every slot can
 * be in one place only. Never changed once it is made. */
enum { C2_HOT_BITS = 12, C2_HOT = 1 << C2_HOT_BITS };
#define C2_NO_SLOT UINT32_MAX /* slots are fewer, so no index is this one */
typedef struct c2_hot {
    uint32_t slot[C2_HOT];
} c2_hot;

static inline uint32_t hot_place(uint32_t slot) {
    return (slot * 2654435761u) >> (32 - C2_HOT_BITS); /* Knuth's multiplicative hash */
}

typedef struct c2_adds {
    int dtype;
    int index_dtype;
    void *base;
    int64_t slots;
    const void *indices;
    const void *values;
    int64_t value_mask; /* values[k & value_mask]: -1, or 0 for one value */
    int64_t n;
    c2_hot *hot; /* of the method that wants it */
} c2_adds;

/* The loops (scatter_loops.c) over indices from .. to - 1. Each returns `to`, or the position of
 * an index that is out of range, at which it stopped. */

/* Every add atomic, on the array. */
int64_t c2_adds_direct(const c2_adds *a, int64_t from, int64_t to);
/* Plain, on `copy`, as many elements as the array. */
int64_t c2_adds_private(const c2_adds *a, void *copy, int64_t from, int64_t to);
/* Hot slots plainly into `sums`, C2_HOT elements; the others as c2_adds_direct. */
int64_t c2_adds_cached(const c2_adds *a, void *sums, int64_t from, int64_t to);
/* The sums of the hot slots, atomically to where they belong. */
void c2_adds_flush(const c2_adds *a, const void *sums);

/* A private copy takes no more bytes than this (one that the third-level cache does not hold is no
 * faster to add to than the array), and those of one call all together no more than that. */
#define C2_COPY_MOST   ((int64_t)16 << 20)
#define C2_COPIES_MOST ((int64_t)64 << 20)

/* A method for this call, where the caller leaves the choice; sets *repeated. Looks at indices
 * that nobody has checked yet. */
int c2_adds_choose(const c2_adds *a, int threads, int writers, double *repeated);
/* Sets a->hot, to be freed. 0 when there is no memory for it and the sample, C2_HOT_SCRATCH bytes
 * in all. */
#define C2_HOT_SCRATCH ((int64_t)(sizeof(c2_hot) + (1 << 18)))
int c2_adds_find_hot(c2_adds *a);

#endif
