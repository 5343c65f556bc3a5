/* Inside of the model checker: what engine.c (threads and schedules), memory.c (the C11 memory),
 * heap.c (plain memory) and platform_model.c (the seam) share.
 *
 * All state of the checker lies in one mapping behind `M`, since the static variables of the
 * program are put back to their first values before each execution.
 */
#ifndef C2_MODEL_ENGINE_H
#define C2_MODEL_ENGINE_H

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

#include "model.h"

enum {
    THREADS = 8,       /* setup's, four of the test, three that the sources start */
    LOCATIONS = 96,    /* atomic objects in one execution */
    STORES = 8192,     /* atomic stores in one execution */
    STEPS = 6000,      /* scheduled steps in one execution: more is a livelock */
    CHOICES = 1 << 16, /* branches on one path */
    READS = 16,        /* objects read in one round of a spin loop */
    BLOCKS = 256,      /* of the heap, in one execution */
    STACK = 256 << 10,
    ARENA = 256 << 10, /* heap of one thread */
};

/* How far a thread has seen: of each location the newest store (its place in the modification
 * order), of each thread the last step that happened before. Stores carry one too: what an
 * acquire load that reads them gets to know. */
typedef struct view {
    uint32_t at[LOCATIONS];
    uint32_t clock[THREADS];
} view;

/* One store. `place` grows along the modification order, with gaps for stores that come late. A
 * read-modify-write takes the very next place, so that nothing gets between. */
typedef struct store {
    uint64_t value, hash;
    uint32_t place;
    int32_t before, after; /* neighbours in the modification order, or -1 */
    view seen;
} store;

typedef struct location {
    uintptr_t address;
    int size;
    int32_t last;        /* the newest store */
    uint32_t sc;         /* a seq_cst load may not see further back than this place */
    uint64_t order_hash; /* of the modification order */
    uint64_t hash;       /* its part in the state's hash */
} location;

enum state { UNUSED, RUNNABLE, SPINNING, SLEEPING, JOINING, FINISHED, DEAD };

typedef struct fiber {
    jmp_buf top, here;
    ucontext_t context;
    int started;
    enum state state;
    void (*body)(void *);
    void *arg;
    int daemon;    /* started by the sources: nobody waits for its end */
    int fast;      /* in a spin loop that runs out: loads only, and nobody else goes on */
    uint64_t hash; /* of all that the thread did and read */
    view view;
    int64_t clock; /* ns; each thread's own */
    /* SPINNING: what the loop read in this round. */
    int reads;
    struct {
        int location;
        uint64_t value;
    } read[READS];
    /* SLEEPING */
    uintptr_t bed;
    int bed_size;
    int64_t deadline;
    int woken_with;
    uint32_t heap_used;
} fiber;

enum verdict { HOLDS, WRONG, LOST_WAKE, LIVELOCK, RACE, FREED, PRUNED, TOO_BIG };

typedef struct event {
    int thread, order;
    const char *what;
    uintptr_t address, pc;
    uint64_t value, old;
} event;

typedef struct visit {
    uint64_t hash;
    int32_t preemptions_left;
} visit;

typedef struct model {
    const model_test *test;
    model_bounds left; /* of this execution */
    int bounded;       /* preemptions are */
    int briefly;       /* the short form's bounds */
    /* the path */
    uint16_t of[CHOICES], taken[CHOICES];
    int depth, at;
    /* states met before: a hash table */
    visit *visits;
    uint64_t room, used;
    /* the execution */
    int threads, current, alone, steps, idle_rounds, fast_steps;
    uint64_t changes; /* stores and wakes so far */
    fiber fiber[THREADS];
    location location[LOCATIONS];
    int locations;
    int16_t index[512]; /* address -> location + 1 */
    store store[STORES];
    int stores;
    uint64_t memory_hash; /* sum of the locations' */
    struct {
        uintptr_t address;
        size_t size;
        int live;
    } block[BLOCKS];
    int blocks;
    /* the result */
    jmp_buf driver, boot;
    enum verdict verdict;
    char message[512];
    int seen; /* a litmus outcome was reached */
    uint64_t executions, states;
    int most; /* threads in one execution */
    int tracing;
    event trace[STEPS + 4096];
    int traced;
} model;

extern model *M;

static inline fiber *self(void) {
    return &M->fiber[M->current];
}

static inline uint64_t mix(uint64_t a, uint64_t b) { /* splitmix64's finaliser over both */
    uint64_t x = a * 0x9E3779B97F4A7C15u + b + 0xD1B54A32D192ED03u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

/* engine.c */
void model_point(void);    /* before each step that others can see: somebody else may go on */
void model_schedule(void); /* the current thread cannot go on just now */
int model_choose(int n);   /* 0 .. n - 1: each in some execution */
int model_start(void (*body)(void *), void *arg, int daemon);
void model_note(uint64_t what, uint64_t a, uint64_t b); /* into the thread's hash */
_Noreturn void model_fail(enum verdict verdict, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void model_event(const char *what, uintptr_t address, uint64_t value, uint64_t old, int order,
                 void *pc);
_Noreturn void model_leave(enum verdict verdict);
int model_execute(const model_test *test); /* once, along the path; a verdict */
int model_next_path(void);                 /* 0: all are done */
void model_boot(void);

/* explore.c */
int model_visited(uint64_t hash, int preemptions_left);

/* memory.c */
void model_memory_reset(void);
void model_join(view *into, const view *from);
int model_changed(const fiber *f); /* would another round of its spin loop read something new? */

/* heap.c */
void model_heap_reset(void);
void model_plain(uintptr_t address, size_t size, int write, int atomic);

#endif
