/* Every declaration that crosses into Python, and nothing else: no preprocessor line, so that
 * cffi reads this very file. C includes it through c2.h.
 *
 * Functions return a status (0 is success) unless they say otherwise; they never print and
 * never raise. Pointers to memory of the caller are borrowed for the call.
 */

/* ---- statuses ------------------------------------------------------------------------- */

enum c2_status {
    C2_OK = 0,
    C2_TIMEOUT = 1,     /* the deadline passed */
    C2_INTERRUPTED = 2, /* a signal arrived; the caller decides whether to go on */
    C2_OWNER_DIED = 3,  /* the lock is held now, and its last owner died with it */
    C2_NOT_OWNER = 4,   /* released by somebody who does not hold it */
    C2_BUSY = 5,        /* it would have to wait */
    C2_DEADLOCK = 6,    /* the caller holds it already and would wait for ever */
    C2_INDEX = 7,       /* an index out of range */
    C2_VALUE = 8,       /* a value that is not accepted */
    C2_TYPE = 9,        /* a blob of another kind, or another dtype */
    C2_SHAPE = 10,      /* shapes that do not fit together */
    C2_OVERFLOW = 11,   /* a result that does not fit its type */
    C2_NO_MEMORY = 12,
    C2_CLOSED = 13,  /* a closed queue */
    C2_FAILED = 14,  /* an operator reported failure */
    C2_STOPPED = 15, /* the run was stopped from elsewhere */
    C2_PYTHON = 16,  /* a Python exception is waiting on the Python side */
    C2_SYSTEM = 17,  /* the operating system refused */
    C2_ALIGNMENT = 18
};

/* ---- element types, memory orders ------------------------------------------------------ */

enum c2_dtype {
    C2_BOOL = 0,
    C2_INT8 = 1,
    C2_INT16 = 2,
    C2_INT32 = 3,
    C2_INT64 = 4,
    C2_UINT8 = 5,
    C2_UINT16 = 6,
    C2_UINT32 = 7,
    C2_UINT64 = 8,
    C2_FLOAT32 = 9,
    C2_FLOAT64 = 10,
    C2_DTYPES = 11
};

enum c2_order { C2_RELAXED = 0, C2_ACQUIRE = 1, C2_RELEASE = 2, C2_ACQ_REL = 3, C2_SEQ_CST = 4 };

int64_t c2_itemsize(int dtype); /* bytes of an element; 0 for an unknown dtype */

/* ---- the fast path's types (csrc/fast) -------------------------------------------------- */

/* Puts the C types into the Python dict that `namespace` points to (an id()). Called once, at
 * import; takes the GIL itself. Returns 0, or -1 when a type could not be made. */
int c2_register_fast(void *namespace_dict);

/* ---- bulk operations on the caller's memory (bulk.c, scatter.c, dense.c) ---------------- */

/* Indices: -slots <= index < slots, negative ones count from the end; index_dtype is C2_INT32 or
 * C2_INT64. Every index is checked before the first write. C2_OK or C2_INDEX, and then *bad is
 * the position of the first bad index. Integers wrap. All adds are relaxed. */

/* One after the other: before[k] = base[indices[k]], to which values[k] (or values[0] when
 * value_step is 0) is added in the same atomic operation. `before` may be NULL. */
int c2_fetch_add_at(int dtype, void *base, int64_t slots, const void *indices, int index_dtype,
                    const void *values, int value_step, int64_t n, void *before, int64_t *bad);

/* How the adds at indices are made; scatter.c says what each is good for. */
enum c2_add_method {
    C2_ADD_AUTO = 0,
    C2_ADD_DIRECT = 1,  /* each add one atomic operation */
    C2_ADD_PRIVATE = 2, /* summed in a copy of each thread's own, which is then added */
    C2_ADD_CACHED = 3   /* the hot slots so, the others directly */
};

/* What a call did. */
typedef struct c2_add_report {
    int32_t method;
    int32_t threads; /* that took part, the caller among them */
    int32_t writers; /* threads at work in calls like this one when it began, its own included */
    double repeated; /* share of a sample of the indices that had come in it before; -1: none */
    int64_t scratch; /* bytes that were allocated */
} c2_add_report;

/* base[indices[k]] += values[k] (or values[0]), in any order, on at most `threads` threads;
 * floats may be summed in another order before they are added. `report` may be NULL. Also
 * C2_NO_MEMORY, where a forced method needs what there is not. */
