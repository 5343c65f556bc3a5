/* The memory that C11 promises, by views.
 *
 * Each atomic object has the list of its stores in modification order. A thread's view says how
 * far it has seen of each; a load may return any store from there on. A release store carries its
 * thread's view, an acquire load that reads it joins that view. A read-modify-write reads the
 * newest store and hands on the view that it carried (a release sequence, as C++20 has it). A
 * relaxed or release store may also take a place before newer stores of others, if its thread has
 * not seen them. Seq_cst operations are ordered as they are executed: a seq_cst load sees at least
 * what earlier seq_cst operations on that object stored or read.
 *
 * Sources: Kang, Hur, Lahav, Vafeiadis, Dreyer, "A promising semantics for relaxed-memory
 * concurrency", POPL 2017 (views and places with gaps; no promises here, so no load returns a
 * store of the future); Lahav, Vafeiadis, Kang, Hur, Dreyer, "Repairing sequential consistency in
 * C/C++11", PLDI 2017.
 */
#include "engine.h"

#include <stdatomic.h>
#include <string.h>

enum { GAP = 1 << 12, MOST = 64 };

void model_memory_reset(void) {
    M->locations = M->stores = 0;
    M->memory_hash = 0;
    memset(M->index, 0, sizeof M->index);
}

void model_join(view *into, const view *from) {
    for (int k = 0; k < LOCATIONS; k++)
        if (from->at[k] > into->at[k]) into->at[k] = from->at[k];
    for (int k = 0; k < THREADS; k++)
        if (from->clock[k] > into->clock[k]) into->clock[k] = from->clock[k];
}

static uint64_t masked(uint64_t value, int size) {
    return size == 8 ? value : value & ((UINT64_C(1) << 8 * size) - 1);
}

static uint64_t bytes_at(uintptr_t address, int size) {
    uint64_t value = 0;
    memcpy(&value, (const void *)address, (size_t)size); /* little-endian */
    return value;
}

/* Its part in the hash of the state: keyed by the address, since the number of a location depends
 * on the order in which threads came. */
static void rehash(location *l) {
    M->memory_hash -= l->hash;
    l->hash = mix(mix(l->address, l->order_hash), l->sc);
    M->memory_hash += l->hash;
}

static int new_store(uint64_t value, uint64_t hash, uint32_t place) {
    if (M->stores == STORES) model_fail(TOO_BIG, "more than %d stores", STORES);
    store *s = &M->store[M->stores];
    s->value = value;
    s->hash = hash;
    s->place = place;
    s->before = s->after = -1;
    return M->stores++;
}

static void start_history(location *l, uint64_t value, uint32_t place) {
    l->last = new_store(value, mix(l->address, value), place);
    memset(&M->store[l->last].seen, 0, sizeof(view));
    l->order_hash = M->store[l->last].hash;
    rehash(l);
}

static int find(const volatile void *word, int size) {
    const uintptr_t address = (uintptr_t)word;
    if (address % (unsigned)size) model_fail(WRONG, "an atomic that is not aligned");
    unsigned slot = (unsigned)mix(address, 0) % 512;
    while (M->index[slot] && M->location[M->index[slot] - 1].address != address)
        slot = (slot + 1) % 512;
    const uint64_t value = bytes_at(address, size);
    if (!M->index[slot]) {
        if (M->locations == LOCATIONS) model_fail(TOO_BIG, "more than %d atomics", LOCATIONS);
        location *l = &M->location[M->locations];
        *l = (location){.address = address, .size = size};
        start_history(l, value, GAP);
        M->index[slot] = (int16_t)++M->locations;
    }
    const int k = M->index[slot] - 1;
    location *l = &M->location[k];
    if (l->size != size) model_fail(WRONG, "one atomic is used with two sizes");
    /* Somebody initialised it anew with a plain store; heap.c checks that this was no race. All
     * who may use it now have seen that, so it is a new object with no past. */
    const store *last = &M->store[l->last];
    if (last->value != value) start_history(l, value, last->place + GAP);
    return k;
}

static int acquires(int order) {
    return order == memory_order_acquire || order == memory_order_acq_rel ||
           order == memory_order_seq_cst || order == memory_order_consume;
}

