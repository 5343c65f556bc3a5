/* The tests of the dense adds on a processor that has none of what they look for. */
#define _GNU_SOURCE
#define __builtin_cpu_supports(what) 0
#include "../dense_loops.c"

#include "test_dense.c"