int c2_add_at(int dtype, void *base, int64_t slots, const void *indices, int index_dtype,
              const void *values, int value_step, int64_t n, int method, int threads,
              c2_add_report *report, int64_t *bad);

/* base[k] += scale * values[k] for k < n, each element atomic towards every other operation.
 * `scale` points to one element of the dtype. */
int c2_dense_add(int dtype, void *base, const void *values, const void *scale, int64_t n,
                 int threads);

/* The same by plain vector adds under locks: atomic only towards calls with the same locks.
 * `locks`: n_locks words of 8 bytes, zero at first, for calls of any process on this base; NULL:
 * those of this process. May block. C2_OWNER_DIED: added, but a process had died in its part. */
int c2_dense_add_striped(int dtype, void *base, const void *values, const void *scale, int64_t n,
                         int threads, void *locks, int64_t n_locks);

/* out[k] = base[indices[k]], each element read without tearing; indices as above. */
int c2_gather(int dtype, const void *base, int64_t slots, const void *indices, int index_dtype,
              int64_t n, void *out, int64_t *bad);

/* ---- mutex: 8 bytes of anybody's memory (mutex.c) --------------------------------------- */

/* All zero is unlocked. May block: release the GIL. timeout_ns < 0 waits for ever, 0 tries.
 * C2_OK, C2_OWNER_DIED (held too), C2_BUSY (tried), C2_TIMEOUT, C2_INTERRUPTED, C2_DEADLOCK. */
int c2_mutex_lock(void *word, int64_t timeout_ns);
int c2_mutex_unlock(void *word);       /* C2_OK or C2_NOT_OWNER */
int c2_mutex_locked(const void *word); /* 0 or 1 */

/* ---- wait and notify (wait.c) ----------------------------------------------------------- */

/* Block while the `size`-byte value at `word` equals `expected` (its bits, zero-extended).
 * C2_OK once it differs, C2_TIMEOUT, C2_INTERRUPTED. timeout_ns < 0 waits for ever. */
int c2_wait(const void *word, int size, uint64_t expected, int64_t timeout_ns);
int c2_notify(const void *word, int size, int count); /* returns how many were woken */

/* ---- blobs (blob.c) --------------------------------------------------------------------- */

enum c2_kind {
    C2_EMPTY = 0,
    C2_TENSOR = 1,
    C2_MUTEX = 2,
    C2_ATOMIC_BOOL = 3,
    C2_COUNTER = 4,
    C2_QUEUE = 5,
    C2_OBJECT = 6 /* a Python object; C only passes it on */
};

/* What a tensor blob holds. Immutable once published: a new shape or a new buffer is a new
 * c2_tensor, so a reader never sees the shape of one with the memory of another. */
typedef struct c2_tensor {
    void *data;
    int64_t size; /* elements */
    int64_t shape[8];
    int32_t ndim;
    int32_t dtype;
} c2_tensor;

typedef struct c2_blob c2_blob;

c2_blob *c2_blob_new(void); /* NULL when out of memory */
void c2_blob_free(c2_blob *blob);
int c2_blob_kind(c2_blob *blob);
int c2_blob_clear(c2_blob *blob); /* empty again */

/* Make it a tensor of this type and shape; copies the elements from `data` unless NULL. */
int c2_blob_feed(c2_blob *blob, int dtype, int ndim, const int64_t *shape, const void *data);
/* Make it a tensor on the caller's memory, which must live as long as the blob, or until it is
 * replaced and c2_idle() has been seen true. */
int c2_blob_share(c2_blob *blob, int dtype, int ndim, const int64_t *shape, void *data);
int c2_blob_object(c2_blob *blob, int64_t token); /* make it a C2_OBJECT */
int64_t c2_blob_token(c2_blob *blob);             /* of an object; -1 otherwise */

/* Between these two calls no memory that a c2_tensor names is given back, whoever resizes the
 * blob meanwhile. Calls nest; both on the same thread. */
void c2_guard_enter(void);
void c2_guard_leave(void);
int c2_inside(void); /* 1 when this thread is inside a guard: in an operator of some run, say */
const c2_tensor *c2_blob_tensor(c2_blob *blob); /* inside a guard; NULL for other kinds */
/* The same for n blobs: what tensors[k] says becomes what that of blobs[k] does, ndim = -1 for
 * other kinds. 1 when nothing was new: the same memory, shapes and types as before. */
int c2_blob_tensors(c2_blob *const *blobs, int64_t n, c2_tensor *tensors);

