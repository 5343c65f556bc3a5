/* One int64 into a queue and out of it; include it after ../queue.c. */
#ifndef C2_QUEUE_HELPERS_H
#define C2_QUEUE_HELPERS_H

static inline const c2_tensor *scalar(int64_t *value, c2_tensor *t) {
    *t = (c2_tensor){.data = value, .size = 1, .ndim = 0, .dtype = C2_INT64};
    return t;
}

static inline int put_one(c2_queue *q, int64_t value, c2_queue_stop stop, void *who) {
    c2_tensor t;
    const c2_tensor *tensors[] = {scalar(&value, &t)};
    return c2_queue_put(q, tensors, stop, who);
}

/* *value is left alone unless C2_OK. */
static inline int take_one(c2_queue *q, int64_t *value, int64_t timeout_ns) {
    c2_tuple *tuple = NULL;
    const int64_t deadline = timeout_ns < 0 ? C2_FOREVER : c2_os_now() + timeout_ns;
    const int status = c2_queue_take(q, deadline, NULL, NULL, &tuple);
    if (status != C2_OK) return status;
    *value = *(int64_t *)c2_tuple_tensor(tuple, 0)->data;
    c2_queue_done(q, tuple);
    return status;
}

#endif
