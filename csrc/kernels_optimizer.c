/* Steps of gradient descent on dense parameters: LearningRate; SGD, MomentumSGD,
 * MomentumSGDUpdate, Adagrad, Adam. float32 or float64.
 *
 * Names, formulas and signs are Caffe2's: MomentumSGD* subtract their step, the others add
 * lr * gradient, so that their lr is negative to descend. SGD is WeightedSum(param, 1, grad, lr)
 * with a choice of how to write.
 *
 * How parameters are written is told in update.h. Moments are another matter: a step of momentum
 * or of Adam is no sum, so moments are read and written plainly, and a worker has moments of its
 * own, or locks. Adagrad's moment is a sum and is added to as its parameters are.
 *
 * Steps are computed a block at a time on the stack, then added.
 *
 * Sources: Polyak, "Some methods of speeding up the convergence of iteration methods", 1964;
 * Sutskever, Martens, Dahl, Hinton, ICML 2013 (Nesterov's form); Duchi, Hazan, Singer, JMLR 2011
 * (Adagrad); Kingma, Ba, ICLR 2015 (Adam).
 */
#include <tgmath.h>
#include <string.h>
#include "kernel_check.h"
#include "scalar.h"
#include "update.h"

enum { BLOCK = 1024 };

/* Inputs that all have the dtype and shape of input `first`. */
static int take_like(c2_context *c, int first, const int *others, int n, const c2_tensor **x) {
    x[0] = c2_in_of(c, first, C2_FLOATS);
    if (!x[0]) return C2_TYPE;
    for (int k = 0; k < n; k++) {
        const int status = c2_in_like(c, others[k], x[0], first, &x[k + 1]);
        if (status) return status;
    }
    return C2_OK;
}

/* ---- SGD: param, grad, lr [, mutex] -> param. Argument 0: update --------------------------- */

static int sgd(c2_context *c) {
    const c2_tensor *x[2];
    double lr;
    c2_update u;
    int status = c2_update_in_place(c, 0, 0);
    if (!status) status = take_like(c, 0, (const int[]){1}, 1, x);
    if (!status) status = c2_in_real(c, 2, &lr);
    if (!status) status = c2_update_begin(c, 0, 3, x[0]->data, &u);
    if (status) return status;
    const c2_target param = c2_update_target(&u, x[0]);
    c2_update_add(&u, &param, 0, x[1]->data, lr, x[0]->size);
    c2_update_end(&u);
    return C2_OK;
}

/* ---- MomentumSGD: grad, m, lr -> step, m'. Arguments: 0 momentum, 1 nesterov --------------- */
/* ---- MomentumSGDUpdate: grad, m, lr, param [, mutex] -> step, m', param. 2 update ---------- */

typedef struct momentum {
    double lr, momentum;
    bool nesterov;
} momentum;

#define MOMENTUM(t, T, code, W)                                                                    \
    static void momentum_##t(const momentum *s, const T *g, T *m, T *step, T *m_out, int64_t n) {  \
        const T lr = (T)s->lr, mu = (T)s->momentum;                                                \
        if (s->nesterov) {                                                                         \
            for (int64_t k = 0; k < n; k++) {                                                      \
                const T before = m[k], now = mu * before + lr * g[k];                              \
                m_out[k] = now;                                                                    \
                step[k] = (1 + mu) * now - mu * before;                                            \
            }                                                                                      \
        } else {                                                                                   \
            for (int64_t k = 0; k < n; k++)                                                        \
                step[k] = m_out[k] = mu * m[k] + lr * g[k];                                        \
        }                                                                                          \
    }
C2_FLOAT_TYPES(MOMENTUM)