/* Inside a guard: the tensor, or NULL; and in *memory what keeps its elements' memory after the
 * guard too, whatever becomes of the blob, until it is given to c2_memory_let_go. NULL there for
 * memory that is the caller's. */
const c2_tensor *c2_blob_keep(c2_blob *blob, void **memory);
void c2_memory_let_go(void *memory);
/* The same, for whom it is the end of something else too, which is passed and not looked at. */
void c2_memory_let_go_with(void *memory, void *other);
int c2_idle(void); /* 1 when nobody is inside a guard */

/* ---- operators (operator.c) ------------------------------------------------------------- */

typedef struct c2_context c2_context;
typedef int (*c2_kernel)(c2_context *context);

/* One argument of an operator, in the order in which its schema declares them. */
typedef struct c2_arg {
    int64_t i;
    double f;
    const int64_t *ints;
    const double *floats;
    const char *s;
    int64_t count; /* of ints or floats */
    int64_t given; /* 0: this is the default */
} c2_arg;

c2_kernel c2_kernel_find(const char *type); /* NULL: no native kernel of that name */
int64_t c2_kernel_count(void);
const char *c2_kernel_name(int64_t index);

/* A kernel of the user: data[k] and sizes[k] (elements) are the inputs' and then the outputs'.
 * Returns 0, or anything else to fail the operator. */
typedef int32_t (*c2_user_kernel)(void **data, const int64_t *sizes, void *user);

/* The library that holds this address stays loaded until the process ends. */
void c2_keep_loaded(const void *address);

/* What the generic kernel for user functions (kernel_user.c) needs to know. */
typedef struct c2_user_schema {
    c2_user_kernel function;
    void *user;
    const int32_t *input_dtypes;  /* one for each input; -1 accepts any */
    const int32_t *output_dtypes; /* one for each output; -1: that of input 0 */
    const int32_t *output_like;   /* the input whose shape the output takes, or -1: see ndims */
    const int32_t *output_ndims;
    const int64_t *output_shapes; /* 8 for each output */
} c2_user_schema;

/* ---- matrix products (gemm.c) ------------------------------------------------------------- */

/* CBLAS's gemm with 64-bit sizes: c = alpha * op(a) op(b) + beta * c. */
typedef void (*c2_sgemm)(int order, int trans_a, int trans_b, int64_t m, int64_t n, int64_t k,
                         float alpha, const float *a, int64_t lda, const float *b, int64_t ldb,
                         float beta, float *c, int64_t ldc);
typedef void (*c2_dgemm)(int order, int trans_a, int trans_b, int64_t m, int64_t n, int64_t k,
                         double alpha, const double *a, int64_t lda, const double *b, int64_t ldb,
                         double beta, double *c, int64_t ldc);

/* The products that FC and MatMul use, from now on; both given. They are called from any number
 * of threads at the same time, without the GIL. */
void c2_set_gemm(c2_sgemm sgemm, c2_dgemm dgemm);

/* ---- nets (net.c) ----------------------------------------------------------------------- */

typedef struct c2_net c2_net;

/* Looks at the outside (signals): called on the thread that called the run, about every 50 ms,
 * where not NULL; a nonzero status from it stops the run. */
typedef int (*c2_poll)(void);

/* What one run reports. Zero it before, but for `poll`. The first failure in time fills it. */
typedef struct c2_run {
    int32_t stop;      /* atomic: nonzero asks every worker to stop soon */
    int32_t claimed;   /* atomic: the first failure is being written */
    int32_t status;    /* C2_OK, or the first failure's */
    int32_t op;        /* its operator's index in its net, or -1 */
    const c2_net *net; /* its net, or NULL */
    c2_poll poll;
    uint64_t caller; /* the thread that called; set by the run */
    uint8_t *skip;   /* atomic: NULL, or what c2_run_skip was given */
    char message[512];
} c2_run;

/* Ask every worker of a run to stop soon; from any thread, while the c2_run lives. */
void c2_run_stop(c2_run *run);

/* Leave out these operators of a run of one net, unless they have begun; with each, all that depend
 * on it must be given, before it. From any thread, one at a time, while the c2_run lives. flags:
 * one for each operator of the net, 0 at first and the same in each call, as long as the run; after
 * the run it is C2_SKIPPED for those that were left out. */
enum c2_skip { C2_TO_SKIP = 1, C2_SKIPPED = 2 };
void c2_run_skip(c2_run *run, uint8_t *flags, const int32_t *ops, int64_t n);

