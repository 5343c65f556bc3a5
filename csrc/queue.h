/* A bounded first-in first-out queue of tuples of tensors, for any number of producers and
 * consumers. Knows tensors, not blobs: kernels_queue.c goes between.
 *
 *     who may call         | operation                                   | blocks
 *     any thread           | put                                         | while full
 *     any thread           | take, then done or give_back of that tuple  | while empty
 *     any thread           | close, count, keep, drop                    | no
 *
 * 1. Every tuple that was put is taken exactly once. One producer's tuples are taken in the
 *    order in which it put them, but for a tuple given back.
 * 2. At most `capacity` tuples are in the queue or taken and not yet done.
 * 3. Once closed, put fails; what is inside can still be taken, and then take fails, for ever.
 *    Nobody who was told so misses a tuple: take waits for one that may still be given back.
 * 4. No wake is lost: whoever can go on does so without waiting for the end of a slice.
 * 5. It lives until each that holds it (whoever made it, and each keep) has dropped it.
 * 6. Put copies the elements before it touches the queue; copying is under no lock.
 */
#ifndef C2_QUEUE_H
#define C2_QUEUE_H

#include "c2.h"

typedef struct c2_queue c2_queue;
typedef struct c2_tuple c2_tuple;

/* Called after each sleep, which is 20 ms at the most, under no lock; true ends the wait. */
typedef int (*c2_queue_stop)(void *who);

/* capacity >= 1 tuples of `width` >= 1 tensors; NULL when out of memory. */
c2_queue *c2_queue_new(int64_t capacity, int32_t width);
void c2_queue_keep(c2_queue *queue);
void c2_queue_drop(c2_queue *queue); /* the last one frees it, and what is inside */
int32_t c2_queue_width(const c2_queue *queue);

/* Copies the tensors in. C2_OK, C2_CLOSED, C2_STOPPED, C2_NO_MEMORY. */
int c2_queue_put(c2_queue *queue, const c2_tensor *const *tensors, c2_queue_stop stop, void *who);

/* The oldest tuple, the caller's until it says done or give_back. `deadline` is absolute
 * (platform.h). C2_OK, C2_CLOSED (and empty), C2_TIMEOUT, C2_STOPPED. */
int c2_queue_take(c2_queue *queue, int64_t deadline, c2_queue_stop stop, void *who,
                  c2_tuple **tuple);
const c2_tensor *c2_tuple_tensor(const c2_tuple *tuple, int32_t index);
void c2_queue_done(c2_queue *queue, c2_tuple *tuple);      /* frees it and its place */
void c2_queue_give_back(c2_queue *queue, c2_tuple *tuple); /* it is the oldest again */

void c2_queue_close(c2_queue *queue);
int64_t c2_queue_count(c2_queue *queue); /* tuples inside that nobody has taken */

#endif
