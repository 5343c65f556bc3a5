/* Losses and their gradients: SoftmaxWithLoss, LabelCrossEntropy, AveragedLoss. float32 or
 * float64; labels are int32 or int64, one for each row, 0 <= label < classes.
 *
 * Labels are all checked before anything is written. They are read once more when used: another
 * thread may have changed them, and then the label that no longer fits ends the operator.
 */
#include "kernel_check.h"
#include "scalar.h"
#include "softmax.h"

/* Probabilities are taken to be at least this, as in Caffe2: the loss of a sure mistake is finite.
 */
#define LEAST_PROBABILITY 1e-20

typedef struct labels {
    c2_context *c;
    const c2_tensor *tensor;
    int input;
    int64_t classes;
} labels;

static inline int64_t label_at(const labels *l, int64_t r) {
    return l->tensor->dtype == C2_INT32
               ? c2_i32_load((const int32_t *)l->tensor->data + r, C2_RELAXED)
               : c2_i64_load((const int64_t *)l->tensor->data + r, C2_RELAXED);
}

static int wrong_label(const labels *l, int64_t r) {
    return c2_fail(l->c, C2_INDEX, "input %d: label %lld of row %lld, 0 <= label < %lld expected",
                   l->input, (long long)label_at(l, r), (long long)r, (long long)l->classes);
}

/* Input `i`: a label for each of the rows. */
static int take_labels(c2_context *c, int i, int64_t rows, int64_t classes, labels *l) {
    *l = (labels){c, c2_in_of(c, i, C2_INDICES), i, classes};
    if (!l->tensor) return C2_TYPE;
    if (l->tensor->size != rows)
        return c2_fail(c, C2_SHAPE,
                       "input %d: labels are %s, one for each of the %lld rows expected", i,
                       C2_TEXT(l->tensor), (long long)rows);
    for (int64_t r = 0; r < rows; r++)
        if ((uint64_t)label_at(l, r) >= (uint64_t)classes) return wrong_label(l, r);
    return C2_OK;
}

/* ---- SoftmaxWithLoss. Arguments: 0 axis, 1 scale, 2 label_prob ---------------------------- */

typedef struct rows {
    const c2_tensor *x; /* logits; or, for the gradient, what stands in their place */
    int64_t count, classes;
    labels l;                 /* l.tensor is of probabilities with label_prob */
    const c2_tensor *weights; /* one for each row, or NULL */
} rows;

/* Inputs 0 logits, 1 labels or probabilities and, where `weighted`, 2 weights. */
static int take_rows(c2_context *c, int weighted, rows *in) {
    in->x = c2_in_of(c, 0, C2_FLOATS);
    in->weights = NULL;
    if (!in->x) return C2_TYPE;
    int status = c2_classes(c, 0, in->x, c->args[0].i, &in->count, &in->classes);
    if (status) return status;
    if (c->args[2].i) {
        in->l = (labels){c, NULL, 1, in->classes};
        status = c2_in_like(c, 1, in->x, 0, &in->l.tensor);
    } else {
        status = take_labels(c, 1, in->count, in->classes, &in->l);
    }
    if (status || !weighted) return status;
    in->weights = c2_in(c, 2, in->x->dtype);
    if (!in->weights) return C2_TYPE;
    if (in->weights->size != in->count)
        return c2_fail(c, C2_SHAPE,
                       "input 2: weights are %s, one for each of the %lld rows expected",
                       C2_TEXT(in->weights), (long long)in->count);
    return C2_OK;
}

/* The mean over the rows, weighted where weights are given, of -log(probability of the label);
 * `given` are probabilities with label_prob, else NULL. Returns -1 when a label changed. */
#define SOFTMAX_LOSS(t, T, code, W)                                                                \
    static int softmax_loss_##t(const rows *in, T *p, T scale, T *loss) {                          \
        const T *x = in->x->data, *w = in->weights ? in->weights->data : NULL;                     \
        const int64_t n = in->classes;                                                             \
        const T *given = in->l.tensor->dtype == in->x->dtype ? in->l.tensor->data : NULL;          \
        T sum = 0, total = 0;                                                                      \
        for (int64_t r = 0; r < in->count; r++) {                                                  \
            const T weight = w ? w[r] : 1;                                                         \
            T one = 0;                                                                             \
            const int64_t label = given ? 0 : label_at(&in->l, r);                                 \
            if ((uint64_t)label >= (uint64_t)n) return wrong_label(&in->l, r);                     \
            const T at_label = x[r * n + label]; /* p may be x */                                  \
            for (int64_t k = 0; given && k < n; k++)                                               \
                one -= given[r * n + k] * x[r * n + k];                                            \
            const T all = c2_softmax_##t(x + r * n, n, p + r * n);                                 \
            for (int64_t k = 0; given && k < n; k++)                                               \
                one += given[r * n + k] * all;                                                     \
            sum += weight * (given ? one : all - at_label);                                        \
            total += weight;                                                                       \
        }                                                                                          \
        *loss = total > 0 ? sum * scale / total : 0;                                               \
        return C2_OK;                                                                              \
    }
