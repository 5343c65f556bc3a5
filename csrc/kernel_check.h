/* Checks that the tensor kernels share: dtypes out of a list, equal shapes, and the text of a
 * tensor for the error that names it.
 *
 * A check that fails has written the message; the kernel returns the status or, where it got
 * NULL, what kernel.h says.
 */
#ifndef C2_KERNEL_CHECK_H
#define C2_KERNEL_CHECK_H

#include "kernel.h"

/* A list of dtypes: one bit each. */
#define C2_BIT(dtype) (1u << (dtype))
#define C2_FLOATS     (C2_BIT(C2_FLOAT32) | C2_BIT(C2_FLOAT64))
#define C2_ANY        (C2_BIT(C2_DTYPES) - 1)
#define C2_INDICES    (C2_BIT(C2_INT32) | C2_BIT(C2_INT64))

/* "float32 (3, 4)"; C2_TEXT(t) lives until the end of the full expression, a call of c2_fail. */
typedef struct c2_text {
    char text[224]; /* a dtype, and 8 numbers of at most 20 digits */
} c2_text;
c2_text c2_text_of(const c2_tensor *tensor);
#define C2_TEXT(tensor) (c2_text_of(tensor).text)

int c2_same_shape(const c2_tensor *a, const c2_tensor *b);

/* Input `i`, its dtype one of the list. NULL otherwise: return C2_TYPE. */
const c2_tensor *c2_in_of(c2_context *c, int i, unsigned dtypes);

/* Input `i`, with the dtype of `like`, which is input `k`: the message names both, since it may be
 * the other that is wrong. NULL otherwise: return C2_TYPE. */
const c2_tensor *c2_in_as(c2_context *c, int i, const c2_tensor *like, int k);

/* Input `i`, with the dtype and shape of `like`, which is input `k`. On failure *x is not to be
 * used: return the status. */
int c2_in_like(c2_context *c, int i, const c2_tensor *like, int k, const c2_tensor **x);

/* The one float of input `i`, read once (another thread may be changing it), as a double; of
 * this dtype, which is one of C2_FLOATS. Returns a status. */
int c2_in_float(c2_context *c, int i, int dtype, double *value);

/* The same, of whichever of C2_FLOATS it has: a learning rate, say. */
int c2_in_real(c2_context *c, int i, double *value);

#endif
