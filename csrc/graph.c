/* Building the dependency graph of a net, from its blobs or from edges; the shape is in graph.h.
 *
 * The rules for blobs, in program order: an input depends on the blob's last writer; an output
 * depends on all readers of the blob since its last writer, or, where there were none, on that
 * writer itself (the readers already came after it).
 */
#include "graph.h"

#include <stdlib.h>
#include <string.h>

void c2_graph_free(c2_graph *g) {
    if (!g) return;
    free(g->pred_at);
    free(g->preds);
    free(g->succ_at);
    free(g->succs);
    free(g);
}

int64_t c2_graph_edges(const c2_graph *g) {
    return g->m;
}

static c2_graph *graph_new(int64_t n) {
    if (n < 0 || n >= INT32_MAX) return NULL;
    c2_graph *g = calloc(1, sizeof *g);
    if (!g) return NULL;
    g->n = (int32_t)n;
    g->pred_at = calloc((size_t)n + 2, sizeof(int32_t));
    g->succ_at = calloc((size_t)n + 2, sizeof(int32_t));
    if (g->pred_at && g->succ_at) return g;
    c2_graph_free(g);
    return NULL;
}

/* succs from preds: count, add up, place. */
static c2_graph *transposed(c2_graph *g) {
    int32_t *at = g->succ_at;
    g->succs = malloc(((size_t)g->m + 1) * sizeof(int32_t));
    if (!g->succs) {
        c2_graph_free(g);
        return NULL;
    }
    /* at[u + 2] counts u's successors, then at[u + 1] is where the next one goes. */
    for (int32_t k = 0; k < g->m; k++)
        at[g->preds[k] + 2]++;
    for (int32_t u = 1; u <= g->n; u++)
        at[u + 1] += at[u];
    for (int32_t v = 0; v < g->n; v++)
        for (int32_t k = g->pred_at[v]; k < g->pred_at[v + 1]; k++)
            g->succs[at[g->preds[k] + 1]++] = v;
    return g;
}

static int compare(const void *a, const void *b) {
    return (*(const int32_t *)a > *(const int32_t *)b) -
           (*(const int32_t *)a < *(const int32_t *)b);
}

/* Ascending. Lists are short, and mostly ascend already. */
static void sort(int32_t *list, int32_t n) {
    if (n > 16) {
        qsort(list, (size_t)n, sizeof *list, compare);
        return;
    }
    for (int32_t k = 1; k < n; k++) {
        const int32_t moved = list[k];
        int32_t i = k;
        for (; i > 0 && list[i - 1] > moved; i--)
            list[i] = list[i - 1];
        list[i] = moved;
    }
}

/* ---- from blobs ---- */

/* What the walk in program order knows of each blob, and the readers since its last writer as
 * linked lists in one array. */
typedef struct walk {
    c2_graph *g;
    int64_t capacity;              /* of g->preds */
    int32_t *writer, *last_reader; /* per blob; -1: none */
    struct {
        int32_t op, before;
    } *readers;    /* one for each input, linked backwards */
    int32_t *seen; /* per op: the last op that named it a predecessor */
} walk;

static int add_pred(walk *w, int32_t u, int32_t v) {
    c2_graph *g = w->g;
    if (u < 0 || u == v || w->seen[u] == v) return 1;
    w->seen[u] = v;
    if (g->m == w->capacity) {
        const int64_t more = w->capacity * 2 + 64;
        int32_t *preds = more < INT32_MAX ? realloc(g->preds, (size_t)more * sizeof *preds) : NULL;
        if (!preds) return 0;
        g->preds = preds;
        w->capacity = more;
    }
    g->preds[g->m++] = u;
    return 1;
}

