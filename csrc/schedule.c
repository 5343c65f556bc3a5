/* List scheduling: operators in program order, each on the worker where it would finish first.
 *
 * Earliest finish time with communication costs, as in HEFT (Topcuoglu, Hariri, Wu: "Performance-
 * effective and low-complexity task scheduling for heterogeneous computing", 2002), but without
 * its sorting by rank: program order costs nothing, keeps what was written together together,
 * and is the order that all programs must be cut out of anyway (schedule.h).
 *
 * Operators that are free to run anywhere (no predecessor holds them to a worker) stay with the
 * worker of the operator before, until it is `patience` ahead: neighbours in program order tend
 * to be neighbours in memory.
 *
 * Operators that take turns anyway (short ones of Python, by the GIL) are held to worker 0: on two
 * workers they would not be done sooner, and each would wait for a lock that the other has.
 */
#include "schedule.h"

#include <stdlib.h>
#include <string.h>

typedef struct placed {
    float finish;
    int32_t worker;
    uint32_t done : 31; /* items of that worker's program up to and with this one */
    uint32_t publish : 1;
    uint32_t waits; /* of that worker before this one */
} placed;

/* One worker, while its program grows. */
typedef struct lane {
    float free_at,
        ready;      /* when it is idle; when the predecessors on it of some operator are done */
    uint32_t count; /* items */
    uint32_t n_waits, room;
    c2_wait_for *waits;
    uint32_t *known; /* of each worker: how many of its items this one has waited for */
} lane;

typedef struct builder {
    const c2_graph *graph;
    const c2_machine *machine;
    const uint8_t *held;
    int32_t workers;
    float patience;
    placed *at;
    lane *lane;
    uint32_t *known;
} builder;

void c2_schedule_free(c2_schedule *s) {
    if (!s) return;
    free(s->start);
    free(s->items);
    free(s->waits);
    free(s);
}

/* Where v goes, with `last` the worker of the operator before; and when it would start there. */
static int32_t choose(const builder *b, int32_t v, int32_t last, float *start) {
    const c2_graph *g = b->graph;
    lane *const lane = b->lane;
    const int32_t begin = g->pred_at[v], end = g->pred_at[v + 1];
    /* ready: when all of v's predecessors on a worker are done, -1 where there are none; then the
     * two latest of them, since a worker must wait for the latest of the others. */
    for (int32_t w = 0; w < b->workers; w++)
        lane[w].ready = -1;
    for (int32_t k = begin; k < end; k++) {
        const placed *u = &b->at[g->preds[k]];
        if (u->finish > lane[u->worker].ready) lane[u->worker].ready = u->finish;
    }
    int32_t first = -1;
    float latest = -1, second = -1;
    for (int32_t w = 0; w < b->workers; w++) {
        if (lane[w].ready > latest)
            second = latest, latest = lane[w].ready, first = w;
        else if (lane[w].ready > second)
            second = lane[w].ready;
    }
    int32_t best = 0;
    float best_start = 0, last_start = 0;
    const int held = b->held && b->held[v];
    for (int32_t w = 0; w < (held ? 1 : b->workers); w++) {
        const float others = w == first ? second : latest;
        float t = lane[w].free_at > lane[w].ready ? lane[w].free_at : lane[w].ready;
        if (others >= 0) {
            if (others + b->machine->latency > t) t = others + b->machine->latency;
            t += b->machine->signal;
        }
        if (w == 0 || t < best_start) best = w, best_start = t;
        if (w == last) last_start = t;
    }
    if (!held && begin == end && last_start - best_start <= b->patience) {
        best = last;
        best_start = last_start;
    }
    *start = best_start;
    return best;
}

static int add_wait(lane *l, int32_t worker, uint32_t count) {
    if (l->n_waits == l->room) {
        const uint32_t room = 2 * l->room + 64;
        if (room > INT32_MAX / 2) return 0;
        c2_wait_for *waits = realloc(l->waits, room * sizeof *waits);
        if (!waits) return 0;
        l->waits = waits;
        l->room = room;
    }
    l->waits[l->n_waits++] = (c2_wait_for){worker, (int32_t)count};
    return 1;
}

