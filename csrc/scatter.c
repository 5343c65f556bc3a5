/* Scatter-add by the method that suits: base[indices[k]] += values[k], nothing lost.
 *
 *   method    where it adds                          atomic operations    memory
 *   direct    on the array, each add atomic          one for each index   none
 *   private   plainly into a copy of each thread's   one for each slot    the table's size for
 *             own, zero at first; what it sums to    (or pair of float32  each thread
 *             is added to the array at the end       slots) hit
 *   cached    the hot slots so, in a small table,    one for each cold    32 KiB for each thread,
 *             the others as in direct                index, and hot slot  272 KiB for the call
 *
 * Guarantees. Whatever the method, the array itself changes by atomic adds only, so nothing is
 * lost towards any other operation of the library, in any thread or process, whichever method
 * that one takes. All indices have been checked before the array changes: by a pass of its own,
 * or, in private, on the way into the copy, which is thrown away when one is bad. Order and
 * visibility are as in bulk.c. Integers wrap. Floats: a slot gets the sum of the values that a
 * thread has for it, not the values one by one, so rounding may differ in the last digits, a sum
 * of large values may become infinite that would not have, and a -0.0 may stay one.
 *
 * Blocks: only until the helpers of this call have done the chunk they took. Calls are
 * independent of each other; any number at a time.
 *
 * What was tried and is not here: one table of recently used slots from which the older ones are
 * pushed out (it pushes out cold ones as it goes, an atomic add each, and every second branch is
 * predicted wrongly: 4-8 ns where `cached` takes 4), partitioning by radix, AVX-512 conflict
 * detection.
 */
#include "scatter.h"

#include <stdlib.h>

#include "chunks.h"
#include "dense.h"
#include "platform.h"

typedef struct call {
    c2_adds adds;
    _Atomic int64_t bad;      /* the least position of a bad index that a part has met, or n */
    int parts;                /* of the adds: how many of these were used */
    char *own[C2_PARTS_MOST]; /* each part's copy or sums, zero at first */
} call;

/* Threads in c2_add_at now, in this process: a hint for the choice, hence relaxed. */
static _Atomic int writers;

static int note(call *c, int64_t position, int64_t to) {
    if (position == to) return 0;
    int64_t least = load_rlx(&c->bad);
    while (position < least && !cas_rlx(&c->bad, &least, position)) {
    }
    return 1;
}

static int check(void *job, int part, int64_t from, int64_t to) {
    call *c = job;
    const c2_adds *a = &c->adds;
    return note(c, c2_first_bad(a->indices, a->index_dtype, from, to, a->slots), to);
}

static int direct(void *job, int part, int64_t from, int64_t to) {
    call *c = job;
    return note(c, c2_adds_direct(&c->adds, from, to), to);
}

static int private(void *job, int part, int64_t from, int64_t to) {
    call *c = job;
    return note(c, c2_adds_private(&c->adds, c->own[part], from, to), to);
}

static int cached(void *job, int part, int64_t from, int64_t to) {
    call *c = job;
    return note(c, c2_adds_cached(&c->adds, c->own[part], from, to), to);
}

/* Slots from .. to - 1 of all copies, summed in the first one and added to the array; in pieces
 * that stay in the cache from the one to the other. */
static int merge(void *job, int part, int64_t from, int64_t to) {
    call *c = job;
    const c2_adds *a = &c->adds;
    const int64_t size = c2_itemsize(a->dtype);
    for (int64_t at = from; at < to; at += 2048) {
        const int64_t n = to - at < 2048 ? to - at : 2048;
        for (int k = 1; k < c->parts; k++)
            c2_dense_plain(a->dtype, c->own[0] + at * size, c->own[k] + at * size, NULL, n, false);
        c2_dense_add_sparse(a->dtype, (char *)a->base + at * size, c->own[0] + at * size, n);
    }
    return 0;
}

/* Chunks of the adds: large enough to be worth a wake-up, enough of them to share out evenly. */
static int64_t chunk_of(int64_t n, int threads) {
    const int64_t even = n / (4 * (int64_t)threads);
    return even < 8192 ? 8192 : even > 65536 ? 65536 : even;
}

/* Zeroed memory of `bytes` for each of `threads` parts, or for as many as there is memory for.
 * The parts' memory does not share cache lines: 128 bytes lie in between. */
