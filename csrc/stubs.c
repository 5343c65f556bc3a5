/* Temporary: weak stand-ins until every module has landed. */
#include "c2.h"
#define WEAK __attribute__((weak))
WEAK int64_t c2_itemsize(int dtype) { return 0; }
WEAK int c2_scatter_add(int dtype, void *base, int64_t slots, const void *indices, int index_dtype, const void *values, int value_step, int64_t n, void *before, int64_t *bad) { return C2_SYSTEM; }
WEAK int c2_dense_add(int dtype, void *base, const void *values, const void *scale, int64_t n) { return C2_SYSTEM; }
WEAK int c2_gather(int dtype, const void *base, int64_t slots, const void *indices, int index_dtype, int64_t n, void *out, int64_t *bad) { return C2_SYSTEM; }
WEAK int c2_mutex_lock(void *word, int64_t timeout_ns) { return C2_SYSTEM; }
WEAK int c2_mutex_unlock(void *word) { return C2_SYSTEM; }
WEAK int c2_mutex_locked(const void *word) { return 0; }
WEAK int c2_wait(const void *word, int size, uint64_t expected, int64_t timeout_ns) { return C2_SYSTEM; }
WEAK int c2_notify(const void *word, int size, int count) { return 0; }
WEAK c2_blob *c2_blob_new(void) { return NULL; }
WEAK void c2_blob_free(c2_blob *blob) {}
WEAK int c2_blob_kind(c2_blob *blob) { return 0; }
WEAK int c2_blob_clear(c2_blob *blob) { return C2_SYSTEM; }
WEAK int c2_blob_feed(c2_blob *blob, int dtype, int ndim, const int64_t *shape, const void *data) { return C2_SYSTEM; }
WEAK int c2_blob_share(c2_blob *blob, int dtype, int ndim, const int64_t *shape, void *data) { return C2_SYSTEM; }
WEAK int c2_blob_object(c2_blob *blob, int64_t token) { return C2_SYSTEM; }
WEAK int64_t c2_blob_token(c2_blob *blob) { return -1; }
WEAK void c2_guard_enter(void) {}
WEAK void c2_guard_leave(void) {}
WEAK const c2_tensor *c2_blob_tensor(c2_blob *blob) { return NULL; }
WEAK int c2_idle(void) { return 1; }
WEAK c2_kernel c2_kernel_find(const char *type) { return NULL; }
WEAK int64_t c2_kernel_count(void) { return 0; }
WEAK const char *c2_kernel_name(int64_t index) { return NULL; }
WEAK void c2_set_python_call(c2_python_call call) {}
WEAK int c2_context_inputs(c2_context *context) { return 0; }
WEAK int c2_context_outputs(c2_context *context) { return 0; }
WEAK c2_blob *c2_context_input(c2_context *context, int index) { return NULL; }
WEAK c2_blob *c2_context_output(c2_context *context, int index) { return NULL; }
WEAK c2_net *c2_net_new(int64_t n_ops) { return NULL; }
WEAK void c2_net_free(c2_net *net) {}
WEAK int c2_net_set(c2_net *net, int64_t index, c2_kernel kernel, void *handle, int n_in, c2_blob *const *in, int n_out, c2_blob *const *out, const c2_arg *args, int n_args) { return C2_SYSTEM; }
WEAK int c2_net_run(c2_net *net, c2_run *run) { return C2_SYSTEM; }
WEAK c2_step *c2_step_new(void) { return NULL; }
WEAK void c2_step_free(c2_step *step) {}
WEAK int c2_step_add_net(c2_step *step, c2_net *net) { return C2_SYSTEM; }
WEAK int c2_step_add_substep(c2_step *step, c2_step *substep) { return C2_SYSTEM; }
WEAK int c2_step_set(c2_step *step, int64_t num_iter, c2_blob *should_stop, int only_once, int concurrent, int waits, int64_t every_ms) { return C2_SYSTEM; }
WEAK int c2_step_add_local(c2_step *step, c2_blob *blob) { return C2_SYSTEM; }
WEAK int c2_step_run(c2_step *step, c2_run *run, c2_poll poll) { return C2_SYSTEM; }
WEAK int64_t c2_pool_threads(void) { return 0; }
WEAK int c2_blob_peek(c2_blob *blob, int64_t *value) { return C2_SYSTEM; }
