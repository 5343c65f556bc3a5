/* Which method a scatter-add takes, and which slots are hot: both from a sample of its indices.
 *
 * What decides, in ns per element (Zen 5; on other processors the figures differ by half and
 * their order does not): an atomic add takes 5 whatever it hits, 15 and more when other cores
 * want the line; a plain add 0.3 in the first-level cache, 1 in the third; 8 bytes of a private
 * copy cost 1 to make and look through, and 5 more when they are not zero at the end.
 *
 *   private   when there are more adds than that costs: for every 8 bytes of the array 1.75, and a
 *             quarter more for each further thread, whose copy is to be made and looked through
 *             as well; or one where many adds fall on few slots. While a copy is at most
 *             C2_COPY_MOST: a plain add that misses the cache costs what an atomic one does.
 *   cached    when a sample says that many adds fall on few slots: those become plain adds, and
 *             the cold ones, which are not contended, stay atomic. With other writers about, it
 *             pays from a much smaller share on.
 *   direct    everything else: large tables hit evenly, and calls of a few elements.
 *
 * Samples are taken at places without a period: rows of a matrix, one after the other in
 * `indices`, have one.
 */
#include "scatter.h"

#include <stdlib.h>
#include <string.h>

#include "cpu.h"

enum { FEW = 64, WORTH_A_SAMPLE = 8192, LOOK = 1024, SAMPLE_MOST = 16384 };
static const double MANY = 0.25, MANY_CONTENDED = 0.05;

static uint64_t slot_at(const c2_adds *a, int64_t k) {
    return a->index_dtype == C2_INT32 ? slot_i32(a->indices, k, a->slots)
                                      : slot_i64(a->indices, k, a->slots);
}

/* The place of sample `k` in steps of `step`: anywhere in the step. */
static int64_t place_of(int64_t k, int64_t step) {
    return k * step + (int64_t)(mix64((uint64_t)k) % (uint64_t)step);
}

/* The share of a sample that is on a slot which has come in it before. */
static double repeated_share(const c2_adds *a) {
    enum { TABLE = 2 * LOOK };
    static const uint64_t none = UINT64_MAX;
    uint64_t seen[TABLE];
    memset(seen, 0xff, sizeof seen);
    int repeated = 0;
    for (int64_t k = 0; k < LOOK; k++) {
        const uint64_t slot = slot_at(a, place_of(k, a->n / LOOK));
        uint64_t place = mix64(slot) % TABLE;
        while (seen[place] != none && seen[place] != slot)
            place = (place + 1) % TABLE;
        repeated += seen[place] == slot;
        seen[place] = slot;
    }
    return (double)repeated / LOOK;
}

int c2_adds_choose(const c2_adds *a, int threads, int writers, double *repeated) {
    *repeated = -1;
    if (a->n < FEW) return C2_ADD_DIRECT;
    const int64_t lanes = 8 / c2_itemsize(a->dtype), words = (a->slots - 1) / lanes + 1;
    const bool fits = words <= C2_COPY_MOST / 8 && words <= C2_COPIES_MOST / 8 / threads;
    if (fits && a->n / (6 + threads) >= words / 4) return C2_ADD_PRIVATE;
    if (a->n < WORTH_A_SAMPLE) return C2_ADD_DIRECT;
    *repeated = repeated_share(a);
    if (fits && a->n >= words && *repeated >= MANY) return C2_ADD_PRIVATE;
    const double least = writers > 1 ? MANY_CONTENDED : MANY;
    return a->slots < C2_NO_SLOT && *repeated >= least ? C2_ADD_CACHED : C2_ADD_DIRECT;
}

/* How often a slot came in the sample. */
typedef struct tally {
    uint32_t slot, count;
} tally;

int c2_adds_find_hot(c2_adds *a) {
    int64_t sample = a->n / 64 < LOOK ? LOOK : a->n / 64;
    if (sample > SAMPLE_MOST) sample = SAMPLE_MOST;
    if (sample > a->n) sample = a->n;
    enum { TABLE = 2 * SAMPLE_MOST };
    _Static_assert(TABLE * sizeof(tally) + sizeof(c2_hot) == C2_HOT_SCRATCH, "as promised");
    tally *tallies = calloc(TABLE, sizeof *tallies);
    a->hot = malloc(sizeof *a->hot);
    if (!tallies || !a->hot) {
        free(tallies);
        return 0;
    }
    memset(a->hot->slot, 0xff, sizeof a->hot->slot); /* C2_NO_SLOT */
    for (int64_t k = 0; k < sample; k++) {
        const uint64_t slot = slot_at(a, place_of(k, a->n / sample));
        if (slot >= (uint64_t)a->slots) continue; /* the flush must not lead outside */
        uint64_t place = mix64(slot) % TABLE;
        while (tallies[place].count && tallies[place].slot != (uint32_t)slot)
            place = (place + 1) % TABLE;
        tallies[place].slot = (uint32_t)slot;
        tallies[place].count++;
    }
    /* Of those that want one place in the hot table, the most frequent gets it. */
    uint16_t best[C2_HOT] = {0};
    for (int64_t k = 0; k < TABLE; k++) {
        const uint32_t place = hot_place(tallies[k].slot);
        if (tallies[k].count < 2 || tallies[k].count <= best[place]) continue;
        best[place] = (uint16_t)tallies[k].count;
        a->hot->slot[place] = tallies[k].slot;
    }
    free(tallies);
    return 1;
}
