/* Facts about the element types that callers ask for at run time. */
#include "dtype.h"


static const struct {
    const char *name;
    int64_t size;
} types[C2_DTYPES] = {
    [C2_BOOL] = {"bool", 1},       [C2_INT8] = {"int8", 1},       [C2_INT16] = {"int16", 2},
    [C2_INT32] = {"int32", 4},     [C2_INT64] = {"int64", 8},     [C2_UINT8] = {"uint8", 1},
    [C2_UINT16] = {"uint16", 2},   [C2_UINT32] = {"uint32", 4},   [C2_UINT64] = {"uint64", 8},
    [C2_FLOAT32] = {"float32", 4}, [C2_FLOAT64] = {"float64", 8},
};

static int known(int dtype) {
    return dtype >= 0 && dtype < C2_DTYPES;
}

int64_t c2_itemsize(int dtype) {
    return known(dtype) ? types[dtype].size : 0;
}

const char *c2_dtype_name(int dtype) {
    return known(dtype) ? types[dtype].name : "unknown";
}
