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

/* The output's shape; 0 when the aligned sizes do not fit. */
static int merge(int ndim, const int64_t *a, const int64_t *b, int64_t *shape) {
    for (int d = 0; d < ndim; d++) {
        if (a[d] != b[d] && a[d] != 1 && b[d] != 1) return 0;
        shape[d] = a[d] == 1 ? b[d] : a[d];
    }
    return 1;
}

static int same(int ndim, const int64_t *shape, const c2_tensor *t) {
    if (ndim != t->ndim) return 0;
    for (int d = 0; d < ndim; d++)
        if (shape[d] != t->shape[d]) return 0;
    return 1;
}

/* Of aligned sizes that fit, with no zero among them (so that no product overflows). */
static walk plan(int ndim, const int64_t *a, const int64_t *b) {
    walk in = {0}, w = {0}; /* `in` has the dimensions from the last to the first */
    int64_t a_jump = 1, b_jump = 1;
    for (int d = ndim - 1; d >= 0; d--) {
        const int64_t size = a[d] == 1 ? b[d] : a[d];
        if (size == 1) continue;
        const int64_t a_step = a[d] == 1 ? 0 : a_jump, b_step = b[d] == 1 ? 0 : b_jump;
        const int last = in.ndim - 1;
        a_jump *= a[d];
        b_jump *= b[d];
        if (last >= 0 && a_step == in.a[last] * in.shape[last] &&
            b_step == in.b[last] * in.shape[last]) {
            in.shape[last] *= size;
            continue;
        }
        in.shape[in.ndim] = size;
        in.a[in.ndim] = a_step;
        in.b[in.ndim++] = b_step;
    }
    w.ndim = in.ndim;
    for (int d = 0, e = in.ndim - 1; e >= 0; d++, e--) {
        w.shape[d] = in.shape[e];
        w.a[d] = in.a[e];
        w.b[d] = in.b[e];
    }
    return w;
}

static void run(const walk *w, c2_inner loop, const char *a, const char *b, int64_t in_size,
                char *out, int64_t out_size, int64_t total) {
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

static int broadcast(c2_context *c, c2_inner loop, const c2_tensor *a, const c2_tensor *b,
                     int out_dtype) {
    const int legacy = c->args[0].i != 0;
    const int64_t axis = c->args[1].i;
    int after = 0; /* dimensions of input 0 behind those of input 1 */
    if (legacy && axis >= 0) {
        if (axis > a->ndim - b->ndim)
            return c2_fail(c, C2_SHAPE, "input 1: %s does not fit into input 0: %s at axis %lld",
                           C2_TEXT(b), C2_TEXT(a), (long long)axis);
        after = a->ndim - (int)axis - b->ndim;
    }
    const int ndim = a->ndim > b->ndim ? a->ndim : b->ndim;
    int64_t sa[8], sb[8], shape[8];
    align(a, ndim, 0, sa);
    align(b, ndim, after, sb);
    if (!merge(ndim, sa, sb, shape) || (legacy && !same(ndim, shape, a)))
        return c2_fail(c, C2_SHAPE, "input 1: %s does not broadcast %s input 0: %s", C2_TEXT(b),
                       legacy ? "into" : "with", C2_TEXT(a));
    /* A blob that grows may keep its memory (blob.c), and then the first row written would
     * spoil what the next rows read. */
    for (int i = 0; i < 2; i++) {
        const c2_tensor *x = i ? b : a;
        if (c->out[0] == c->in[i] && !same(ndim, shape, x))
            return c2_fail(c, C2_SHAPE, "output 0 is input %d: %s, smaller than the result", i,
                           C2_TEXT(x));
    }
    const c2_tensor *out = c2_out(c, 0, out_dtype, ndim, shape);
    if (!out) return C2_NO_MEMORY;
    if (out->size == 0) return C2_OK;
    const walk w = plan(ndim, sa, sb);
    run(&w, loop, a->data, b->data, c2_itemsize(a->dtype), out->data, c2_itemsize(out_dtype),
        out->size);
    return C2_OK;
}

int c2_binary(c2_context *c, const c2_inner loops[C2_DTYPES], int out_dtype) {
    unsigned dtypes = 0;
    for (int t = 0; t < C2_DTYPES; t++)
        if (loops[t]) dtypes |= C2_BIT(t);
    const c2_tensor *a = c2_in_of(c, 0, dtypes);
    if (!a) return C2_TYPE;
    const c2_tensor *b = c2_in_as(c, 1, a, 0);
    if (!b) return C2_TYPE;
    if (out_dtype < 0) out_dtype = a->dtype;
    const c2_inner loop = loops[a->dtype];
    if (!c2_same_shape(a, b)) return broadcast(c, loop, a, b, out_dtype);
    const c2_tensor *out = c2_out(c, 0, out_dtype, a->ndim, a->shape);
    if (!out) return C2_NO_MEMORY;
    loop(a->data, 1, b->data, 1, out->data, out->size);
    return C2_OK;
}