C2_FLOAT_TYPES(SOFTMAX_LOSS)

/* logits, labels [, weights] -> probabilities, loss (0-D). */
static int softmax_with_loss(c2_context *c) {
    rows in;
    const int status = take_rows(c, c->n_in > 2, &in);
    if (status) return status;
    const c2_tensor *p = c2_out_like(c, 0, in.x), *loss = c2_out(c, 1, in.x->dtype, 0, NULL);
    if (!p || !loss) return C2_NO_MEMORY;
    if (p->dtype == C2_FLOAT32)
        return softmax_loss_f32(&in, p->data, (float)c->args[1].f, loss->data);
    return softmax_loss_f64(&in, p->data, c->args[1].f, loss->data);
}

#define SOFTMAX_LOSS_GRADIENT(t, T, code, W)                                                       \
    static int softmax_loss_gradient_##t(const rows *in, const T *p, T scale, T *dx) {             \
        const T *w = in->weights ? in->weights->data : NULL;                                       \
        const int64_t n = in->classes;                                                             \
        const T *given = in->l.tensor->dtype == in->x->dtype ? in->l.tensor->data : NULL;          \
        T total = 0;                                                                               \
        for (int64_t r = 0; w && r < in->count; r++)                                               \
            total += w[r];                                                                         \
        if (!w) total = (T)in->count;                                                              \
        scale = total > 0 ? scale / total : 0;                                                     \
        for (int64_t r = 0; r < in->count; r++) {                                                  \
            const T factor = w ? scale * w[r] : scale;                                             \
            const T *q = given ? given + r * n : NULL;                                             \
            T mass = given ? 0 : 1; /* of the row's labels: 1, but for odd probabilities */        \
            for (int64_t k = 0; given && k < n; k++)                                               \
                mass += q[k];                                                                      \
            for (int64_t k = 0; k < n; k++)                                                        \
                dx[r * n + k] = factor * (mass * p[r * n + k] - (given ? q[k] : 0));               \
            if (given) continue;                                                                   \
            const int64_t label = label_at(&in->l, r);                                             \
            if ((uint64_t)label >= (uint64_t)n) return wrong_label(&in->l, r);                     \
            dx[r * n + label] -= factor;                                                           \
        }                                                                                          \
        return C2_OK;                                                                              \
    }
C2_FLOAT_TYPES(SOFTMAX_LOSS_GRADIENT)

/* logits, labels [, weights], probabilities, dloss -> dlogits. Of the logits only the shape is
 * looked at. */
static int softmax_with_loss_gradient(c2_context *c) {
    rows in;
    const c2_tensor *p;
    const int at = c->n_in - 2;
    double dloss;
    int status = take_rows(c, at > 2, &in);
    if (!status) status = c2_in_like(c, at, in.x, 0, &p);
    if (!status) status = c2_in_real(c, at + 1, &dloss);
    if (status) return status;
    const c2_tensor *dx = c2_out_like(c, 0, in.x);
    if (!dx) return C2_NO_MEMORY;
    const double scale = c->args[1].f * dloss;
    if (dx->dtype == C2_FLOAT32)
        return softmax_loss_gradient_f32(&in, p->data, (float)scale, dx->data);
    return softmax_loss_gradient_f64(&in, p->data, scale, dx->data);
}

/* ---- LabelCrossEntropy: X (rows, classes), labels -> Y (rows,) ----------------------------- */

static int cross_entropy_inputs(c2_context *c, const c2_tensor **x, labels *l) {
    *x = c2_in_of(c, 0, C2_FLOATS);
    if (!*x) return C2_TYPE;
    int64_t count = 0, classes = 0;
    const int status = c2_classes(c, 0, *x, 1, &count, &classes);
    return status ? status : take_labels(c, 1, count, classes, l);
}

