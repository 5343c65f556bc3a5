/* The mutex against a pthread mutex of the same promises (PTHREAD_PROCESS_SHARED, robust) and a
 * plain one: nanoseconds for one lock + unlock, without and with a rival. Then how soon a lock
 * is had whose owner was killed.
 *
 *     make -C csrc bench
 *
 * Rounds go in turn, so that a change of the machine's speed meets all alike; each figure is the
 * best of its rounds without a rival, the median with one.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mutex.h"

enum { ROUNDS = 9, N = 200000 };

typedef struct shared {
    _Alignas(64) _Atomic uint64_t word;
    _Alignas(64) pthread_mutex_t robust;
    _Alignas(64) pthread_mutex_t plain;
    _Alignas(64) long counter;
    _Alignas(64) _Atomic int ready;
} shared;

static shared *s;

/* Each loop is its own function, as in a program that uses the lock inline. */
static void by_word(long n) {
    for (long k = 0; k < n; k++) {
        mutex_lock(&s->word, -1);
        s->counter++;
        mutex_give(&s->word);
    }
}
static void by_call(long n) {
    for (long k = 0; k < n; k++) {
        c2_mutex_lock(&s->word, -1);
        s->counter++;
        c2_mutex_unlock(&s->word);
    }
}
static void by_robust(long n) {
    for (long k = 0; k < n; k++) {
        pthread_mutex_lock(&s->robust);
        s->counter++;
        pthread_mutex_unlock(&s->robust);
    }
}
static void by_plain(long n) {
    for (long k = 0; k < n; k++) {
        pthread_mutex_lock(&s->plain);
        s->counter++;
        pthread_mutex_unlock(&s->plain);
    }
}

static const struct {
    const char *name;
    void (*run)(long);
} locks[] = {{"caffe2op, inline", by_word},
             {"caffe2op, called", by_call},
             {"pthread shared robust", by_robust},
             {"pthread plain", by_plain}};
enum { LOCKS = sizeof locks / sizeof *locks };

static double alone(int which, long n) {
    const int64_t start = c2_os_now();
    locks[which].run(n);
    return (double)(c2_os_now() - start) / (double)n;
}

/* Both begin together; the time is that of the pair, per lock + unlock of either. */
static void *rival(void *arg) {
    add_acq_rel(&s->ready, 1);
    while (load_acq(&s->ready) < 2)
        c2_os_relax();
    locks[*(int *)arg].run(N / 4);
    return NULL;
}

static double with_thread(int which) {
    store_rel(&s->ready, 0);
    pthread_t thread;
    pthread_create(&thread, NULL, rival, &which);
    while (load_acq(&s->ready) < 1)
        c2_os_relax();
    const int64_t start = c2_os_now();
    rival(&which);
    pthread_join(thread, NULL);
    return (double)(c2_os_now() - start) / (N / 2);
}

static double with_process(int which) {
    store_rel(&s->ready, 0);
    const pid_t child = fork();
    if (child == 0) {
        rival(&which);
        _exit(0);
    }
    while (load_acq(&s->ready) < 1)
        c2_os_relax();
    const int64_t start = c2_os_now();
    rival(&which);
    waitpid(child, NULL, 0);
    return (double)(c2_os_now() - start) / (N / 2);
}

/* How long after its owner was killed a lock is had: by one that begins to wait then, or by one
 * that waits already (for `waits` ms before the kill). In ms. */
static double takeover(int waits) {
    store_rel(&s->ready, 0);
    store_rel(&s->word, 0);
    int64_t *killed = (int64_t *)&s->counter;
    const pid_t owner = fork();
    if (owner == 0) {
        c2_mutex_lock(&s->word, -1);
        store_rel(&s->ready, 1);
        for (;;)
            pause();
    }
    while (load_acq(&s->ready) < 1)
        c2_os_relax();
    const pid_t killer = fork();
    if (killer == 0) {
        usleep((useconds_t)waits * 1000);
        *killed = c2_os_now();
        kill(owner, SIGKILL);
        store_rel(&s->ready, 2);
        _exit(0);
    }
    if (waits == 0)
        while (load_acq(&s->ready) < 2)
            c2_os_relax();
    if (c2_mutex_lock(&s->word, -1) != C2_OWNER_DIED) abort();
    const double ms = (double)(c2_os_now() - *killed) / 1e6;
    c2_mutex_unlock(&s->word);
    waitpid(killer, NULL, 0);
    waitpid(owner, NULL, 0);
    return ms;
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(void) {
    s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (s == MAP_FAILED) return 1;
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutex_init(&s->plain, &attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&s->robust, &attr);

    static double figures[3][LOCKS][ROUNDS];
    for (int round = 0; round < ROUNDS; round++)
        for (int which = 0; which < LOCKS; which++) {
            figures[0][which][round] = alone(which, N);
            figures[1][which][round] = with_thread(which);
            if (locks[which].run != by_plain) figures[2][which][round] = with_process(which);
        }
    printf("%-24s %10s %10s %12s\n", "ns per lock + unlock", "alone", "2 threads", "2 processes");
    for (int which = 0; which < LOCKS; which++) {
        for (int kind = 0; kind < 3; kind++)
            qsort(figures[kind][which], ROUNDS, sizeof(double), by_value);
        printf("%-24s %10.1f %10.1f %12.1f\n", locks[which].name, figures[0][which][0],
               figures[1][which][ROUNDS / 2], figures[2][which][ROUNDS / 2]);
    }
    printf("alone, caffe2op called / pthread shared robust: %.2f\n",
           figures[0][1][0] / figures[0][2][0]);

    enum { DEATHS = 9 };
    double fresh[DEATHS], asleep[DEATHS];
    for (int k = 0; k < DEATHS; k++) {
        fresh[k] = takeover(0);
        asleep[k] = takeover(100 + 7 * k);
    }
    qsort(fresh, DEATHS, sizeof(double), by_value);
    qsort(asleep, DEATHS, sizeof(double), by_value);
    printf("ms from a kill to the heir, median and worst of %d: %.1f %.1f (comes then), "
           "%.1f %.1f (waits already)\n",
           DEATHS, fresh[DEATHS / 2], fresh[DEATHS - 1], asleep[DEATHS / 2], asleep[DEATHS - 1]);

    const pid_t other = fork();
    if (other == 0) {
        store_rel(&s->word, c2_os_self());
        for (;;)
            pause();
    }
    while (load_acq(&s->word) == 0)
        c2_os_relax();
    const uint64_t name = load_acq(&s->word);
    const int64_t start = c2_os_now();
    for (int k = 0; k < 1000; k++)
        if (!c2_os_alive(name)) abort();
    printf("us for a look whether another process lives: %.1f\n",
           (double)(c2_os_now() - start) / 1e6);
    kill(other, SIGKILL);
    waitpid(other, NULL, 0);
    return 0;
}
