/* The tests of wait.c, for more than one platform beneath it. */
#include "threads.h"
#include "scalar.h"

static const int sizes[] = {1, 2, 4, 8};

static void store(void *word, int size, uint64_t value) {
    switch (size) {
    case 1: c2_u8_store(word, (uint8_t)value, C2_RELEASE); break;
    case 2: c2_u16_store(word, (uint16_t)value, C2_RELEASE); break;
    case 4: c2_u32_store(word, (uint32_t)value, C2_RELEASE); break;
    default: c2_u64_store(word, value, C2_RELEASE); break;
    }
}

/* A value of that size whose highest byte, or for 8 bytes whose high half alone, changes with n. */
static uint64_t high(int size, unsigned n) {
    return size == 8 ? (uint64_t)n << 32 | 7 : (uint64_t)(n & 0x7F) << (8 * (size - 1));
}

static int wait_on(const void *word, int size, uint64_t expected, int64_t timeout) {
    int status;
    do
        status = c2_wait(word, size, expected, timeout);
    while (status == C2_INTERRUPTED);
    return status;
}

TEST(edges) {
    _Alignas(8) unsigned char memory[16] = {0};
    for (int k = 0; k < 4; k++) {
        const int size = sizes[k];
        CHECK_EQ(c2_wait(memory, size, 1, -1), C2_OK); /* differs already */
        CHECK_EQ(c2_wait(memory, size, 0, 0), C2_TIMEOUT);
        const int64_t start = c2_os_now();
        CHECK_EQ(wait_on(memory, size, 0, 10 * MS), C2_TIMEOUT);
        CHECK(c2_os_now() - start >= 10 * MS);
        CHECK_EQ(c2_notify(memory, size, 1), 0); /* nobody waits */
        CHECK_EQ(c2_notify(memory, size, -1), 0);
        CHECK_EQ(c2_notify(memory, size, 0), 0);
        if (size > 1) {
            CHECK_EQ(c2_wait(memory + 1, size, 0, 0), C2_ALIGNMENT);
            CHECK_EQ(c2_notify(memory + 1, size, 1), 0);
        }
    }
    CHECK_EQ(c2_wait(memory, 3, 0, 0), C2_VALUE);
    CHECK_EQ(c2_wait(memory, 0, 0, 0), C2_VALUE);
    CHECK_EQ(c2_wait(memory, 16, 0, 0), C2_VALUE);
    store(memory, 8, UINT64_MAX);
    for (int k = 0; k < 4; k++) { /* expected is zero-extended */
        const uint64_t ones = UINT64_MAX >> (64 - 8 * sizes[k]);
        CHECK_EQ(c2_wait(memory, sizes[k], ones, 0), C2_TIMEOUT);
        CHECK_EQ(c2_wait(memory, sizes[k], ones - 1, 0), C2_OK);
    }
}

/* ---- two who wait for each other in turn ---- */

#ifdef C2_PLATFORM_linux
enum { TURNS = SANITIZED ? 300 : 1500, TURNS_OF_PROCESSES = TURNS };
#else /* it takes 10 ms to see that another process moved */
enum { TURNS = SANITIZED ? 300 : 1500, TURNS_OF_PROCESSES = 60 };
#endif

/* `taken` counts the turns, in high(): only the high end of its value ever changes. Whose turn is
 * k waits while k - 1 have been taken. */
typedef struct table {
    _Alignas(8) unsigned char taken[8];
    int size;
    long notes; /* plain: what one wrote before it passed the turn on, the other sees */
} table;

static void play(table *t, unsigned first, unsigned turns) {
    for (unsigned k = first; k < turns; k += 2) {
        if (k > 0) CHECK_EQ(wait_on(t->taken, t->size, high(t->size, k - 1), -1), C2_OK);
        CHECK_EQ(t->notes, k);
        t->notes++;
        if (k % 64 > 60) usleep(200); /* so that the other one sleeps now and then */
        store(t->taken, t->size, high(t->size, k + 1));
        c2_notify(t->taken, t->size, 1);
    }
}