static int releases(int order) {
    return order == memory_order_release || order == memory_order_acq_rel ||
           order == memory_order_seq_cst;
}

/* The newest place that a thread may not look behind. */
static uint32_t horizon(int k, int order) {
    const location *l = &M->location[k];
    const uint32_t at = self()->view.at[k];
    return order == memory_order_seq_cst && l->sc > at ? l->sc : at;
}

static void remember_read(int k, uint64_t value) {
    fiber *f = self();
    for (int i = 0; i < f->reads; i++)
        if (f->read[i].location == k) {
            f->read[i].value = value;
            return;
        }
    if (f->reads < READS) {
        f->read[f->reads].location = k;
        f->read[f->reads++].value = value;
    }
}

int model_changed(const fiber *f) {
    if (f->reads == 0 || f->reads == READS) return 1;
    for (int i = 0; i < f->reads; i++)
        if (M->store[M->location[f->read[i].location].last].value != f->read[i].value) return 1;
    return 0;
}

static void have_read(int k, int32_t s, int order) {
    location *l = &M->location[k];
    fiber *f = self();
    const store *from = &M->store[s];
    if (from->place > f->view.at[k]) f->view.at[k] = from->place;
    if (acquires(order)) model_join(&f->view, &from->seen);
    if (order == memory_order_seq_cst && from->place > l->sc) {
        l->sc = from->place;
        rehash(l);
    }
    model_note(l->address, from->hash, (uint64_t)order);
}

/* What a load may return: the stores not behind the horizon, newest first; with `unlike`, only
 * those of another value. How many. */
static int readable(int k, int order, const uint64_t *unlike, int32_t found[MOST]) {
    const location *l = &M->location[k];
    const uint32_t least = horizon(k, order);
    const int newest_only = M->alone || self()->fast || M->left.stale == 0;
    int n = 0;
    for (int32_t s = l->last; s >= 0 && n < MOST; s = M->store[s].before) {
        if (M->store[s].place < least) break;
        if (!unlike || M->store[s].value != *unlike) found[n++] = s;
        if (newest_only) break;
    }
    return n;
}

/* One of them; reading another than the newest store is paid for. */
static int32_t pick(int k, const int32_t *found, int n) {
    const int32_t s = found[model_choose(n)];
    if (s != M->location[k].last && M->left.stale > 0) M->left.stale--;
    return s;
}

uint64_t model_load(const volatile void *word, int size, int order) {
    model_point();
    const int k = find(word, size);
    model_plain((uintptr_t)word, (size_t)size, 0, 1);
    int32_t found[MOST];
    const int32_t s = pick(k, found, readable(k, order, NULL, found));
    const uint64_t value = M->store[s].value;
    have_read(k, s, order);
    remember_read(k, value);
    model_event(s == M->location[k].last ? "load" : "load (stale)", (uintptr_t)word, value, value,
                order, __builtin_return_address(0));
    return value;
}

/* Puts store s into the modification order right after `before`. */
static void insert(int k, int32_t s, int32_t before) {
    location *l = &M->location[k];
    store *const it = &M->store[s];
    it->before = before;
    it->after = M->store[before].after;
    M->store[before].after = s;
    if (it->after >= 0) {
        M->store[it->after].before = s;
        uint64_t hash = 0;
        int32_t first = s;
        while (M->store[first].before >= 0)
            first = M->store[first].before;
        for (int32_t i = first; i >= 0; i = M->store[i].after)
            hash = i == first ? M->store[i].hash : mix(hash, M->store[i].hash);
        l->order_hash = hash;
    } else {
        l->last = s;
        l->order_hash = mix(l->order_hash, it->hash);
        const uint64_t value = it->value;
        memcpy((void *)l->address, &value, (size_t)l->size);
    }
    rehash(l);
}

