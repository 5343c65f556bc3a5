/* The C tests' harness: named tests, checks that print what they compared, a time box.
 *
 *     TEST(one_and_one) { CHECK_EQ(1 + 1, 2); }
 *     int main(void) {
 *         RUN(one_and_one);
 *         return report();
 *     }
 *
 * A failed check is counted and the test goes on; checks may be made in any thread. A test that
 * takes longer than TIME_BOX seconds is a failure and ends the program. run.sh reads the line
 * that report() prints.
 */
#ifndef C2_CHECK_H
#define C2_CHECK_H

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1 /* 5-20 times slower: stress tests do less */
#else
#define SANITIZED 0
#endif

#ifndef TIME_BOX
#define TIME_BOX (SANITIZED ? 90 : 30)
#endif

static const char *check_test = "";
static _Atomic int check_failures; /* of the running test */
static int check_passed, check_failed;

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            atomic_fetch_add(&check_failures, 1);                                                  \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, check_test, #condition);        \
        }                                                                                          \
    } while (0)

#define CHECK_EQ(a, b)                                                                             \
    do {                                                                                           \
        const long long check_a = (long long)(a), check_b = (long long)(b);                        \
        if (check_a != check_b) {                                                                  \
            atomic_fetch_add(&check_failures, 1);                                                  \
            fprintf(stderr, "%s:%d: %s: %s is %lld, %s is %lld\n", __FILE__, __LINE__, check_test, \
                    #a, check_a, #b, check_b);                                                     \
        }                                                                                          \
    } while (0)

#define TEST(name) static void name(void)
#define RUN(name)  check_run(#name, name)

static inline void check_late(int signal) {
    (void)signal;
    static const char text[] = "a test ran out of its time box: ";
    ssize_t ignored = write(2, text, sizeof text - 1);
    ignored = write(2, check_test, strlen(check_test));
    ignored = write(2, "\n", 1);
    (void)ignored;
    _exit(3);
}

static inline void check_run(const char *name, void (*body)(void)) {
    check_test = name;
    atomic_store(&check_failures, 0);
    signal(SIGALRM, check_late);
    alarm(TIME_BOX);
    body();
    alarm(0);
    if (atomic_load(&check_failures)) {
        check_failed++;
        fprintf(stderr, "FAILED %s\n", name);
    } else {
        check_passed++;
    }
}

static inline int report(void) {
    printf("%d passed, %d failed\n", check_passed, check_failed);
    return check_failed != 0;
}

#endif
