/* The seam to a BLAS: two function pointers, set from outside (c2_set_gemm), so that the core
 * links to none and nobody here writes a matrix product. Python takes them from a library that a
 * wheel carries (caffe2op/_core/blas.py); the tests in C give three plain loops.
 *
 * Matrices are row-major and dense.
 */
#ifndef C2_GEMM_H
#define C2_GEMM_H

#include <stdbool.h>
#include "kernel.h"

/* c (m, n) = op(a) op(b) + beta * c, with op(a) of shape (m, k) and op(b) (k, n): op transposes
 * where asked. Of `dtype`, C2_FLOAT32 or C2_FLOAT64. C2_OK, or C2_SYSTEM with the message written
 * when no BLAS was set. */
int c2_gemm(c2_context *context, int dtype, bool trans_a, bool trans_b, int64_t m, int64_t n,
            int64_t k, const void *a, const void *b, double beta, void *c);

#endif
