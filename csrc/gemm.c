/* See gemm.h.
 *
 * | word         | meaning                                                                       |
 * |--------------|-------------------------------------------------------------------------------|
 * | sgemm, dgemm | NULL, or the function. c2_set_gemm releases, so that the library's own set-up |
 * |              | is seen by the kernel that acquires the pointer. Never NULL again.            |
 */
#include <string.h>

#include "atomic.h"
#include "gemm.h"

enum { ROW_MAJOR = 101, PLAIN = 111, TRANSPOSED = 112 }; /* of CBLAS */

static _Atomic(c2_sgemm) sgemm;
static _Atomic(c2_dgemm) dgemm;

void c2_set_gemm(c2_sgemm single, c2_dgemm twice) {
    store_rel(&sgemm, single);
    store_rel(&dgemm, twice);
}

static int missing(c2_context *context) {
    return c2_fail(context, C2_SYSTEM,
                   "no matrix product was registered: pip install "
                   "'caffe2op[nets]' brings one");
}

int c2_gemm(c2_context *context, int dtype, bool trans_a, bool trans_b, int64_t m, int64_t n,
            int64_t k, const void *a, const void *b, double beta, void *c) {
    if (m == 0 || n == 0) return C2_OK;
    if (k == 0) { /* BLAS refuses leading dimensions of 0 */
        if (beta == 0) memset(c, 0, (size_t)(m * n * c2_itemsize(dtype)));
        return C2_OK;
    }
    const int op_a = trans_a ? TRANSPOSED : PLAIN, op_b = trans_b ? TRANSPOSED : PLAIN;
    const int64_t lda = trans_a ? m : k, ldb = trans_b ? k : n;
    if (dtype == C2_FLOAT32) {
        const c2_sgemm f = load_acq(&sgemm);
        if (!f) return missing(context);
        f(ROW_MAJOR, op_a, op_b, m, n, k, 1, a, lda, b, ldb, (float)beta, c, n);
    } else {
        const c2_dgemm f = load_acq(&dgemm);
        if (!f) return missing(context);
        f(ROW_MAJOR, op_a, op_b, m, n, k, 1, a, lda, b, ldb, beta, c, n);
    }
    return C2_OK;
}