/* Operators in Python. A worker enters (takes the GIL), calls as many of them as it runs one after
 * the other, and leaves, before anything else that it runs or waits for; all on one thread.
 * enter: C2_OK, and leave is owed; or the status with which the run fails. call: a status,
 * C2_PYTHON when an exception has been stored; `handle` is the one given to c2_net_set. */
typedef int (*c2_python_enter)(const c2_run *run);
typedef int (*c2_python_call)(void *handle, c2_context *context);
typedef void (*c2_python_leave)(void);
/* Once, before a net with such operators runs. */
void c2_set_python(c2_python_enter enter, c2_python_call call, c2_python_leave leave);

c2_net *c2_net_new(int64_t n_ops); /* NULL when out of memory */
/* A net of operators that are alike and have no blobs: operator v calls the kernel with the handle
 * first + v * step, its element of an array of the caller's. It takes no memory for each, and none
 * is set. NULL when out of memory. */
c2_net *c2_net_alike(int64_t n_ops, c2_kernel kernel, void *first, int64_t step);
void c2_net_free(c2_net *net);

/* Fill operator `index` of a net that c2_net_fill has not filled. Copies the pointer arrays;
 * `args`, what they point to, and `handle` are borrowed and must outlive the net. kernel NULL: the
 * Python call with `handle`. */
int c2_net_set(c2_net *net, int64_t index, c2_kernel kernel, void *handle, int n_in,
               c2_blob *const *in, int n_out, c2_blob *const *out, const c2_arg *args, int n_args);

/* All operators of a net at once, for nets of many. Operator v is of kind kind[v], and kernels[k]
 * is a kind's, as above; handles[v] and args[v] (both borrowed, and NULL for none) with n_args[v].
 * Its inputs are blobs[in[in_at[v]]] and so on, n_in[v] of them (there may be more before in_at[v +
 * 1], which are not its), its outputs alike. */
typedef struct c2_operators {
    const int32_t *kind;
    const c2_kernel *kernels;
    void *const *handles;
    const c2_arg *const *args;
    const int32_t *n_args;
    c2_blob *const *blobs;
    const int64_t *in_at;
    const int32_t *in, *n_in;
    const int64_t *out_at;
    const int32_t *out, *n_out;
} c2_operators;

/* Fill a net that c2_net_new made, once: C2_OK, or C2_NO_MEMORY and it has no operators still. */
int c2_net_fill(c2_net *net, const c2_operators *operators);

/* Run every operator once, in program order. Returns run->status. Blocks; release the GIL. */
int c2_net_run(c2_net *net, c2_run *run);

/* The handle of the native operator While: its body runs as long as the operator's input 0, a bool
 * scalar, is true; `test`, unless NULL, runs before each look. The nets are borrowed. */
typedef struct c2_loop {
    c2_net *body, *test;
} c2_loop;

/* ---- plans (plan.c) --------------------------------------------------------------------- */

typedef struct c2_async c2_async;
typedef struct c2_step c2_step;

/* A step runs its nets in order or its substeps (in order, or at the same time), num_iter times
 * or until the stop blob is true. */
c2_step *c2_step_new(void);
void c2_step_free(c2_step *step); /* not its children, nor its nets */
/* async: how to run the net in dependency order, made of that very net; NULL: program order. */
int c2_step_add_net(c2_step *step, c2_net *net, c2_async *async);
int c2_step_add_substep(c2_step *step, c2_step *substep);
/* num_iter < 0: for ever, or until should_stop (a bool scalar, looked at after each net or
 * substep; may be NULL) holds. only_once: one iteration, which should_stop can cut short.
 * concurrent: substeps at the same time. waits: a substep may wait for a sibling, so each needs
 * a thread of its own; else they share as many threads as there are processors. every_ms > 0:
 * runs beside its siblings, every so often, until they end. */
int c2_step_set(c2_step *step, int64_t num_iter, c2_blob *should_stop, int only_once,
                int concurrent, int waits, int64_t every_ms);
/* Blobs that are emptied whenever the step starts (its child workspace). */
int c2_step_add_local(c2_step *step, c2_blob *blob);

/* Runs the step on this thread and as many helpers as it needs. Returns run->status. */
int c2_step_run(c2_step *step, c2_run *run);

/* Threads that exist to run concurrent substeps; for tests. */
int64_t c2_pool_threads(void);

/* ---- dependency graphs (graph.c) --------------------------------------------------------- */

typedef struct c2_graph c2_graph;

