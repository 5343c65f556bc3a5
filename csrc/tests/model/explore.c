/* Running tests: the search, the table, and the shortest failing schedule found. */
#include "engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* ---- states met before ---- */

static void forget_visits(void) {
    if (!M->visits) M->visits = calloc(M->room = 1 << 16, sizeof *M->visits);
    if (!M->visits) abort();
    memset(M->visits, 0, M->room * sizeof *M->visits);
    M->used = 0;
}

static visit *place_of(uint64_t hash) {
    uint64_t slot = hash & (M->room - 1);
    while (M->visits[slot].hash && M->visits[slot].hash != hash)
        slot = (slot + 1) & (M->room - 1);
    return &M->visits[slot];
}

static void grow(void) {
    visit *old = M->visits;
    const uint64_t n = M->room;
    M->visits = calloc(M->room *= 2, sizeof *M->visits);
    if (!M->visits) abort();
    for (uint64_t k = 0; k < n; k++)
        if (old[k].hash) *place_of(old[k].hash) = old[k];
    free(old);
}

int model_visited(uint64_t hash, int preemptions_left) {
    if (hash == 0) hash = 1;
    visit *v = place_of(hash);
    if (v->hash && v->preemptions_left >= preemptions_left) return 1;
    if (!v->hash) {
        v->hash = hash;
        M->used++;
        M->states++;
    }
    v->preemptions_left = preemptions_left;
    if (2 * M->used > M->room) grow();
    return 0;
}

/* ---- one test ---- */

/* The program's own static variables, the sources' among them. */
extern char __data_start[], _end[];
static char *first_values;

/* Of the processor: what a test may take does not depend on who else computes. */
static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static const char *const verdicts[] = {"holds",     "wrong",          "lost wake", "livelock",
                                       "data race", "use after free", "",          "too big"};

/* Every schedule within the bounds, up to the first failure. */
static enum verdict explore(const model_test *test, const model_bounds *bounds, double until,
                            int *cut) {
    forget_visits();
    M->depth = 0;
    M->seen = *cut = 0;
    do {
        memcpy(__data_start, first_values, (size_t)(_end - __data_start));
        M->left = *bounds;
        M->bounded = bounds->preemptions > 0;
        const enum verdict v = model_execute(test);
        M->executions++;
        if (M->threads - 1 > M->most) M->most = M->threads - 1;
        if (v != HOLDS && v != PRUNED) return v;
        if (M->executions % 1024 == 0 && seconds() > until) {
            *cut = 1;
            return HOLDS;
        }
    } while (model_next_path());
    return HOLDS;
}

static void print_place(uintptr_t address) {
    for (int k = 0; k < M->blocks; k++) {
        const uintptr_t from = M->block[k].address;
        if (address >= from && address < from + M->block[k].size) {
            printf("  block %d + %zu", k, (size_t)(address - from));
            return;
        }
    }
    if (address) printf("  %#zx", (size_t)address);
}

static void print_line(uintptr_t pc) {
    char command[128], line[256] = "";
    if (!pc) return;
    snprintf(command, sizeof command, "addr2line -s -e /proc/%d/exe %#zx", (int)getpid(),
             (size_t)pc - 1);
    FILE *pipe = popen(command, "r");
    if (!pipe) return;
    if (fgets(line, sizeof line, pipe)) line[strcspn(line, " \n")] = 0;
    pclose(pipe);
    printf("  %s", line);
}

static const char *const orders[] = {"relaxed", "consume", "acquire",
                                     "release", "acq_rel", "seq_cst"};

/* The failing path once more, step by step. */
static void print_schedule(const model_test *test, const model_bounds *bounds) {
    memcpy(__data_start, first_values, (size_t)(_end - __data_start));
    M->left = *bounds;
    M->tracing = 1;
    M->at = 0;
    model_execute(test);
    M->tracing = 0;
    for (int k = 0; k < M->traced; k++) {
        const event *e = &M->trace[k];
        printf("    %4d  thread %d  %-22s", k, e->thread, e->what);
        if (e->order >= 0 && e->address) {
            printf(" %#llx", (unsigned long long)e->value);
            if (e->old != e->value) printf(" (was %#llx)", (unsigned long long)e->old);
        }
        if (e->order > 0) printf(" %s", orders[e->order]);
        print_place(e->address);
        print_line(e->pc);
        printf("\n");
    }
}

