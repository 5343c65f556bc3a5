/* The seam on a system that refuses: no /proc, or another namespace's, no processors to choose,
 * calls that are too new for it. What is then unknown must err to one side: an owner that may live
 * is not called dead. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "lives.h"
#include "watched.h"

#ifdef C2_PLATFORM_linux

/* What the system refuses; of /proc/.../stat the text in its place, where there is one. */
static struct {
    int proc, namespace, time_namespace, affinity, processors, pidfd, waitv;
    const char *stat, *self;
} no;

static ssize_t asked_readlink(const char *path, char *text, size_t most) {
    if (no.self) return snprintf(text, most, "%s", no.self);
    return no.proc ? -1 : readlink(path, text, most);
}

static int asked_open(const char *path, int flags) {
    if (no.proc) return -1;
    if (!no.stat) return open(path, flags);
    int ends[2];
    if (pipe(ends)) abort();
    CHECK_EQ(write(ends[1], no.stat, strlen(no.stat)), strlen(no.stat));
    close(ends[1]);
    return ends[0];
}

static int asked_stat(const char *path, struct stat *found) {
    if (no.proc || no.namespace || (no.time_namespace && strstr(path, "time"))) return -1;
    return stat(path, found);
}

static int asked_getaffinity(pid_t pid, size_t bytes, cpu_set_t *set) {
    return no.affinity ? -1 : sched_getaffinity(pid, bytes, set);
}
static int asked_setaffinity(pid_t pid, size_t bytes, const cpu_set_t *set) {
    return no.affinity ? -1 : sched_setaffinity(pid, bytes, set);
}
static long asked_sysconf(int name) {
    return no.processors ? -1 : sysconf(name);
}

