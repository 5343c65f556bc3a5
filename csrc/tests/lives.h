/* A child that tells its name, and lives until it is told. */
#ifndef C2_TEST_LIVES_H
#define C2_TEST_LIVES_H

#include "threads.h"

typedef struct scene {
    _Atomic uint64_t name;
    _Atomic int step;
} scene;

static void live_until_told(void *arg) {
    scene *s = arg;
    store_rel(&s->name, c2_os_self());
    reach(&s->step, 1);
    await(&s->step, 2);
}

#endif
