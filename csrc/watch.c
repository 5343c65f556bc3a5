/* Looking at a run; the idea is told in watch.h. */
#include "watch.h"

#include <math.h>
#include <stdlib.h>

void c2_watch_free(c2_watch *w) {
    if (!w) return;
    for (int32_t k = 0; w->rings && k < w->workers; k++)
        free(w->rings[k].events);
    free(w->rings);
    free(w->figures);
    free(w);
}

c2_watch *c2_watch_new(int32_t n, int32_t workers, int64_t capacity, int figures) {
    c2_watch *w = calloc(1, sizeof *w);
    if (!w) return NULL;
    w->workers = workers;
    w->measures = figures;
    w->capacity = capacity;
    w->ns_per_tick = 1;
    w->rings = aligned_alloc(64, (size_t)workers * sizeof *w->rings);
    int ok = w->rings != NULL;
    for (int32_t k = 0; ok && k < workers; k++)
        w->rings[k] = (c2_ring){0};
    for (int32_t k = 0; ok && capacity && k < workers; k++)
        ok = (w->rings[k].events = calloc((size_t)capacity, sizeof(c2_event))) != NULL;
    if (figures) ok = ok && (w->figures = calloc((size_t)n + 1, sizeof *w->figures)) != NULL;
    if (ok) return w;
    c2_watch_free(w);
    return NULL;
}

void c2_watch_begin(c2_watch *w) {
    if (w->ns) return;
    w->ns = c2_os_now();
    w->ticks = cpu_ticks();
}

void c2_watch_end(c2_watch *w) {
    /* The longer since the first run, the better: after a millisecond the error is below 1e-4. */
    const double ticks = (double)(cpu_ticks() - w->ticks);
    if (ticks > 0) w->ns_per_tick = (double)(c2_os_now() - w->ns) / ticks;
}

void c2_watch_record(c2_watch *w, int32_t worker, int32_t op, int64_t begin, int64_t end) {
    if (w->measures) {
        c2_figures *f = &w->figures[op];
        const double ticks = (double)(end - begin), off = ticks - f->mean;
        f->mean += off / (double)++f->count;
        f->squares += off * (ticks - f->mean);
    }
    if (w->capacity) {
        c2_ring *r = &w->rings[worker];
        r->events[r->count++ % w->capacity] = (c2_event){op, worker, begin, end};
    }
}

int64_t c2_watch_events(const c2_watch *w, c2_event *out, int64_t most) {
    int64_t n = 0;
    for (int32_t k = 0; k < w->workers; k++) {
        const c2_ring *r = &w->rings[k];
        for (int64_t i = r->count > w->capacity ? r->count - w->capacity : 0; i < r->count; i++) {
            if (n == most) return n;
            c2_event e = r->events[i % w->capacity];
            e.begin_ns = w->ns + (int64_t)((double)(e.begin_ns - w->ticks) * w->ns_per_tick);
            e.end_ns = w->ns + (int64_t)((double)(e.end_ns - w->ticks) * w->ns_per_tick);
            out[n++] = e;
        }
    }
    return n;
}

void c2_watch_costs(const c2_watch *w, int32_t n, int64_t *counts, double *mean,
                    double *deviation) {
    for (int32_t v = 0; v < n; v++) {
        const c2_figures *f = &w->figures[v];
        counts[v] = f->count;
        mean[v] = f->mean * w->ns_per_tick;
        deviation[v] = f->count ? sqrt(f->squares / (double)f->count) * w->ns_per_tick : 0;
    }
}
