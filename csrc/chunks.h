/* One loop on several threads, in two ways: whoever is free takes the next chunk; or each has a
 * stretch of its own, from which those who are done take the second half of what is left.
 *
 * Chunks suit work of which the order counts, or that any core does as well as another. Stretches
 * suit memory that each call goes through again, and that is written: neighbours are done by one
 * core, and each time by the same one, as long as the helpers come in time.
 *
 * The caller takes part and needs nobody: a helper that comes late finds fewer chunks, one that
 * never comes is not missed (team.h). Chunks are taken in rising order, and each that was taken
 * has been done when c2_in_chunks returns; what the helpers wrote is visible then.
 */
#ifndef C2_CHUNKS_H
#define C2_CHUNKS_H

#include "c2.h"

enum { C2_PARTS_MOST = 64 };

/* Elements from .. to - 1, by part `part`; nonzero: take no more. */
typedef int (*c2_chunk_body)(void *job, int part, int64_t from, int64_t to);

/* body over 0 .. n - 1 in chunks of `chunk` on at most `threads` threads, the caller's among
 * them; all in one chunk when that leaves the caller alone. Parts are 0, 1, ... in the
 * order in which they begin. Returns how many took part: never more than there are chunks, nor
 * than C2_PARTS_MOST. */
int c2_in_chunks(int64_t n, int64_t chunk, int threads, c2_chunk_body body, void *job);

/* What is left of one such loop. */
typedef struct c2_stretches c2_stretches;

/* The next unit for part `part`, or -1 when all have been taken. */
int64_t c2_stretches_next(c2_stretches *left, int part);

typedef void (*c2_stretch_body)(void *job, c2_stretches *left, int part);

/* body on at most `threads` threads, the caller's among them; together they get each of the units
 * 0 .. n - 1 once, n < 2^31. Units that were got have been done when this returns; parts are as in
 * c2_in_chunks. */
void c2_in_stretches(int64_t n, int threads, c2_stretch_body body, void *job);

#endif