/* A short failure is easier to read: tighter bounds first, each for a little while. */
static enum verdict smallest_failure(const model_test *test, model_bounds *bounds) {
    for (int stale = 0; stale < 3; stale++)
        for (int preemptions = 1; preemptions < 5; preemptions++) {
            model_bounds b = *bounds;
            int cut;
            if (stale < b.stale || b.stale < 0) b.stale = stale;
            b.preemptions = preemptions;
            const enum verdict v = explore(test, &b, seconds() + 5, &cut);
            if (v != HOLDS) {
                *bounds = b;
                return v;
            }
        }
    int cut;
    return explore(test, bounds, seconds() + 600, &cut);
}

/* 1: as it should be. */
static int run_test(const char *subject, const model_test *test, int mutant) {
    model_bounds bounds = test->bounds;
    int cut;
    if (M->briefly && !test->outcome && !test->fails) {
        if (bounds.preemptions == 0 || bounds.preemptions > 2) bounds.preemptions = 2;
        if (bounds.stale > 1 || bounds.stale < 0) bounds.stale = 1;
    }
    const double begin = seconds();
    M->executions = M->states = M->most = 0;
    enum verdict v = explore(test, &bounds, begin + (!M->briefly ? 300 : mutant ? 10 : 60), &cut);
    const uint64_t executions = M->executions, states = M->states;
    const char *text = verdicts[v];
    int good = !cut && strcmp(text, test->fails ? test->fails : verdicts[HOLDS]) == 0;
    if (v == HOLDS && test->outcome) {
        text = M->seen ? "reached" : "never";
        good = !cut && M->seen == (test->outcome == MODEL_ALLOWED);
    }
    if (mutant) {
        good |= cut; /* nothing found in that time */
        if (!good) printf("%s: %s\n", test->name, text);
        return good;
    }
    char reach[64], stale[16];
    snprintf(stale, sizeof stale, bounds.stale < 0 ? "any" : "%d", bounds.stale);
    if (bounds.preemptions)
        snprintf(reach, sizeof reach, "%d, %s", bounds.preemptions, stale);
    else
        snprintf(reach, sizeof reach, "any, %s", stale);
    printf("%-9s %-58s %d  %-8s %9llu %9llu %6.1f s  %s%s\n", subject, test->name, M->most, reach,
           (unsigned long long)executions, (unsigned long long)states, seconds() - begin, text,
           cut ? " (cut short)" : "");
    if (v != HOLDS && !good) {
        v = smallest_failure(test, &bounds);
        printf("    %s: %s\n", verdicts[v], M->message);
        print_schedule(test, &bounds);
    }
    fflush(stdout);
    return good;
}

int model_main(int argc, char **argv, const char *subject, const model_test *tests) {
    int passed = 0, failed = 0, mutant = 0, brief = 0;
    const char *only = NULL;
    for (int k = 1; k < argc; k++) {
        if (!strcmp(argv[k], "--short"))
            brief = 1;
        else if (!strcmp(argv[k], "--mutant"))
            mutant = 1;
        else
            only = argv[k];
    }
    M = mmap(NULL, sizeof *M, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (M == MAP_FAILED) return 2;
    M->briefly = brief;
    model_boot();
    model_heap_reset();
    forget_visits();
    const size_t size = (size_t)(_end - __data_start);
    first_values = malloc(size);
    if (!first_values) return 2;
    memcpy(first_values, __data_start, size);
    for (; tests->name; tests++) {
        if (only && !strstr(tests->name, only)) continue;
        if (brief && tests->long_only) continue;
        if (run_test(subject, tests, mutant)) {
            passed++;
        } else {
            failed++;
            if (mutant) return 1;
        }
    }
    if (mutant)
        printf("survived\n");
    else
        printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
