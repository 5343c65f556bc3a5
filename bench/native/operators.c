/* The measured operator as a native kernel and as a user's function, and loops around runs, so
 * that no call from Python is part of a figure that is not about it. */
#include <stdlib.h>

#include "kernel.h"
#include "spin.h"

/* The handle is the number of turns. */
static int spin_kernel(c2_context *c) {
    spin((int64_t)(intptr_t)c->handle);
    return C2_OK;
}

/* The handle is where the number of turns is. */
static int spin_element(c2_context *c) {
    spin(*(const int64_t *)c->handle);
    return C2_OK;
}

typedef c2_net *alike_function(int64_t, c2_kernel, void *, int64_t);

/* A net of n operators, each a spin_element of its own turns. alike: c2_net_alike. */
void *bench_alike(void *alike, int64_t n, int64_t *turns) {
    return ((alike_function *)alike)(n, spin_element, turns, sizeof *turns);
}

typedef int set_function(c2_net *, int64_t, c2_kernel, void *, int, c2_blob *const *, int,
                         c2_blob *const *, const c2_arg *, int);
typedef int run_function(void *, c2_run *);

/* Makes every operator of the net a spin_kernel. set: c2_net_set. */
int bench_fill(void *set, void *net, int64_t n, const int64_t *turns) {
    set_function *const fill = (set_function *)set;
    for (int64_t v = 0; v < n; v++) {
        const int status =
            fill(net, v, spin_kernel, (void *)(intptr_t)turns[v], 0, NULL, 0, NULL, NULL, 0);
        if (status) return status;
    }
    return C2_OK;
}

/* ns that `count` runs take; run: c2_net_run or c2_async_run. -1 when one fails. With `stopped`
 * they are stopped before they begin, so that only what they prepare is left. */
int64_t bench_runs(void *run, void *object, int64_t count, int stopped) {
    run_function *const once = (run_function *)run;
    c2_run *const state = calloc(1, sizeof *state);
    if (!state) return -1;
    state->stop = stopped;
    int status = C2_OK;
    const int64_t began = now_ns();
    for (int64_t k = 0; k < count && (!status || stopped); k++)
        status = once(object, state);
    const int64_t took = now_ns() - began;
    free(state);
    return status && !stopped ? -1 : took;
}

/* ns of n bodies and nothing else. */
int64_t bench_bodies(const int64_t *turns, int64_t n) {
    const int64_t began = now_ns();
    for (int64_t v = 0; v < n; v++)
        spin(turns[v]);
    return now_ns() - began;
}

/* For register_operator: the turns are in input 0, an int64. The output's one element is theirs. */
int32_t bench_spin(void **data, const int64_t *sizes, void *user) {
    (void)sizes, (void)user;
    const int64_t turns = *(const int64_t *)data[0];
    spin(turns);
    *(int64_t *)data[1] = turns;
    return 0;
}

/* The same without inputs: no work at all. */
int32_t bench_nothing(void **data, const int64_t *sizes, void *user) {
    (void)data, (void)sizes, (void)user;
    return 0;
}
