/* See kernel_check.h. */
#include <stdio.h>
#include "kernel_check.h"
#include "scalar.h"

c2_text c2_text_of(const c2_tensor *tensor) {
    c2_text t;
    const int room = sizeof t.text;
    int n = snprintf(t.text, room, "%s (", c2_dtype_name(tensor->dtype));
    for (int d = 0; d < tensor->ndim; d++)
        n += snprintf(t.text + n, room - n, d ? ", %lld" : "%lld", (long long)tensor->shape[d]);
    snprintf(t.text + n, room - n, tensor->ndim == 1 ? ",)" : ")");
    return t;
}

int c2_same_shape(const c2_tensor *a, const c2_tensor *b) {
    if (a->ndim != b->ndim) return 0;
    for (int d = 0; d < a->ndim; d++)
        if (a->shape[d] != b->shape[d]) return 0;
    return 1;
}

const c2_tensor *c2_in_of(c2_context *c, int i, unsigned dtypes) {
    const c2_tensor *x = c2_in(c, i, -1);
    if (!x || dtypes & C2_BIT(x->dtype)) return x;
    char names[C2_DTYPES * 10] = ""; /* the longest name has 7 letters */
    int n = 0;
    for (int t = 0; t < C2_DTYPES; t++)
        if (dtypes & C2_BIT(t))
            n += snprintf(names + n, sizeof names - n, n ? ", %s" : "%s", c2_dtype_name(t));
    c2_fail(c, C2_TYPE, "input %d: %s given, %s expected", i, C2_TEXT(x), names);
    return NULL;
}

const c2_tensor *c2_in_as(c2_context *c, int i, const c2_tensor *like, int k) {
    const c2_tensor *x = c2_in(c, i, -1);
    if (!x || x->dtype == like->dtype) return x;
    c2_fail(c, C2_TYPE, "input %d: %s given, %s as input %d expected", i, C2_TEXT(x),
            c2_dtype_name(like->dtype), k);
    return NULL;
}

int c2_in_like(c2_context *c, int i, const c2_tensor *like, int k, const c2_tensor **x) {
    *x = c2_in(c, i, -1);
    if (!*x) return C2_TYPE;
    if ((*x)->dtype == like->dtype && c2_same_shape(*x, like)) return C2_OK;
    return c2_fail(c, (*x)->dtype == like->dtype ? C2_SHAPE : C2_TYPE,
                   "input %d: %s given, %s as input %d expected", i, C2_TEXT(*x), C2_TEXT(like), k);
}

int c2_in_float(c2_context *c, int i, int dtype, double *value) {
    const void *p = c2_in_scalar(c, i, dtype);
    if (!p) return C2_TYPE;
    *value = dtype == C2_FLOAT32 ? c2_f32_load(p, C2_RELAXED) : c2_f64_load(p, C2_RELAXED);
    return C2_OK;
}

int c2_in_real(c2_context *c, int i, double *value) {
    const c2_tensor *x = c2_in_of(c, i, C2_FLOATS);
    return x ? c2_in_float(c, i, x->dtype, value) : C2_TYPE;
}
