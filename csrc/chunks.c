/* One loop on several threads; the idea is told in chunks.h.
 *
 *   word    meaning                       who changes it
 *   next    first element not yet taken   any part: + chunk, by which it takes that chunk
 *   parts   how many parts have begun     any part, once, when it begins
 *   stop    a body asked to stop          any part, 0 -> 1; looked at before a chunk is taken
 *
 * All relaxed: what they hand out is a number. A helper sees the job because the pool's release
 * meets the thread's acquire (pool.c), and the caller sees what helpers did by the team's word.
 */
#include "chunks.h"

#include "team.h"

typedef struct loop {
    c2_chunk_body body;
    void *job;
    int64_t n, chunk;
    _Alignas(64) _Atomic int64_t next;
    _Atomic int parts, stop;
} loop;

static void take_part(void *arg) {
    loop *l = arg;
    int part = -1;
    while (!load_rlx(&l->stop)) {
        const int64_t from = add_rlx(&l->next, l->chunk);
        if (from >= l->n) return;
        if (part < 0) part = add_rlx(&l->parts, 1);
        if (l->body(l->job, part, from, l->n - from < l->chunk ? l->n : from + l->chunk))
            store_rlx(&l->stop, 1);
    }
}

int c2_in_chunks(int64_t n, int64_t chunk, int threads, c2_chunk_body body, void *job) {
    if (n <= 0) return 0;
    const int64_t chunks = (n - 1) / chunk + 1;
    if (threads > chunks) threads = (int)chunks;
    if (threads > C2_PARTS_MOST) threads = C2_PARTS_MOST;
    if (threads <= 1) {
        body(job, 0, 0, n);
        return 1;
    }
    loop l = {.body = body, .job = job, .n = n, .chunk = chunk};
    c2_team team = {0};
    c2_team_begin(&team, threads - 1, take_part, &l);
    take_part(&l);
    c2_team_end(&team, NULL, NULL);
    return load_rlx(&l.parts);
}