static int walk_ops(walk *w, const int64_t *in_at, const int32_t *in, const int64_t *out_at,
                    const int32_t *out) {
    c2_graph *g = w->g;
    for (int32_t v = 0; v < g->n; v++) {
        g->pred_at[v] = g->m;
        for (int64_t k = in_at[v]; k < in_at[v + 1]; k++) {
            if (!add_pred(w, w->writer[in[k]], v)) return 0;
            w->readers[k].op = v;
            w->readers[k].before = w->last_reader[in[k]];
            w->last_reader[in[k]] = (int32_t)k;
        }
        for (int64_t k = out_at[v]; k < out_at[v + 1]; k++) {
            const int32_t b = out[k];
            int others = 0;
            for (int32_t r = w->last_reader[b]; r >= 0; r = w->readers[r].before) {
                others |= w->readers[r].op != v;
                if (!add_pred(w, w->readers[r].op, v)) return 0;
            }
            if (!others && !add_pred(w, w->writer[b], v)) return 0;
            w->writer[b] = v;
            w->last_reader[b] = -1;
        }
        sort(g->preds + g->pred_at[v], g->m - g->pred_at[v]);
    }
    g->pred_at[g->n] = g->m;
    return 1;
}

c2_graph *c2_graph_of_blobs(int64_t n, const int64_t *in_at, const int32_t *in,
                            const int64_t *out_at, const int32_t *out, int64_t n_blobs) {
    walk w = {.g = graph_new(n)};
    if (!w.g) return NULL;
    w.writer = malloc(((size_t)n_blobs + 1) * sizeof(int32_t));
    w.last_reader = malloc(((size_t)n_blobs + 1) * sizeof(int32_t));
    w.seen = malloc(((size_t)n + 1) * sizeof(int32_t));
    w.readers = malloc(((size_t)in_at[n] + 1) * sizeof *w.readers);
    int ok = w.writer && w.last_reader && w.seen && w.readers && in_at[n] < INT32_MAX;
    if (ok) {
        memset(w.writer, -1, (size_t)n_blobs * sizeof(int32_t));
        memset(w.last_reader, -1, (size_t)n_blobs * sizeof(int32_t));
        memset(w.seen, -1, (size_t)n * sizeof(int32_t));
        ok = walk_ops(&w, in_at, in, out_at, out);
    }
    free(w.writer);
    free(w.last_reader);
    free(w.seen);
    free(w.readers);
    if (ok) return transposed(w.g);
    c2_graph_free(w.g);
    return NULL;
}

/* ---- from edges ---- */

int c2_graph_of_edges(int64_t n, int64_t m, const int32_t *from, const int32_t *to,
                      c2_graph **out) {
    *out = NULL;
    for (int64_t k = 0; k < m; k++)
        if (from[k] < 0 || from[k] >= to[k] || to[k] >= n) return C2_INDEX;
    if (n >= INT32_MAX || m >= INT32_MAX) return C2_NO_MEMORY;
    c2_graph *g = graph_new(n);
    if (!g) return C2_NO_MEMORY;
    g->preds = malloc(((size_t)m + 1) * sizeof(int32_t));
    if (!g->preds) {
        c2_graph_free(g);
        return C2_NO_MEMORY;
    }
    for (int64_t k = 0; k < m; k++)
        g->pred_at[to[k] + 2]++;
    for (int64_t v = 1; v <= n; v++)
        g->pred_at[v + 1] += g->pred_at[v];
    for (int64_t k = 0; k < m; k++)
        g->preds[g->pred_at[to[k] + 1]++] = from[k];
    /* Sorted and without duplicates, in place. */
    int32_t kept = 0, begin = 0;
    for (int64_t v = 0; v < n; v++) {
        const int32_t end = g->pred_at[v + 1];
        sort(g->preds + begin, end - begin);
        g->pred_at[v] = kept;
        for (int32_t k = begin; k < end; k++)
            if (k == begin || g->preds[k] != g->preds[k - 1]) {
                const int32_t u = g->preds[k];
                g->preds[kept++] = u;
            }
        begin = end;
    }
    g->pred_at[n] = kept;
    g->m = kept;
    *out = transposed(g);
    return *out ? C2_OK : C2_NO_MEMORY;
}
