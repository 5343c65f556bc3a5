/* The adds of update.h.
 *
 * Lines that another worker wrote last come from its cache, 100 ns and more each, and an atomic
 * operation waits for every one: so they are asked for some way ahead.
 */
#include "cpu.h"
#include "dense.h"
#include "update.h"

enum { PIECE = 1024, LINE = 64 }; /* bytes */

static inline void want_piece(const char *p) {
    for (int k = 0; k < PIECE; k += LINE)
        cpu_want_line(p + k);
}

#define ADD(t, T, code, W)                                                                         \
    static void add_##t(T *p, const T *by, T scale, int64_t n, bool exact) {                       \
        enum { STEP = PIECE / sizeof(T) };                                                         \
        want_piece((const char *)p);                                                               \
        for (int64_t from = 0; from < n; from += STEP) {                                           \
            const int64_t m = n - from < STEP ? n - from : STEP;                                   \
            if (n - from > STEP) want_piece((const char *)(p + from + STEP));                      \
            if (exact) {                                                                           \
                c2_dense_add(code, p + from, by + from, &scale, m, 1);                             \
            } else {                                                                               \
                for (int64_t k = from; k < from + m; k++)                                          \
                    p[k] += scale * by[k];                                                         \
            }                                                                                      \
        }                                                                                          \
    }
C2_FLOAT_TYPES(ADD)

static void add(int dtype, void *p, const void *by, double scale, int64_t n, bool exact) {
    if (dtype == C2_FLOAT32)
        add_f32(p, by, (float)scale, n, exact);
    else
        add_f64(p, by, scale, n, exact);
}

c2_target c2_update_target(const c2_update *u, const c2_tensor *tensor) {
    return (c2_target){.dtype = tensor->dtype,
                       .data = tensor->data,
                       .memory = u->atomic ? c2_memory_of(tensor) : NULL};
}

void c2_update_add(const c2_update *u, const c2_target *target, int64_t from, const void *by,
                   double scale, int64_t n) {
    const int64_t size = c2_itemsize(target->dtype);
    char *at = target->data + from * size;
    const char *values = by;
    for (int64_t left = n * size, bytes; left > 0; left -= bytes, at += bytes, values += bytes) {
        bytes = left;
        _Atomic uint64_t *const lock = c2_stripe_take(target->memory, at, &bytes);
        add(target->dtype, at, values, scale, bytes / size, u->atomic && !lock);
        c2_stripe_give(lock);
    }
}