static long asked_syscall(long number, ...) {
    long a[6];
    va_list list;
    va_start(list, number);
    for (int k = 0; k < 6; k++)
        a[k] = va_arg(list, long);
    va_end(list);
    if ((no.pidfd && number == 434) || (no.waitv && number == 449)) {
        errno = number == 434 ? no.pidfd : no.waitv;
        return -1;
    }
    return syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

#define readlink(path, text, most)         asked_readlink(path, text, most)
#define open(path, flags)                  asked_open(path, flags)
#define stat(path, found)                  asked_stat(path, found)
#define sched_getaffinity(pid, bytes, set) asked_getaffinity(pid, bytes, set)
#define sched_setaffinity(pid, bytes, set) asked_setaffinity(pid, bytes, set)
#define sysconf(name)                      asked_sysconf(name)
/* As many as the longest call has; the kernel does not look at more than its own. */
#define AS_LONG(x)   ((long)(x))
#define syscall(...) SIX(__VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define SIX(number, a, b, c, d, e, f, ...)                                                         \
    asked_syscall(number, AS_LONG(a), AS_LONG(b), AS_LONG(c), AS_LONG(d), AS_LONG(e), AS_LONG(f))
#include "../platform_linux.c"
#undef open
#undef stat

/* The caller's name, made anew. */
static uint64_t name_now(void) {
    cached_self = 0;
    return c2_os_self();
}

static void everything_again(void) {
    memset(&no, 0, sizeof no);
    store_rlx(&no_waitv, 0);
    name_now();
}

/* ---- processors ---- */

TEST(without_a_mask_all_processors_count) {
    no.affinity = 1;
    CHECK_EQ(c2_os_cpus(), sysconf(_SC_NPROCESSORS_ONLN));
    no.processors = 1;
    CHECK_EQ(c2_os_cpus(), 1);
    uint64_t mask[C2_CPU_WORDS] = {1}, before[C2_CPU_WORDS];
    CHECK_EQ(c2_os_stay_on(mask, before), C2_SYSTEM);
    CHECK_EQ(c2_os_stay_on(mask, NULL), C2_SYSTEM);
    everything_again();
    CHECK_EQ(c2_os_stay_on(mask, before), C2_OK);
    CHECK_EQ(c2_os_stay_on(before, NULL), C2_OK);
}

/* ---- names, and who lives ---- */

/* Whether a child counts as alive while it lives, once it is a zombie, and when it is gone. */
static void look_at_a_child(int living, int zombie) {
    scene *s = shared_memory(sizeof *s);
    const uint64_t me = name_now();
    const pid_t pid = child(live_until_told, s);
    await(&s->step, 1);
    const uint64_t name = load_acq(&s->name);
    CHECK(name != me && (name & 0x3FFFFF) == (uint64_t)pid);
    CHECK_EQ(c2_os_alive(me), 1);
    CHECK_EQ(c2_os_alive(name), living);
    reach(&s->step, 2);
    until_ended(pid);
    CHECK_EQ(c2_os_alive(name), zombie);
    join_child(pid);
    CHECK_EQ(c2_os_alive(name), 0);
    munmap(s, sizeof *s);
}

TEST(a_system_that_hides_proc) {
    no.proc = 1;
    CHECK_EQ(name_now() >> 54, 0); /* no start time, no namespace: unknown */
    CHECK_EQ(name_now() >> 22 & 0x1FF, 0);
    look_at_a_child(1, 0); /* a pidfd tells of zombies */
    no.pidfd = ENOSYS;
    look_at_a_child(1, 1); /* nobody does: it may live */
    everything_again();
}

TEST(a_proc_of_another_namespace) {
    no.self = "1";
    CHECK(getpid() != 1);
    CHECK_EQ(name_now() >> 54, 0);
    look_at_a_child(1, 0);
    everything_again();
}

TEST(namespaces_that_are_not_told) {
    const uint64_t told = name_now();
    no.namespace = 1;
    CHECK_EQ(name_now() >> 22 & 0x1FF, 0);
    CHECK_EQ(c2_os_alive(told), 1); /* as if from elsewhere: its numbers mean nothing here */
    no.namespace = 0;
    no.time_namespace = 1; /* before Linux 5.6 */
    CHECK(name_now() >> 22 & 0x1FF);
    look_at_a_child(1, 0);
    everything_again();
}

TEST(a_stat_that_cannot_be_read) {
    const char *const texts[] = {"", "12 (no end", "12 (cut) S 1 2 3"};
    for (int k = 0; k < 3; k++) {
        no.stat = texts[k];
        CHECK_EQ(name_now() >> 54, 0); /* the start time stays unknown */
        CHECK(name_now() >> 22 & 0x1FF);
        look_at_a_child(1, 0);
    }
    everything_again();
}

/* /proc shows oneself, and not the others (hidepid). */
TEST(others_are_hidden) {
    scene *s = shared_memory(sizeof *s);
    const pid_t pid = child(live_until_told, s);
    await(&s->step, 1);
    no.stat = "";
    CHECK_EQ(c2_os_alive(load_acq(&s->name)), 1);
    reach(&s->step, 2);
    until_ended(pid);
    CHECK_EQ(c2_os_alive(load_acq(&s->name)), 0);
    join_child(pid);
    munmap(s, sizeof *s);
    everything_again();
}

/* ---- waits ---- */

TEST(without_a_wait_on_64_bits) {
    const int refusals[] = {ENOSYS, EPERM};
    for (int k = 0; k < 2; k++) {
        uint64_t word = 7;
        no.waitv = refusals[k];
        CHECK_EQ(c2_os_wait(&word, 8, 8, C2_FOREVER), C2_OK);
        CHECK_EQ(load_rlx(&no_waitv), 1); /* not asked again */
        int status = c2_os_wait(&word, 8, 7, c2_os_now() + 3 * MS);
        while (status == C2_OK) /* a slice has ended */
            status = c2_os_wait(&word, 8, 7, c2_os_now() + MS / 2);
        CHECK_EQ(status, C2_TIMEOUT);
        everything_again();
    }
}

#define REFUSED no.affinity = 1

#else /* portable */

static int no_keys; /* pthread_setspecific is refused */
static int asked_setspecific(pthread_key_t key, const void *value) {
    return no_keys ? ENOMEM : pthread_setspecific(key, value);
}
#define pthread_setspecific(key, value) asked_setspecific(key, value)
#include "../platform_portable.c"

static void everything_again(void) {
    no_keys = 0;
}

/* Its name has no number then: it counts as alive as long as its process does. */
TEST(a_thread_that_cannot_be_entered) {
    c2_os_self();
    cached_self = 0;
    no_keys = 1;
    const uint64_t name = c2_os_self();
    CHECK_EQ(number_of(name), 0);
    CHECK_EQ(pid_of(name), getpid());
    cached_self = 0;
    everything_again();
    CHECK(c2_os_self() != name);
    CHECK_EQ(c2_os_alive(name), 1);
}

#define REFUSED (void)0 /* as ever, here */

#endif

/* ---- devices whose processors are refused ---- */

TEST(a_device_without_its_processors_fails_the_run) {
    edges e = chain(20);
    watched w;
    open_net(&w, &e, 0, 1);
    int32_t lane[20] = {0}, workers[] = {1, 1}, flags[] = {C2_LANE_CALLER, 0}, cpu = 0;
    for (int v = 10; v < 20; v++)
        lane[v] = 1;
    c2_async *a = c2_async_new(w.net, w.graph, 2);
    CHECK_EQ(c2_async_lanes(a, lane, 2, workers, flags), C2_OK);
    CHECK_EQ(c2_async_pin(a, 1, &cpu, 1), C2_OK);
    REFUSED;
    c2_run run = {0};
    CHECK_EQ(c2_async_run(a, &run), C2_SYSTEM);
    CHECK(strstr(run.message, "processors") != NULL);
    CHECK(load_rlx(&w.ran) <= 10); /* none of that device's */
    everything_again();
    c2_async_free(a);
    close_net(&w, &e);
}

int main(void) {
#ifdef C2_PLATFORM_linux
    RUN(without_a_mask_all_processors_count);
    RUN(a_system_that_hides_proc);
    RUN(a_proc_of_another_namespace);
    RUN(namespaces_that_are_not_told);
    RUN(a_stat_that_cannot_be_read);
    RUN(others_are_hidden);
    RUN(without_a_wait_on_64_bits);
#else
    RUN(a_thread_that_cannot_be_entered);
#endif
    RUN(a_device_without_its_processors_fails_the_run);
    return report();
}
