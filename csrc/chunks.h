/* One loop on several threads: whoever is free takes the next chunk.
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

#endif