static int momentum_sgd(c2_context *c) {
    const c2_tensor *x[3];
    momentum s = {.momentum = c->args[0].f, .nesterov = c->args[1].i};
    c2_update u = {0};
    const bool updates = c->n_in > 3;
    int status = updates ? c2_update_in_place(c, 3, 2) : C2_OK;
    if (!status) status = take_like(c, 0, (const int[]){1, 3}, 1 + updates, x);
    if (!status) status = c2_in_real(c, 2, &s.lr);
    if (status) return status;
    const c2_tensor *step = c2_out_like(c, 0, x[0]), *m = step ? c2_out_like(c, 1, x[0]) : NULL;
    if (!m) return C2_NO_MEMORY;
    if (updates && (status = c2_update_begin(c, 2, 4, x[2]->data, &u))) return status;
    if (step->dtype == C2_FLOAT32)
        momentum_f32(&s, x[0]->data, x[1]->data, step->data, m->data, step->size);
    else
        momentum_f64(&s, x[0]->data, x[1]->data, step->data, m->data, step->size);
    if (updates) {
        const c2_target param = c2_update_target(&u, x[2]);
        c2_update_add(&u, &param, 0, step->data, -1, step->size);
    }
    c2_update_end(&u);
    return C2_OK;
}

/* ---- Adagrad: param, moment, grad, lr [, mutex] -> param, moment --------------------------- */
/* Arguments: 0 epsilon, 1 decay, 2 update. */

#define ADAGRAD(t, T, code, W)                                                                     \
    static void adagrad_##t(const c2_update *u, const c2_arg *args, double lr, const c2_target *p, \
                            const c2_target *h, const T *g, int64_t size) {                        \
        const T epsilon = (T)args[0].f, decay = (T)args[1].f;                                      \
        T step[BLOCK];                                                                             \
        for (int64_t from = 0; from < size; from += BLOCK) {                                       \
            const int64_t n = size - from < BLOCK ? size - from : BLOCK;                           \
            const T *gb = g + from;                                                                \
            T *hb = (T *)h->data + from;                                                           \
            if (decay == 1) {                                                                      \
                for (int64_t k = 0; k < n; k++)                                                    \
                    step[k] = gb[k] * gb[k];                                                       \
                c2_update_add(u, h, from, step, 1, n);                                             \
            } else {                                                                               \
                for (int64_t k = 0; k < n; k++)                                                    \
                    hb[k] = decay * hb[k] + gb[k] * gb[k];                                         \
            }                                                                                      \
            for (int64_t k = 0; k < n; k++)                                                        \
                step[k] = gb[k] / (sqrt(hb[k]) + epsilon);                                         \
            c2_update_add(u, p, from, step, lr, n);                                                \
        }                                                                                          \
    }
C2_FLOAT_TYPES(ADAGRAD)

static int adagrad(c2_context *c) {
    const c2_tensor *x[3];
    double lr;
    c2_update u;
    int status = c2_update_in_place(c, 0, 0);
    if (!status) status = c2_update_in_place(c, 1, 1);
    if (!status) status = take_like(c, 0, (const int[]){1, 2}, 2, x);
    if (!status) status = c2_in_real(c, 3, &lr);
    if (!status) status = c2_update_begin(c, 2, 4, x[0]->data, &u);
    if (status) return status;
    const c2_target p = c2_update_target(&u, x[0]), h = c2_update_target(&u, x[1]);
    if (x[0]->dtype == C2_FLOAT32)
        adagrad_f32(&u, c->args, lr, &p, &h, x[2]->data, x[0]->size);
    else
        adagrad_f64(&u, c->args, lr, &p, &h, x[2]->data, x[0]->size);
    c2_update_end(&u);
    return C2_OK;
}

/* ---- Adam: param, m1, m2, grad, lr, iter [, mutex] -> param, m1, m2 ------------------------ */
/* Arguments: 0 beta1, 1 beta2, 2 epsilon, 3 update. */

#define ADAM(t, T, code, W)                                                                        \
    static void adam_##t(const c2_update *u, const c2_arg *args, double lr, const c2_target *p,    \
                         T *m1, T *m2, const T *g, int64_t size) {                                 \
        const T b1 = (T)args[0].f, b2 = (T)args[1].f, epsilon = (T)args[2].f;                      \
        T step[BLOCK];                                                                             \
        for (int64_t from = 0; from < size; from += BLOCK) {                                       \
            const int64_t n = size - from < BLOCK ? size - from : BLOCK;                           \
            const T *gb = g + from;                                                                \
            T *a = m1 + from, *b = m2 + from;                                                      \
            for (int64_t k = 0; k < n; k++) {                                                      \
                a[k] = b1 * a[k] + (1 - b1) * gb[k];                                               \
                b[k] = b2 * b[k] + (1 - b2) * gb[k] * gb[k];                                       \
                step[k] = a[k] / (sqrt(b[k]) + epsilon);                                           \
            }                                                                                      \
            c2_update_add(u, p, from, step, lr, n);                                                \
        }                                                                                          \
    }
