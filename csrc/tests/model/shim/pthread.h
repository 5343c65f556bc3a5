/* Found before the system's: all that the sources under test use of it are handlers for fork, and
 * nothing forks in the model. */
#ifndef C2_MODEL_PTHREAD_H
#define C2_MODEL_PTHREAD_H

typedef int pthread_once_t;
#define PTHREAD_ONCE_INIT 0

static inline int pthread_once(pthread_once_t *once, void (*init)(void)) {
    return (void)once, (void)init, 0;
}
static inline int pthread_atfork(void (*a)(void), void (*b)(void), void (*c)(void)) {
    return (void)a, (void)b, (void)c, 0;
}

#endif