#define CROSS_ENTROPY(t, T, code, W)                                                               \
    static int cross_entropy_##t(const T *x, const labels *l, T *y) {                              \
        for (int64_t r = 0; r < l->tensor->size; r++) {                                            \
            const int64_t label = label_at(l, r);                                                  \
            if ((uint64_t)label >= (uint64_t)l->classes) return wrong_label(l, r);                 \
            const T p = x[r * l->classes + label];                                                 \
            y[r] = -log(p < (T)LEAST_PROBABILITY ? (T)LEAST_PROBABILITY : p);                      \
        }                                                                                          \
        return C2_OK;                                                                              \
    }                                                                                              \
    static int cross_entropy_gradient_##t(const T *x, const labels *l, const T *dy, T *dx) {       \
        memset(dx, 0, (size_t)(l->tensor->size * l->classes) * sizeof *dx);                        \
        for (int64_t r = 0; r < l->tensor->size; r++) {                                            \
            const int64_t label = label_at(l, r);                                                  \
            if ((uint64_t)label >= (uint64_t)l->classes) return wrong_label(l, r);                 \
            const T p = x[r * l->classes + label];                                                 \
            dx[r * l->classes + label] =                                                           \
                -dy[r] / (p < (T)LEAST_PROBABILITY ? (T)LEAST_PROBABILITY : p);                    \
        }                                                                                          \
        return C2_OK;                                                                              \
    }
C2_FLOAT_TYPES(CROSS_ENTROPY)

static int label_cross_entropy(c2_context *c) {
    const c2_tensor *x;
    labels l;
    const int status = cross_entropy_inputs(c, &x, &l);
    if (status) return status;
    const c2_tensor *y = c2_out(c, 0, x->dtype, 1, &l.tensor->size);
    if (!y) return C2_NO_MEMORY;
    return x->dtype == C2_FLOAT32 ? cross_entropy_f32(x->data, &l, y->data)
                                  : cross_entropy_f64(x->data, &l, y->data);
}

static int label_cross_entropy_gradient(c2_context *c) {
    const c2_tensor *x, *dy;
    labels l;
    const int status = cross_entropy_inputs(c, &x, &l);
    if (status) return status;
    if (!(dy = c2_in(c, 2, x->dtype))) return C2_TYPE;
    if (dy->size != l.tensor->size)
        return c2_fail(c, C2_SHAPE, "input 2: dY is %s, one for each of the %lld rows expected",
                       C2_TEXT(dy), (long long)l.tensor->size);
    const c2_tensor *dx = c2_out_like(c, 0, x);
    if (!dx) return C2_NO_MEMORY;
    if (dx->size == 0) return C2_OK;
    return x->dtype == C2_FLOAT32 ? cross_entropy_gradient_f32(x->data, &l, dy->data, dx->data)
                                  : cross_entropy_gradient_f64(x->data, &l, dy->data, dx->data);
}

/* ---- AveragedLoss: X -> the mean of its elements, 0-D -------------------------------------- */

/* Added up as doubles, so that the mean of many floats is one. */
#define MEAN(t, T, code, W)                                                                        \
    static T mean_##t(const T *x, int64_t n) {                                                     \
        double sum = 0;                                                                            \
        for (int64_t k = 0; k < n; k++)                                                            \
            sum += x[k];                                                                           \
        return n ? (T)(sum / (double)n) : 0;                                                       \
    }                                                                                              \
    static void spread_##t(double each, T *dx, int64_t n) {                                        \
        for (int64_t k = 0; k < n; k++)                                                            \
            dx[k] = (T)each;                                                                       \
    }
C2_FLOAT_TYPES(MEAN)

static int averaged_loss(c2_context *c) {
    const c2_tensor *x = c2_in_of(c, 0, C2_FLOATS);
    if (!x) return C2_TYPE;
    const c2_tensor *y = c2_out(c, 0, x->dtype, 0, NULL);
    if (!y) return C2_NO_MEMORY;
    if (x->dtype == C2_FLOAT32)
        *(float *)y->data = mean_f32(x->data, x->size);
    else
        *(double *)y->data = mean_f64(x->data, x->size);
    return C2_OK;
}

static int averaged_loss_gradient(c2_context *c) {
    const c2_tensor *x = c2_in_of(c, 0, C2_FLOATS);
    double dy;
    if (!x || c2_in_real(c, 1, &dy)) return C2_TYPE;
    const c2_tensor *dx = c2_out_like(c, 0, x);
    if (!dx) return C2_NO_MEMORY;
    if (x->dtype == C2_FLOAT32)
        spread_f32(dy / (double)x->size, dx->data, x->size);
    else
        spread_f64(dy / (double)x->size, dx->data, x->size);
    return C2_OK;
}

const c2_kernel_entry c2_kernels_loss[] = {
    {"SoftmaxWithLoss", softmax_with_loss},
    {"SoftmaxWithLossGradient", softmax_with_loss_gradient},
    {"LabelCrossEntropy", label_cross_entropy},
    {"LabelCrossEntropyGradient", label_cross_entropy_gradient},
    {"AveragedLoss", averaged_loss},
    {"AveragedLossGradient", averaged_loss_gradient},
    {NULL, NULL},
};