C2_FLOAT_TYPES(ADAM)

static int adam(c2_context *c) {
    const c2_tensor *x[4];
    double lr;
    c2_update u;
    int status = C2_OK;
    for (int k = 0; k < 3 && !status; k++)
        status = c2_update_in_place(c, k, k);
    if (!status) status = take_like(c, 0, (const int[]){1, 2, 3}, 3, x);
    if (!status) status = c2_in_real(c, 4, &lr);
    if (status) return status;
    const void *iteration = c2_in_scalar(c, 5, C2_INT64);
    if (!iteration) return C2_TYPE;
    const double t = (double)c2_i64_load(iteration, C2_RELAXED) + 1;
    if (t < 1) return c2_fail(c, C2_VALUE, "input 5: iteration %g, at least 0 expected", t - 1);
    if ((status = c2_update_begin(c, 3, 6, x[0]->data, &u))) return status;
    lr *= sqrt(1 - pow(c->args[1].f, t)) / (1 - pow(c->args[0].f, t));
    const c2_target p = c2_update_target(&u, x[0]);
    if (x[0]->dtype == C2_FLOAT32)
        adam_f32(&u, c->args, lr, &p, x[1]->data, x[2]->data, x[3]->data, x[0]->size);
    else
        adam_f64(&u, c->args, lr, &p, x[1]->data, x[2]->data, x[3]->data, x[0]->size);
    c2_update_end(&u);
    return C2_OK;
}

/* ---- LearningRate: iter -> lr (float32, 0-D) ----------------------------------------------- */

enum { BASE_LR, POLICY, GAMMA, STEPSIZE, POWER, MAX_ITER, NUM_ITER, START_MULTIPLIER, MULTIPLIER };

static double factor(const c2_arg *args, int64_t iteration) {
    const char *policy = args[POLICY].s;
    const double t = (double)iteration, gamma = args[GAMMA].f;
    if (strcmp(policy, "step") == 0) return pow(gamma, (double)(iteration / args[STEPSIZE].i));
    if (strcmp(policy, "exp") == 0) return pow(gamma, t);
    if (strcmp(policy, "inv") == 0) return pow(1 + gamma * t, -args[POWER].f);
    if (strcmp(policy, "poly") == 0) {
        const double left = 1 - t / (double)args[MAX_ITER].i;
        return left > 0 ? pow(left, args[POWER].f) : 0;
    }
    if (strcmp(policy, "linearWarmup") == 0) {
        const double start = args[START_MULTIPLIER].f, over = (double)args[NUM_ITER].i;
        return t >= over ? 1 : start + (1 - start) * t / over;
    }
    if (strcmp(policy, "constantWarmup") == 0)
        return iteration >= args[NUM_ITER].i ? 1 : args[MULTIPLIER].f;
    return 1; /* fixed */
}

static int learning_rate(c2_context *c) {
    const void *iteration = c2_in_scalar(c, 0, C2_INT64);
    if (!iteration) return C2_TYPE;
    const int64_t t = c2_i64_load(iteration, C2_RELAXED);
    if (t < 0)
        return c2_fail(c, C2_VALUE, "input 0: iteration %lld, at least 0 expected", (long long)t);
    const c2_tensor *lr = c2_out(c, 0, C2_FLOAT32, 0, NULL);
    if (!lr) return C2_NO_MEMORY;
    c2_f32_store(lr->data, (float)(c->args[BASE_LR].f * factor(c->args, t)), C2_RELAXED);
    return C2_OK;
}

const c2_kernel_entry c2_kernels_optimizer[] = {
    {"LearningRate", learning_rate},
    {"SGD", sgd},
    {"MomentumSGD", momentum_sgd},
    {"MomentumSGDUpdate", momentum_sgd},
    {"Adagrad", adagrad},
    {"Adam", adam},
    {NULL, NULL},
};