/* v is the next item of worker w: what it must wait for. Not for (x, c) when this worker waited
 * for as much of x before. Predecessors are ascending, so of those on one worker the last is the
 * one to wait for. */
static int find_waits(const builder *b, int32_t v, int32_t w) {
    const c2_graph *g = b->graph;
    for (int32_t k = g->pred_at[v + 1] - 1; k >= g->pred_at[v]; k--) {
        placed *u = &b->at[g->preds[k]];
        if (u->worker == w || u->done <= b->lane[w].known[u->worker]) continue;
        b->lane[w].known[u->worker] = u->done;
        u->publish = 1;
        if (!add_wait(&b->lane[w], u->worker, u->done)) return 0;
    }
    return 1;
}

/* Each operator's worker, and its place there. */
static int place(const builder *b, const float *costs) {
    int32_t last = 0;
    for (int32_t v = 0; v < b->graph->n; v++) {
        float start = 0;
        const int32_t w = b->workers > 1 ? choose(b, v, last, &start) : 0;
        lane *const l = &b->lane[w];
        if (b->workers == 1) start = l->free_at;
        l->free_at = start + (costs ? costs[v] : C2_UNKNOWN_COST);
        b->at[v] = (placed){l->free_at, w, ++l->count, 0, l->n_waits};
        if (b->workers > 1 && !find_waits(b, v, w)) return 0;
        last = w;
    }
    return 1;
}

/* The programs one behind the other, and their waits. */
static c2_schedule *written(const builder *b) {
    const int32_t n = b->graph->n;
    c2_schedule *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->n = n;
    s->workers = b->workers;
    uint32_t n_waits = 0;
    for (int32_t w = 0; w < b->workers; w++)
        n_waits += b->lane[w].n_waits;
    s->start = calloc((size_t)b->workers + 2, sizeof *s->start);
    s->items = malloc(((size_t)n + 1) * sizeof *s->items);
    s->waits = malloc(((size_t)n_waits + 1) * sizeof *s->waits);
    if (!s->start || !s->items || !s->waits) {
        c2_schedule_free(s);
        return NULL;
    }
    n_waits = 0;
    for (int32_t w = 0; w < b->workers; w++) {
        lane *const l = &b->lane[w];
        s->start[w + 1] = s->start[w] + (int32_t)l->count;
        if (l->n_waits) memcpy(s->waits + n_waits, l->waits, l->n_waits * sizeof *s->waits);
        if (l->free_at > s->makespan_ns) s->makespan_ns = l->free_at;
        const uint32_t before = n_waits;
        n_waits += l->n_waits;
        l->n_waits = before; /* from now on where its waits begin */
    }
    for (int32_t v = 0; v < n; v++) {
        const placed *p = &b->at[v];
        s->items[s->start[p->worker] + (int32_t)p->done - 1] =
            (c2_item){v, (b->lane[p->worker].n_waits + p->waits) & 0x7fffffff, p->publish};
    }
    s->items[n] = (c2_item){-1, n_waits & 0x7fffffff, 0};
    return s;
}

c2_schedule *c2_schedule_new(const c2_graph *g, int32_t workers, const float *costs,
                             const uint8_t *held, const c2_machine *machine) {
    builder b = {.graph = g, .machine = machine, .held = held, .workers = workers};
    const size_t many = (size_t)workers;
    b.at = malloc(((size_t)g->n + 1) * sizeof *b.at);
    b.lane = calloc(many, sizeof *b.lane);
    b.known = calloc(many * many, sizeof *b.known);
    double sum = 0;
    for (int32_t v = 0; v < g->n; v++)
        sum += costs ? costs[v] : C2_UNKNOWN_COST;
    b.patience = (float)(sum / (8.0 * workers) < 20000 ? sum / (8.0 * workers) : 20000);
    c2_schedule *s = NULL;
    if (b.at && b.lane && b.known) {
        for (int32_t w = 0; w < workers; w++)
            b.lane[w].known = b.known + many * (size_t)w;
        if (place(&b, costs)) s = written(&b);
        for (int32_t w = 0; w < workers; w++)
            free(b.lane[w].waits);
    }
    if (s) s->serial_ns = sum;
    free(b.at);
    free(b.lane);
    free(b.known);
    return s;
}
