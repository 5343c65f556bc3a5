/* See broadcast.h. */
#include "broadcast.h"

/* How to walk two tensors together: `ndim` merged dimensions, strides in elements, 0 where that
 * input stands still. No dimension has size 1; the last one's strides are 0 or 1, and not both
 * are 0, since the inputs are contiguous. */
typedef struct walk {
    int ndim;
    int64_t shape[8], a[8], b[8];
} walk;

/* Sizes of `t` laid against `ndim` output dimensions so that its last one ends before `after`
 * more; 1 where it has none. */
static void align(const c2_tensor *t, int ndim, int after, int64_t *sizes) {
    const int first = ndim - after - t->ndim;
    for (int d = 0; d < ndim; d++)
        sizes[d] = d < first || d >= first + t->ndim ? 1 : t->shape[d - first];
}

/* The output's shape and the walk; 0 when the shapes do not fit. */
static int plan(const c2_tensor *a, const c2_tensor *b, int after, int *ndim, int64_t *shape,
                walk *w) {
    int64_t sa[8], sb[8], a_stride = 1, b_stride = 1;
    *ndim = a->ndim > b->ndim ? a->ndim : b->ndim;
    align(a, *ndim, 0, sa);
    align(b, *ndim, after, sb);
    walk inward = {0}; /* dimensions from the last to the first */
    for (int d = *ndim - 1; d >= 0; d--) {
        if (sa[d] != sb[d] && sa[d] != 1 && sb[d] != 1) return 0;
        const int64_t size = shape[d] = sa[d] == 1 ? sb[d] : sa[d];
        if (size == 1) continue;
        const int64_t step_a = sa[d] == 1 ? 0 : a_stride, step_b = sb[d] == 1 ? 0 : b_stride;
        a_stride *= sa[d];
        b_stride *= sb[d];
        const int last = inward.ndim - 1;
        if (last >= 0 && step_a == inward.a[last] * inward.shape[last] &&
            step_b == inward.b[last] * inward.shape[last]) {
            inward.shape[last] *= size;
            continue;
        }
        inward.shape[inward.ndim] = size;
        inward.a[inward.ndim] = step_a;
        inward.b[inward.ndim++] = step_b;
    }
    w->ndim = inward.ndim;
    for (int d = 0; d < w->ndim; d++) {
        w->shape[d] = inward.shape[w->ndim - 1 - d];
        w->a[d] = inward.a[w->ndim - 1 - d];
        w->b[d] = inward.b[w->ndim - 1 - d];
    }
    return 1;
}

static void walk_rows(const walk *w, c2_inner loop, const char *a, const char *b, int64_t in_size,
                      char *out, int64_t out_size, int64_t total) {
    if (total == 0) return;
    if (w->ndim == 0) { /* one element */
        loop(a, 1, b, 1, out, 1);
        return;
    }
    const int last = w->ndim - 1;
    const int64_t n = w->shape[last], rows = total / n;
    int64_t at[8] = {0};
    for (int64_t row = 0; row < rows; row++, out += n * out_size) {
        loop(a, (int)w->a[last], b, (int)w->b[last], out, n);
        for (int d = last - 1; d >= 0; d--) { /* the next row, like an odometer */
            a += w->a[d] * in_size;
            b += w->b[d] * in_size;
            if (++at[d] < w->shape[d]) break;
            a -= w->a[d] * w->shape[d] * in_size;
            b -= w->b[d] * w->shape[d] * in_size;
            at[d] = 0;
        }
    }
}

int c2_binary(c2_context *c, const c2_inner loops[C2_DTYPES], int out_dtype) {
    unsigned dtypes = 0;
    for (int t = 0; t < C2_DTYPES; t++)
        if (loops[t]) dtypes |= C2_BIT(t);
    const c2_tensor *a = c2_in_of(c, 0, dtypes);
    if (!a) return C2_TYPE;
    const c2_tensor *b = c2_in(c, 1, a->dtype);
    if (!b) return C2_TYPE;
    if (out_dtype < 0) out_dtype = a->dtype;
    const c2_inner loop = loops[a->dtype];

    if (c2_same_shape(a, b)) {
        const c2_tensor *out = c2_out(c, 0, out_dtype, a->ndim, a->shape);
        if (!out) return C2_NO_MEMORY;
        loop(a->data, 1, b->data, 1, out->data, out->size);
        return C2_OK;
    }

    const int64_t legacy = c->args[0].i, axis = c->args[1].i;
    int after = 0; /* dimensions of input 0 behind those of input 1 */
    if (legacy && axis >= 0) {
        if (axis > a->ndim - b->ndim)
            return c2_fail(c, C2_SHAPE, "input 1: %s does not fit into input 0: %s at axis %lld",
                           C2_TEXT(b), C2_TEXT(a), (long long)axis);
        after = a->ndim - (int)axis - b->ndim;
    }
    int ndim;
    int64_t shape[8];
    walk w;
    int fits = plan(a, b, after, &ndim, shape, &w);
    if (fits && legacy) { /* the output is input 0's shape */
        fits = ndim == a->ndim;
        for (int d = 0; fits && d < ndim; d++) fits = shape[d] == a->shape[d];
    }
    if (!fits)
        return c2_fail(c, C2_SHAPE, "input 1: %s does not broadcast %s input 0: %s", C2_TEXT(b),
                       legacy ? "into" : "with", C2_TEXT(a));
    const c2_tensor *out = c2_out(c, 0, out_dtype, ndim, shape);
    if (!out) return C2_NO_MEMORY;
    walk_rows(&w, loop, a->data, b->data, c2_itemsize(a->dtype), out->data,
              c2_itemsize(out_dtype), out->size);
    return C2_OK;
}
