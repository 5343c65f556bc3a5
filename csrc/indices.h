/* The caller's indices: checked twice, and used only as what the second look saw.
 *
 * A first pass over all of them, plain and without branches so that it vectorizes, runs before
 * the first write: a bad index changes nothing. But the GIL is released, and somebody may write
 * the index array between the passes. So the second pass reads each index once, atomically, and
 * looks at that very value again before it uses it: memory outside the array is never touched.
 */
#ifndef C2_INDICES_H
#define C2_INDICES_H

#include "scalar.h"

/* Above this many bytes a table does not stay in the second-level cache, and asking for an
 * element some iterations early hides most of the miss; below it the request only costs. */
#define C2_LARGE_TABLE ((int64_t)1 << 20)
#define C2_AHEAD       24

#define C2_INDEX_TYPES(X)                                                                          \
    X(i32, int32_t, C2_INT32, uint32_t, INT32_MAX)                                                 \
    X(i64, int64_t, C2_INT64, uint64_t, INT64_MAX)

/* Index k of the second pass: read once, and `slots` or more when it is out of range. */
#define C2_DEFINE_SLOT(i, I, icode, U, MAX)                                                        \
    static inline uint64_t slot_##i(const I *indices, int64_t k, int64_t slots) {                  \
        const int64_t index = c2_##i##_load(indices + k, C2_RELAXED);                              \
        return (uint64_t)index + (index < 0 ? (uint64_t)slots : 0);                                \
    }
C2_INDEX_TYPES(C2_DEFINE_SLOT)

/* Only a request to the memory system: a wild address does no harm, hence the integer sums.
 * Without prefetchw in the function's target, gcc makes a request to write one to read, and a
 * line that another core holds is then fetched twice. (A processor that does not know the
 * instruction takes it as a nop.) */
#define C2_REQUEST(base, slot, size, write)                                                        \
    __builtin_prefetch((const void *)((uintptr_t)(base) + (slot) * (size)), write, 3)
#if defined(__x86_64__)
#define C2_FOR_WRITING __attribute__((target("prfchw")))
#else
#define C2_FOR_WRITING
#endif

/* The first pass over indices from .. to - 1: the position of the first k that is not
 * -slots <= indices[k] < slots, or `to`; -1 for no index type at all. */
int64_t c2_first_bad(const void *indices, int index_dtype, int64_t from, int64_t to, int64_t slots);

#endif
