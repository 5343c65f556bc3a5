/* The mutex under load: exact counts, and nobody starves. The same bodies run over a pthread
 * mutex: where that fails too, the test is wrong. */
#define _GNU_SOURCE
#include "threads.h"
#include "mutex.h"

typedef struct ways {
    const char *name;
    void (*lock)(void), (*unlock)(void);
} ways;

/* In shared memory; `a` and `b` are guarded and change together. */
typedef struct shared {
    _Alignas(64) _Atomic uint64_t word;
    _Alignas(64) pthread_mutex_t control;
    _Alignas(64) long a;
    long b;
    _Alignas(64) _Atomic int ready, stop;
} shared;

static shared *s;

static void lock_word(void) {
    CHECK_EQ(mutex_lock(&s->word, -1), C2_OK);
}
static void try_word(void) { /* polls */
    while (c2_mutex_lock(&s->word, 0) != C2_OK)
        c2_os_yield();
}
static void timed_word(void) { /* gives up all the time */
    int status;
    do
        status = c2_mutex_lock(&s->word, 20000);
    while (status == C2_TIMEOUT);
    CHECK_EQ(status, C2_OK);
}
static void any_word(void) {
    static _Thread_local unsigned turn;
    (turn % 3 == 0 ? lock_word : turn % 3 == 1 ? try_word : timed_word)();
    turn++;
}
static void unlock_word(void) {
    CHECK_EQ(mutex_give(&s->word), C2_OK);
}
static void lock_control(void) {
    pthread_mutex_lock(&s->control);
}
static void unlock_control(void) {
    pthread_mutex_unlock(&s->control);
}

static const ways all[] = {{"pthread, the control", lock_control, unlock_control},
                           {"lock", lock_word, unlock_word},
                           {"try", try_word, unlock_word},
                           {"timed", timed_word, unlock_word},
                           {"mixed", any_word, unlock_word}};
enum { WAYS = sizeof all / sizeof *all, WORKERS = 4, ROUNDS = SANITIZED ? 2000 : 30000 };

static void work(const ways *w) {
    for (int k = 0; k < ROUNDS; k++) {
        w->lock();
        CHECK_EQ(s->a, s->b);
        s->a++;
        s->b++;
        w->unlock();
    }
}

static void *work_in_thread(void *w) {
    work(w);
    return NULL;
}

static void work_in_process(void *w) {
    work(w);
}

static void check_counts(const ways *w, long workers) {
    CHECK_EQ(s->a, workers * ROUNDS);
    CHECK_EQ(s->b, workers * ROUNDS);
    CHECK_EQ(load_acq(&s->word), 0);
    if (atomic_load(&check_failures)) fprintf(stderr, "(way: %s)\n", w->name);
    s->a = s->b = 0;
}

TEST(counts_are_exact_between_processes) {
    for (int way = 0; way < WAYS; way++) {
        pid_t pids[WORKERS];
        for (int k = 0; k < WORKERS; k++)
            pids[k] = child(work_in_process, (void *)&all[way]);
        for (int k = 0; k < WORKERS; k++)
            join_child(pids[k]);
        check_counts(&all[way], WORKERS);
    }
}

TEST(counts_are_exact_between_threads) {
    for (int way = 0; way < WAYS; way++) {
        pthread_t threads[WORKERS];
        for (int k = 0; k < WORKERS; k++)
            threads[k] = go(work_in_thread, (void *)&all[way]);
        for (int k = 0; k < WORKERS; k++)
            pthread_join(threads[k], NULL);
        check_counts(&all[way], WORKERS);
    }
}

/* ---- no starvation: threads that do nothing but lock and unlock, for a while ---- */

typedef struct runner {
    const ways *ways;
    long rounds;
    int64_t longest; /* wait, ns */
} runner;

static void *run(void *arg) {
    runner *r = arg;
    add_acq_rel(&s->ready, 1);
    await(&s->ready, WORKERS);
    while (!load_acq(&s->stop)) {
        const int64_t start = c2_os_now();
        r->ways->lock();
        const int64_t waited = c2_os_now() - start;
        r->ways->unlock();
        if (waited > r->longest) r->longest = waited;
        r->rounds++;
    }
    return NULL;
}

/* No order is promised, so the bound is generous: everybody gets the lock within the run. */
TEST(nobody_starves) {
    for (int way = 0; way < 2; way++) {
        store_rel(&s->ready, 0);
        store_rel(&s->stop, 0);
        runner runners[WORKERS];
        pthread_t threads[WORKERS];
        for (int k = 0; k < WORKERS; k++) {
            runners[k] = (runner){&all[way], 0, 0};
            threads[k] = go(run, &runners[k]);
        }
        await(&s->ready, WORKERS);
        usleep(500000);
        store_rel(&s->stop, 1);
        for (int k = 0; k < WORKERS; k++)
            pthread_join(threads[k], NULL);
        for (int k = 0; k < WORKERS; k++) {
            CHECK(runners[k].rounds > 50);
            CHECK(runners[k].longest < 400 * MS);
            if (getenv("C2_VERBOSE"))
                printf("%s: %ld rounds, longest wait %.2f ms\n", all[way].name, runners[k].rounds,
                       runners[k].longest / 1e6);
        }
    }
}

int main(void) {
    s = shared_memory(sizeof *s);
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&s->control, &attr);
    RUN(counts_are_exact_between_processes);
    RUN(counts_are_exact_between_threads);
    RUN(nobody_starves);
    return report();
}