/* The store itself, at `place`: what it carries, and what its thread knows then. */
static void place_store(int k, uint64_t value, int order, uint32_t place, int32_t before,
                        const view *carried) {
    location *l = &M->location[k];
    fiber *f = self();
    model_note(l->address, value, 100 + (uint64_t)order);
    const int32_t s = new_store(value, mix(f->hash, 7), place);
    store *it = &M->store[s];
    f->view.at[k] = place;
    if (releases(order)) {
        it->seen = f->view;
        f->view.clock[M->current]++;
    } else {
        memset(&it->seen, 0, sizeof it->seen);
        it->seen.at[k] = place;
    }
    if (carried) model_join(&it->seen, carried);
    if (order == memory_order_seq_cst) l->sc = place;
    insert(k, s, before);
    M->changes++;
    M->idle_rounds = 0;
}

void model_store(volatile void *word, int size, uint64_t value, int order) {
    self()->fast = 0;
    model_point();
    const int k = find(word, size);
    model_plain((uintptr_t)word, (size_t)size, 1, 1);
    value = masked(value, size);
    const location *l = &M->location[k];
    /* Last; or before newer stores, where there is a gap. */
    const uint32_t least = horizon(k, order);
    int32_t after[MOST];
    int n = 0;
    after[n++] = l->last;
    for (int32_t s = l->last; M->left.stale && !M->alone && M->store[s].place > least && n < MOST;
         s = M->store[s].before) {
        const int32_t before = M->store[s].before;
        if (before < 0 || M->store[before].place < least) break;
        if (M->store[s].place - M->store[before].place >= 2) after[n++] = before;
    }
    const int32_t before = after[M->alone ? 0 : model_choose(n)];
    const int late = before != l->last;
    if (late && M->left.stale > 0) M->left.stale--;
    const uint32_t low = M->store[before].place;
    const uint32_t place =
        late ? low + (M->store[M->store[before].after].place - low) / 2 : low + GAP;
    model_event(late ? "store (late)" : "store", (uintptr_t)word, value, M->store[l->last].value,
                order, __builtin_return_address(0));
    place_store(k, value, order, place, before, NULL);
    remember_read(k, value);
}

static uint64_t swap_in(int k, uint64_t value, int order) {
    const int32_t last = M->location[k].last;
    const uint64_t old = M->store[last].value;
    have_read(k, last, order);
    place_store(k, value, order, M->store[last].place + 1, last, &M->store[last].seen);
    return old;
}

uint64_t model_rmw(volatile void *word, int size, int what, uint64_t value, int order) {
    self()->fast = 0;
    model_point();
    const int k = find(word, size);
    model_plain((uintptr_t)word, (size_t)size, 1, 1);
    const uint64_t old = M->store[M->location[k].last].value;
    uint64_t now = value;
    switch (what) {
    case MODEL_ADD: now = old + value; break;
    case MODEL_SUB: now = old - value; break;
    case MODEL_AND: now = old & value; break;
    case MODEL_OR: now = old | value; break;
    case MODEL_XOR: now = old ^ value; break;
    }
    now = masked(now, size);
    model_event("modify", (uintptr_t)word, now, old, order, __builtin_return_address(0));
    swap_in(k, now, order);
    remember_read(k, now);
    return old;
}

int model_cas(volatile void *word, int size, uint64_t *expected, uint64_t value, int order,
              int failure) {
    self()->fast = 0;
    model_point();
    const int k = find(word, size);
    model_plain((uintptr_t)word, (size_t)size, 1, 1);
    const int32_t last = M->location[k].last;
    const uint64_t want = masked(*expected, size), newest = M->store[last].value;
    void *const pc = __builtin_return_address(0);
    /* It can succeed on the newest store only, and fail on any that it may see. */
    const int can = newest == want;
    int32_t found[MOST + 1] = {last};
    const int n = can + readable(k, failure, &want, found + can);
    const int32_t other = pick(k, found, n);
    if (M->store[other].value == want) {
        value = masked(value, size);
        model_event("exchange", (uintptr_t)word, value, newest, order, pc);
        swap_in(k, value, order);
        remember_read(k, value);
        return 1;
    }
    const uint64_t seen = M->store[other].value;
    have_read(k, other, failure);
    model_event(other == last ? "exchange fails" : "exchange fails (stale)", (uintptr_t)word, seen,
                seen, failure, pc);
    remember_read(k, seen);
    *expected = seen;
    return 0;
}
