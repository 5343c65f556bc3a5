/* A small model checker: runs the real sources through every schedule within bounds.
 *
 * A test is a setup, one to four threads, and an end. The checker runs it again and again, each
 * time taking another branch: which thread makes the next step, which of the stores that C11
 * allows a load returns, which sleeper a wake reaches, whether a sleep ends without reason or by
 * its deadline, where a thread dies. Static variables, thread-locals and memory from malloc begin
 * anew in each execution. README.md says what is modelled and what is not.
 *
 *     static const model_test tests[] = {{.name = "...", .threads = {a, b}, .end = end}, {0}};
 *     int main(int argc, char **argv) { return model_main(argc, argv, "mutex", tests); }
 *
 * The threads' code must be deterministic but for what the model decides.
 */
#ifndef C2_MODEL_H
#define C2_MODEL_H

#include <stdbool.h>
#include <stdint.h>

enum { MODEL_ANY = -1 }; /* a bound that is none */

/* How much of each kind may happen in one execution. */
typedef struct model_bounds {
    int preemptions; /* switches away from a thread that could go on; 0 stands for any number */
    int stale;       /* loads of another than the newest store, and stores placed before one */
    int spins;       /* spin loops that run out while others could go on */
    int timeouts;    /* sleeps that end by their deadline while others could go on */
    int spurious;    /* sleeps that end for no reason */
    int interrupts;  /* sleeps that end with C2_INTERRUPTED */
    int deaths;      /* threads that end in the middle; see `mortal` */
    int refusals;    /* threads that the system does not give */
} model_bounds;

typedef struct model_test {
    const char *name;
    void (*setup)(void);
    void (*threads[4])(void);
    void (*end)(void); /* when all have ended, or sleep in the pool */
    model_bounds bounds;
    int64_t patience; /* when nobody can go on, sleeps with no more than this left end by their
                         deadline; with more they are nets for lost wakes, and it is a failure */
    unsigned mortal;  /* which threads may die: bit k for threads[k] */
    bool processes;   /* each thread in a process of its own: their names differ in both halves */
    int cpus;         /* what c2_os_cpus says; 0 stands for 1 */
    int size;         /* free for the test's use: model_size() */
    /* Litmus tests: whether model_seen(true) must be reached, or must not. */
    enum { MODEL_CHECKS, MODEL_ALLOWED, MODEL_FORBIDDEN } outcome;
    const char *fails; /* the verdict that the test must come to; NULL: "holds" */
    bool long_only;    /* left out of the short form */
} model_test;

/* Prints a line for each test and a closing "N passed, N failed"; returns the exit status.
 *   --short    tighter bounds
 *   --mutant   stop at the first failure and print only its kind (exit status 1), or "survived"
 *   NAME       only the tests whose names contain NAME */
int model_main(int argc, char **argv, const char *subject, const model_test *tests);

/* Within a test's functions: */
#define MODEL_CHECK(condition) model_check((condition), __FILE__, __LINE__, #condition)
void model_check(bool holds, const char *file, int line, const char *what);
void model_seen(bool outcome);  /* in `end` of a litmus test */
int model_self(void);           /* 0: the thread of setup and end; threads[k] is k + 1 */
int model_size(void);           /* the test's `size` */
int model_count(void);          /* how many threads the test has */
bool model_died(int thread);    /* threads[thread] was killed */
int model_live_blocks(void);    /* blocks from malloc not yet freed */
void model_sleep_forever(void); /* a thread that never goes on */

#endif
