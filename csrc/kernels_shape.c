/* The same elements in another arrangement: Reshape, Concat, Split, StopGradient.
 *
 * Every dtype. Elements are copied; Reshape and StopGradient may run in place, where there is
 * nothing to copy.
 */
#include <string.h>
#include "kernel_check.h"
#include "scalar.h"

/* ---- Reshape(X [, shape]) -> reshaped, old_shape. Argument 0: shape ------------------------ */

/* 0 keeps the dimension of X, one -1 is what is left. Where X is empty and no dimension is left
 * open, a 0 is a 0: the old shape of an empty tensor leads back to it. */
static int wanted_shape(c2_context *c, const c2_tensor *x, int64_t *shape, int *ndim) {
    const c2_tensor *given = c->n_in > 1 ? c2_in(c, 1, C2_INT64) : NULL;
    if (c->n_in > 1 && !given) return C2_TYPE;
    const int64_t n = given ? given->size : c->args[0].count;
    if (n > 8) return c2_fail(c, C2_SHAPE, "a shape of %lld dimensions, at most 8", (long long)n);
    *ndim = (int)n;
    bool keeps = x->size > 0;
    for (int d = 0; d < *ndim; d++) {
        shape[d] =
            given ? c2_i64_load((const int64_t *)given->data + d, C2_RELAXED) : c->args[0].ints[d];
        keeps = keeps || shape[d] == -1;
    }
    int64_t known = 1;
    int open = -1;
    for (int d = 0; d < *ndim; d++) {
        if (shape[d] == 0 && keeps && d < x->ndim) shape[d] = x->shape[d];
        if (shape[d] == -1 && open < 0) {
            open = d;
            continue;
        }
        if (shape[d] < 0 || (shape[d] > 0 && known > INT64_MAX / shape[d]))
            return c2_fail(c, C2_VALUE, "dimension %d of the shape is %lld", d,
                           (long long)shape[d]);
        known *= shape[d];
    }
    if (open >= 0) {
        shape[open] = known ? x->size / known : 0;
        known *= shape[open];
    }
    if (known == x->size) return C2_OK;
    return c2_fail(c, C2_SHAPE, "input 0: %s given, which does not fill the shape of %lld elements",
                   C2_TEXT(x), (long long)known);
}

static int reshape(c2_context *c) {
    const c2_tensor *x = c2_in(c, 0, -1);
    if (!x) return C2_TYPE;
    int64_t shape[8];
    int ndim = 0;
    const int status = wanted_shape(c, x, shape, &ndim);
    if (status) return status;
    const int64_t dims = x->ndim;
    const c2_tensor *old = c2_out(c, 1, C2_INT64, 1, &dims);
    if (!old) return C2_NO_MEMORY;
    if (dims) memcpy(old->data, x->shape, (size_t)dims * sizeof *shape);
    /* In place: the new body may stand on the same memory or on new one; the old one stays until
     * this run ends, so it can be copied from either way. */
    const c2_tensor *y = c2_out(c, 0, x->dtype, ndim, shape);
    if (!y) return C2_NO_MEMORY;
    if (x->size) memmove(y->data, x->data, (size_t)(x->size * c2_itemsize(x->dtype)));
    return C2_OK;
}

static int stop_gradient(c2_context *c) {
    const c2_tensor *x = c2_in(c, 0, -1);
    if (!x) return C2_TYPE;
    if (c->in[0] == c->out[0]) return C2_OK;
    const c2_tensor *y = c2_out_like(c, 0, x);
    if (!y) return C2_NO_MEMORY;
    if (x->size) memcpy(y->data, x->data, (size_t)(x->size * c2_itemsize(x->dtype)));
    return C2_OK;
}

/* ---- Concat(X_0, ...) -> joined, split_info; Split(X, split_info) -> X_0, ... --------------- */
/* Argument 0: axis, which may be negative and then counts from the last dimension. */

typedef struct layout {
    int64_t outer, inner; /* elements before the axis, and bytes behind it */
    int axis;
} layout;

static int layout_of(c2_context *c, const c2_tensor *x, layout *at) {
    const int64_t axis = c->args[0].i < 0 ? c->args[0].i + x->ndim : c->args[0].i;
    if (axis < 0 || axis >= x->ndim)
        return c2_fail(c, C2_SHAPE, "input 0: %s given, which has no dimension %lld (axis)",
                       C2_TEXT(x), (long long)c->args[0].i);
    *at = (layout){1, c2_itemsize(x->dtype), (int)axis};
    for (int d = 0; d < x->ndim; d++)
        if (d != axis) *(d < axis ? &at->outer : &at->inner) *= x->shape[d];
    return C2_OK;
}