static void *play_second(void *arg) {
    play(arg, 1, TURNS);
    return NULL;
}

static void play_second_too(void *arg) {
    play(arg, 1, TURNS_OF_PROCESSES);
}

TEST(two_threads_take_turns) {
    for (int k = 0; k < 4; k++) {
        table t = {.size = sizes[k]};
        store(t.taken, t.size, high(t.size, 0));
        const pthread_t thread = go(play_second, &t);
        play(&t, 0, TURNS);
        pthread_join(thread, NULL);
        CHECK_EQ(t.notes, TURNS);
    }
}

TEST(two_processes_take_turns) {
    for (int k = 0; k < 4; k++) {
        table *t = shared_memory(sizeof *t);
        t->size = sizes[k];
        store(t->taken, t->size, high(t->size, 0));
        const pid_t pid = child(play_second_too, t);
        play(t, 0, TURNS_OF_PROCESSES);
        join_child(pid);
        CHECK_EQ(t->notes, TURNS_OF_PROCESSES);
        munmap(t, sizeof *t);
    }
}

/* ---- many who wait for one ---- */

enum { WAITERS = 4 };

typedef struct gate {
    _Alignas(8) unsigned char open[8];
    int size;
    _Atomic int passed;
} gate;

static void *pass(void *arg) {
    gate *g = arg;
    CHECK_EQ(wait_on(g->open, g->size, high(g->size, 0), -1), C2_OK);
    add_acq_rel(&g->passed, 1);
    return NULL;
}

TEST(notify_all_opens_a_gate) {
    for (int k = 0; k < 4; k++)
        for (int round = 0; round < 20; round++) {
            gate g = {.size = sizes[k]};
            store(g.open, g.size, high(g.size, 0));
            pthread_t threads[WAITERS];
            for (int t = 0; t < WAITERS; t++)
                threads[t] = go(pass, &g);
            if (round % 2) usleep(1000); /* now and then all of them sleep */
            store(g.open, g.size, high(g.size, 1));
            const int woken = c2_notify(g.open, g.size, -1);
            CHECK(woken >= 0 && woken <= WAITERS);
            for (int t = 0; t < WAITERS; t++)
                pthread_join(threads[t], NULL);
            CHECK_EQ(load_acq(&g.passed), WAITERS);
        }
}

/* Its notifier may have been killed. */
TEST(a_change_that_nobody_notifies_is_seen) {
    for (int k = 0; k < 4; k++) {
        gate g = {.size = sizes[k]};
        store(g.open, g.size, high(g.size, 0));
        const pthread_t thread = go(pass, &g);
        usleep(1000);
        store(g.open, g.size, high(g.size, 1));
        pthread_join(thread, NULL);
    }
}

#ifdef C2_PLATFORM_linux
static _Atomic int interrupted;

static void on_signal(int signal) {
    (void)signal;
}

static void *wait_for_signal(void *arg) {
    CHECK_EQ(c2_wait(arg, 4, 0, -1), C2_INTERRUPTED);
    store_rel(&interrupted, 1);
    return NULL;
}

TEST(a_signal_interrupts_a_wait) {
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &action, NULL);
    static uint32_t word;
    const pthread_t thread = go(wait_for_signal, &word);
    while (!load_acq(&interrupted)) {
        pthread_kill(thread, SIGUSR1);
        nap();
    }
    pthread_join(thread, NULL);
}
#endif

static void run_wait_tests(void) {
    RUN(edges);
    RUN(two_processes_take_turns);
    RUN(two_threads_take_turns);
    RUN(notify_all_opens_a_gate);
    RUN(a_change_that_nobody_notifies_is_seen);
#ifdef C2_PLATFORM_linux
    RUN(a_signal_interrupts_a_wait);
#endif
}