/* Of n operators in program order: operator v reads blobs in[in_at[v]] .. in[in_at[v + 1] - 1]
 * and writes those of out. Blobs are 0 .. n_blobs - 1. NULL when out of memory. */
c2_graph *c2_graph_of_blobs(int64_t n, const int64_t *in_at, const int32_t *in,
                            const int64_t *out_at, const int32_t *out, int64_t n_blobs);
/* Of m edges from[k] -> to[k], each forward: 0 <= from[k] < to[k] < n, else C2_INDEX. */
int c2_graph_of_edges(int64_t n, int64_t m, const int32_t *from, const int32_t *to, c2_graph **out);
void c2_graph_free(c2_graph *graph);
int64_t c2_graph_edges(const c2_graph *graph);

/* ---- running a net in dependency order on several workers (async.c) ---------------------- */

enum c2_mode {
    C2_MODE_AUTO = 0,   /* measure, and take what is fastest */
    C2_MODE_SERIAL = 1, /* program order on the calling thread */
    C2_MODE_STATIC = 2, /* the compiled schedule */
    C2_MODE_DYNAMIC = 3 /* whoever is free takes what is ready, by critical path */
};

/* Borrows the net and the graph. workers >= 1, the caller included. NULL when out of memory. */
c2_async *c2_async_new(c2_net *net, const c2_graph *graph, int workers);

/* Before the first run: devices. Operator v runs on lane lane_of_op[v] only, and lane k has
 * lane_workers[k] >= 1 workers; with C2_LANE_CALLER in its flags, the calling thread is one of
 * them (of one lane at most). Nets with lanes always run in the dynamic way. C2_OK, C2_VALUE,
 * C2_NO_MEMORY. */
enum c2_lane_flag { C2_LANE_CALLER = 1 };
int c2_async_lanes(c2_async *async, const int32_t *lane_of_op, int n_lanes,
                   const int32_t *lane_workers, const int32_t *lane_flags);

/* After c2_async_lanes, before the first run: the workers of this lane, which must not have the
 * caller, run on these processors only (0 to 1023). C2_OK, C2_VALUE, C2_NO_MEMORY. A run fails
 * with C2_SYSTEM where the system refuses. */
int c2_async_pin(c2_async *async, int lane, const int32_t *cpus, int n);

/* Between runs: measure each operator's time in the following runs (about 20 ns an operator).
 * 1: from zero again; 0: no longer, the figures stay. C2_OK, C2_BUSY, C2_NO_MEMORY. */
int c2_async_profile(c2_async *async, int on);
/* How often each operator ran while measured, its mean time, and the standard deviation.
 * C2_OK; C2_BUSY during a run; C2_VALUE when nothing was measured. */
int c2_async_costs(c2_async *async, int64_t *counts, double *mean_ns, double *deviation_ns);

/* Between runs: keep the last `capacity` events of each worker; 0: none. */
typedef struct c2_event {
    int32_t op;
    int32_t worker;           /* 0 is the calling thread */
    int64_t begin_ns, end_ns; /* of the monotonic clock */
} c2_event;
int c2_async_trace(c2_async *async, int64_t capacity);
/* The events kept, worker by worker, oldest first; at most `most`, and in *count how many.
 * C2_OK; C2_BUSY during a run. */
int c2_async_events(c2_async *async, c2_event *out, int64_t most, int64_t *count);
void c2_async_free(c2_async *async);
void c2_async_mode(c2_async *async, int mode); /* of the runs that begin from now on */
/* Runs the net once. One run at a time: C2_BUSY while another is on (but serial runs, which may be
 * side by side, when nothing else is to be measured or written down). Returns run->status.
 * Blocks; release the GIL. */
int c2_async_run(c2_async *async, c2_run *run);

/* What the last runs were and took. Any time, from any thread. */
typedef struct c2_async_report {
    int32_t mode; /* what the next run will do */
    int32_t workers;
    int64_t runs;
    double serial_ns;   /* the sum of the operators' costs, as measured */
    double critical_ns; /* the longest path through them */
    double planned_ns;  /* the makespan that the schedule promises; 0: none was made */
    double took_ns[4];  /* the best run in each mode; 0: never tried */
} c2_async_report;
/* At any time; during a run, figures of before and after it may stand side by side. */
void c2_async_report_now(const c2_async *async, c2_async_report *report);

/* ---- operator state (kernels_counter.c, queue.c) ---------------------------------------- */

/* An atomic bool, counter or mutex blob, for the Python side to look at: its value. */
int c2_blob_peek(c2_blob *blob, int64_t *value);