static int reserve(call *c, int64_t bytes, int threads) {
    int n = 0;
    while (n < threads &&
           (c->own[n] = bytes < C2_LARGE_PAGE ? calloc(1, (size_t)bytes + 128) : c2_os_map(bytes)))
        n++;
    return n;
}

static void give_back(call *c, int64_t bytes) {
    for (int k = 0; k < C2_PARTS_MOST && c->own[k]; k++)
        if (bytes < C2_LARGE_PAGE)
            free(c->own[k]);
        else
            c2_os_unmap(c->own[k], bytes);
}

static int run(call *c, int method, int threads) {
    const c2_adds *a = &c->adds;
    const int64_t chunk = chunk_of(a->n, threads);
    if (method == C2_ADD_PRIVATE) {
        c->parts = c2_in_chunks(a->n, chunk, threads, private, c);
        if (load_rlx(&c->bad) < a->n) return c->parts; /* the array is as it was */
        c2_in_chunks(a->slots, 16384, threads, merge, c);
        return c->parts;
    }
    c2_in_chunks(a->n, chunk, threads, check, c);
    if (load_rlx(&c->bad) < a->n) return 1;
    if (method == C2_ADD_DIRECT) return c2_in_chunks(a->n, chunk, threads, direct, c);

    if (!c2_adds_find_hot(&c->adds)) return 0;
    c->parts = c2_in_chunks(a->n, chunk, threads, cached, c);
    for (int k = 1; k < c->parts; k++)
        c2_dense_plain(a->dtype, c->own[0], c->own[k], NULL, C2_HOT, false);
    c2_adds_flush(a, c->own[0]); /* also after a bad index: those adds have been made */
    return c->parts;
}

int c2_add_at(int dtype, void *base, int64_t slots, const void *indices, int index_dtype,
              const void *values, int value_step, int64_t n, int method, int threads,
              c2_add_report *report, int64_t *bad) {
    const int64_t size = c2_itemsize(dtype);
    if (dtype == C2_BOOL || !size) return C2_TYPE;
    if (index_dtype != C2_INT32 && index_dtype != C2_INT64) return C2_TYPE;
    if (method < C2_ADD_AUTO || method > C2_ADD_CACHED || threads < 1) return C2_VALUE;
    if (method == C2_ADD_CACHED && slots >= C2_NO_SLOT) return C2_VALUE;
    if (threads > C2_PARTS_MOST) threads = C2_PARTS_MOST;
    if (threads > 1 + n / 8192) threads = 1 + (int)(n / 8192);

    call c = {.adds = {.dtype = dtype,
                       .index_dtype = index_dtype,
                       .base = base,
                       .slots = slots,
                       .indices = indices,
                       .values = values,
                       .value_mask = value_step ? -1 : 0,
                       .n = n},
              .bad = n};
    c2_add_report r = {.method = C2_ADD_DIRECT, .threads = 1, .writers = 1, .repeated = -1};
    if (n == 0) {
        if (report) *report = r;
        return C2_OK;
    }
    r.writers = threads + add_rlx(&writers, threads);
    const bool forced = method != C2_ADD_AUTO;
    if (!forced) method = c2_adds_choose(&c.adds, threads, r.writers, &r.repeated);

    int status = C2_OK, parts = threads;
    const int64_t own = method == C2_ADD_PRIVATE  ? slots * size
                        : method == C2_ADD_CACHED ? C2_HOT * size
                                                  : 0;
    if (own) {
        parts = reserve(&c, own, threads);
        r.scratch = parts * own + (method == C2_ADD_CACHED ? C2_HOT_SCRATCH : 0);
    }
    r.method = method;
    r.threads = parts ? run(&c, method, parts) : 0;
    if (r.threads == 0) { /* no memory, and nothing has been added */
        if (forced) {
            status = C2_NO_MEMORY;
        } else {
            r.method = C2_ADD_DIRECT;
            r.scratch = 0;
            r.threads = run(&c, C2_ADD_DIRECT, threads);
        }
    }
    give_back(&c, own);
    free(c.adds.hot);
    add_rlx(&writers, -threads);
    if (report) *report = r;
    if (load_rlx(&c.bad) == n) return status;
    if (bad) *bad = load_rlx(&c.bad);
    return C2_INDEX;
}
