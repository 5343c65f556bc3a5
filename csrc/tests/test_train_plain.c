/* The tests of train_run.c on a processor that has none of what it looks for. */
#define _GNU_SOURCE
#define __builtin_cpu_supports(what) 0
#include "../train_run.c"

#include "test_train.c"
