/* One loop on several threads; the idea is told in chunks.h.
 *
 * A loop in chunks:
 *
 *   word    meaning                       who changes it
 *   next    first element not yet taken   any part: + chunk, by which it takes that chunk
 *   parts   how many parts have begun     any part, once, when it begins
 *   stop    a body asked to stop          any part, 0 -> 1; looked at before a chunk is taken
 *
 * A loop in stretches:
 *
 *   word        meaning                       who changes it
 *   left[p]     units next .. end - 1, with   part p: next + 1, by which it takes that unit; or,
 *               next in the upper half,       while it is empty, to what it has taken from another
 *               end in the lower one          any part: end to the middle, by which it takes what
 *                                             was behind
 *   parts       as above
 *
 * No unit comes back once it was taken, so a word that looks the same is the same: a late exchange
 * takes what is there.
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

/* ---- in stretches ----------------------------------------------------------------------- */

struct c2_stretches {
    c2_stretch_body body;
    void *job;
    int threads;
    _Atomic int parts;
    struct {
        _Alignas(64) _Atomic uint64_t left;
    } of[C2_PARTS_MOST];
};

static uint64_t stretch(uint64_t next, uint64_t end) {
    return next << 32 | end;
}
static uint64_t next_of(uint64_t left) {
    return left >> 32;
}
static uint64_t end_of(uint64_t left) {
    return left & UINT32_MAX;
}

/* The part that has the most left, and what it has; 0 when nobody has anything. */
static uint64_t most_left(c2_stretches *s, int *part) {
    uint64_t best = 0;
    for (int p = 0; p < s->threads; p++) {
        const uint64_t left = load_rlx(&s->of[p].left);
        if (end_of(left) - next_of(left) > end_of(best) - next_of(best)) {
            best = left;
            *part = p;
        }
    }
    return best;
}

int64_t c2_stretches_next(c2_stretches *s, int part) {
    uint64_t own = load_rlx(&s->of[part].left);
    while (next_of(own) < end_of(own))
        if (cas_rlx(&s->of[part].left, &own, stretch(next_of(own) + 1, end_of(own))))
            return (int64_t)next_of(own);
    uint64_t left;
    int other = 0;
    while ((left = most_left(s, &other)) != 0) {
        const uint64_t next = next_of(left), end = end_of(left), middle = next + (end - next) / 2;
        if (!cas_rlx(&s->of[other].left, &left, stretch(next, middle))) continue;
        store_rlx(&s->of[part].left, stretch(middle + 1, end));
        return (int64_t)middle;
    }
    return -1;
}

static void take_stretch(void *arg) {
    c2_stretches *s = arg;
    s->body(s->job, s, add_rlx(&s->parts, 1));
}

void c2_in_stretches(int64_t n, int threads, c2_stretch_body body, void *job) {
    if (threads > n) threads = (int)n;
    if (threads > C2_PARTS_MOST) threads = C2_PARTS_MOST;
    if (threads < 1) threads = 1;
    c2_stretches s = {.body = body, .job = job, .threads = threads};
    for (int p = 0; p < threads; p++)
        store_rlx(&s.of[p].left,
                  stretch((uint64_t)(n * p / threads), (uint64_t)(n * (p + 1) / threads)));
    c2_team team = {0};
    if (threads > 1) c2_team_begin(&team, threads - 1, take_stretch, &s);
    take_stretch(&s);
    if (threads > 1) c2_team_end(&team, NULL, NULL);
}
