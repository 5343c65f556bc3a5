/* What the mutex forms of the atomic operators promise, and only C can stage: another owner. */
#include "check.h"
#include "../blob.h"
#include "../kernel.h"
#include "../mutex.h"

#include <pthread.h>

typedef struct scene {
    c2_blob *mutex, *value, *increment, *fetched;
    c2_net *net, *make_mutex;
} scene;

static c2_blob *int32_blob(int32_t v) {
    c2_blob *blob = c2_blob_new();
    c2_blob_feed(blob, C2_INT32, 0, NULL, &v);
    return blob;
}

static int32_t int32_of(c2_blob *blob) {
    c2_guard_enter();
    const c2_tensor *t = c2_blob_tensor(blob);
    const int32_t v = load_rlx((const _Atomic int32_t *)t->data);
    c2_guard_leave();
    return v;
}

/* The word of a mutex blob; the blob is not replaced meanwhile. */
static _Atomic uint64_t *word_of(c2_blob *blob) {
    c2_guard_enter();
    _Atomic uint64_t *word = &c2_blob_body(blob)->word;
    c2_guard_leave();
    return word;
}

static scene open_scene(void) {
    scene s = {c2_blob_new(),  int32_blob(10), int32_blob(5),
               int32_blob(-1), c2_net_new(1),  c2_net_new(1)};
    c2_run run = {0};
    c2_net_set(s.make_mutex, 0, c2_kernel_find("CreateMutex"), NULL, 0, NULL, 1, &s.mutex, NULL, 0);
    CHECK_EQ(c2_net_run(s.make_mutex, &run), C2_OK);
    c2_net_set(s.net, 0, c2_kernel_find("AtomicFetchAdd"), NULL, 3,
               (c2_blob *[]){s.mutex, s.value, s.increment}, 2, (c2_blob *[]){s.value, s.fetched},
               NULL, 0);
    return s;
}

static void close_scene(scene *s) {
    c2_net_free(s->net);
    c2_net_free(s->make_mutex);
    c2_blob_free(s->mutex);
    c2_blob_free(s->value);
    c2_blob_free(s->increment);
    c2_blob_free(s->fetched);
}

typedef struct running {
    scene *scene;
    c2_run run;
    _Atomic int ended;
} running;

static void *run_net(void *arg) {
    running *r = arg;
    c2_net_run(r->scene->net, &r->run);
    store_rel(&r->ended, 1);
    return NULL;
}

/* Long enough for the other thread to come to the mutex; if it did not, the checks hold too. */
static void let_it_block(void) {
    const uint32_t word = 0;
    c2_os_wait(&word, 4, 0, c2_os_now() + 5000000);
}

TEST(the_mutex_is_honoured) {
    scene s = open_scene();
    running r = {.scene = &s};
    pthread_t thread;
    CHECK_EQ(c2_mutex_lock(word_of(s.mutex), 0), C2_OK);
    pthread_create(&thread, NULL, run_net, &r);
    let_it_block();
    CHECK(!load_acq(&r.ended));
    CHECK_EQ(int32_of(s.value), 10); /* stands still while we hold it */
    CHECK_EQ(c2_mutex_unlock(word_of(s.mutex)), C2_OK);
    pthread_join(thread, NULL);
    CHECK_EQ(r.run.status, C2_OK);
    CHECK_EQ(int32_of(s.value), 15);
    CHECK_EQ(int32_of(s.fetched), 10);
    CHECK_EQ(c2_mutex_locked(word_of(s.mutex)), 0);
    close_scene(&s);
}

TEST(a_stopped_run_waits_no_longer) {
    scene s = open_scene();
    running r = {.scene = &s};
    pthread_t thread;
    CHECK_EQ(c2_mutex_lock(word_of(s.mutex), 0), C2_OK);
    pthread_create(&thread, NULL, run_net, &r);
    let_it_block();
    CHECK(!load_acq(&r.ended));
    store_rlx((_Atomic int32_t *)&r.run.stop, 1);
    pthread_join(thread, NULL);
    CHECK_EQ(r.run.status, C2_STOPPED);
    CHECK_EQ(int32_of(s.value), 10);
    CHECK_EQ(c2_mutex_unlock(word_of(s.mutex)), C2_OK);
    close_scene(&s);
}

static void *lock_and_die(void *word) {
    CHECK_EQ(c2_mutex_lock(word, 0), C2_OK);
    return NULL;
}

TEST(a_dead_owner_holds_up_nobody) {
    scene s = open_scene();
    c2_run run = {0};
    pthread_t thread;
    pthread_create(&thread, NULL, lock_and_die, word_of(s.mutex));
    pthread_join(thread, NULL);
    CHECK_EQ(c2_mutex_locked(word_of(s.mutex)), 1);
    for (int k = 1; k <= 3; k++) {
        CHECK_EQ(c2_net_run(s.net, &run), C2_OK);
        CHECK_EQ(int32_of(s.value), 10 + 5 * k);
    }
    CHECK_EQ(c2_mutex_locked(word_of(s.mutex)), 0);
    close_scene(&s);
}

/* Adds with and without the mutex, on one value, at the same time. */
enum { ADDERS = 4, TIMES = SANITIZED ? 2000 : 20000 };

static void *add_many(void *arg) {
    c2_run run = {0};
    for (int k = 0; k < TIMES; k++)
        CHECK_EQ(c2_net_run(arg, &run), C2_OK);
    return NULL;
}

TEST(both_forms_mix) {
    scene s = open_scene();
    c2_net *free_form = c2_net_new(1);
    c2_net_set(free_form, 0, c2_kernel_find("AtomicFetchAdd"), NULL, 2,
               (c2_blob *[]){s.value, s.increment}, 2, (c2_blob *[]){s.value, s.fetched}, NULL, 0);
    pthread_t threads[ADDERS];
    for (int k = 0; k < ADDERS; k++)
        pthread_create(&threads[k], NULL, add_many, k % 2 ? s.net : free_form);
    for (int k = 0; k < ADDERS; k++)
        pthread_join(threads[k], NULL);
    CHECK_EQ(int32_of(s.value), 10 + 5 * ADDERS * TIMES);
    c2_net_free(free_form);
    close_scene(&s);
}

int main(void) {
    RUN(the_mutex_is_honoured);
    RUN(a_stopped_run_waits_no_longer);
    RUN(a_dead_owner_holds_up_nobody);
    RUN(both_forms_mix);
    return report();
}