/* Copy a part of `width` along the axis into, or out of, a whole of `total`, from `first` on. */
static void copy_part(const layout *at, char *whole, int64_t total, int64_t first, char *part,
                      int64_t width, int into) {
    const size_t bytes = (size_t)(width * at->inner);
    if (!bytes) return;
    for (int64_t r = 0; r < at->outer; r++) {
        char *place = whole + (r * total + first) * at->inner, *own = part + (size_t)r * bytes;
        if (into)
            memcpy(place, own, bytes);
        else
            memcpy(own, place, bytes);
    }
}

static int joinable(c2_context *c, int i, const c2_tensor *first, int axis, const c2_tensor **x) {
    *x = c2_in_as(c, i, first, 0);
    if (!*x) return C2_TYPE;
    int fits = (*x)->ndim == first->ndim;
    for (int d = 0; fits && d < first->ndim; d++)
        fits = d == axis || (*x)->shape[d] == first->shape[d];
    if (fits) return C2_OK;
    return c2_fail(c, C2_SHAPE, "input %d: %s given, which does not fit %s along dimension %d", i,
                   C2_TEXT(*x), C2_TEXT(first), axis);
}

static int concat(c2_context *c) {
    const c2_tensor *first = c2_in(c, 0, -1), *x;
    if (!first) return C2_TYPE;
    layout at;
    int status = layout_of(c, first, &at);
    if (status) return status;
    int64_t shape[8], total = 0;
    for (int i = 0; i < c->n_in; i++) {
        if ((status = joinable(c, i, first, at.axis, &x))) return status;
        total += x->shape[at.axis];
    }
    const int64_t parts = c->n_in;
    memcpy(shape, first->shape, sizeof shape);
    shape[at.axis] = total;
    const c2_tensor *info = c2_out(c, 1, C2_INT32, 1, &parts);
    const c2_tensor *y = info ? c2_out(c, 0, first->dtype, first->ndim, shape) : NULL;
    if (!y) return C2_NO_MEMORY;
    int64_t from = 0;
    for (int i = 0; i < c->n_in; i++) {
        /* Once more: somebody may have given the blob another body meanwhile. */
        if ((status = joinable(c, i, first, at.axis, &x))) return status;
        const int64_t width = x->shape[at.axis];
        if (width > total - from)
            return c2_fail(c, C2_SHAPE, "input %d was changed while it was read", i);
        copy_part(&at, y->data, total, from, x->data, width, 1);
        ((int32_t *)info->data)[i] = (int32_t)width;
        from += width;
    }
    return C2_OK;
}

/* Without split_info, equal parts. */
static int split(c2_context *c) {
    const c2_tensor *x = c2_in(c, 0, -1), *info = NULL;
    if (!x) return C2_TYPE;
    layout at;
    const int status = layout_of(c, x, &at);
    if (status) return status;
    const int64_t total = x->shape[at.axis];
    if (c->n_in > 1) {
        if (!(info = c2_in(c, 1, C2_INT32))) return C2_TYPE;
        if (info->size != c->n_out)
            return c2_fail(c, C2_SHAPE, "input 1: %s given, one for each of %d outputs expected",
                           C2_TEXT(info), c->n_out);
    } else if (total % c->n_out) {
        return c2_fail(c, C2_SHAPE, "input 0: %s cannot be split into %d equal parts along %d",
                       C2_TEXT(x), c->n_out, at.axis);
    }
    int64_t from = 0;
    for (int pass = 0; pass < 2; pass++) { /* look at all widths before anything is written */
        from = 0;
        for (int i = 0; i < c->n_out; i++) {
            const int64_t width =
                info ? c2_i32_load((const int32_t *)info->data + i, C2_RELAXED) : total / c->n_out;
            if (width < 0 || width > total - from)
                return c2_fail(c, C2_VALUE, "input 1: part %d is %lld, of %lld left", i,
                               (long long)width, (long long)(total - from));
            if (pass) {
                int64_t shape[8];
                memcpy(shape, x->shape, sizeof shape);
                shape[at.axis] = width;
                const c2_tensor *y = c2_out(c, i, x->dtype, x->ndim, shape);
                if (!y) return C2_NO_MEMORY;
                copy_part(&at, x->data, total, from, y->data, width, 0);
            }
            from += width;
        }
        if (from != total)
            return c2_fail(c, C2_VALUE, "input 1: the parts make %lld, the dimension is %lld",
                           (long long)from, (long long)total);
    }
    return C2_OK;
}

const c2_kernel_entry c2_kernels_shape[] = {
    {"Reshape", reshape}, {"StopGradient", stop_gradient}, {"Concat", concat}, {"Split", split},
    {NULL, NULL},
};
