/* The element types, as lists to generate code from: X(name, C type, dtype constant, word),
 * where word is the unsigned integer of the same size that the hardware operates on.
 */
#ifndef C2_DTYPE_H
#define C2_DTYPE_H

#include <stdbool.h>
#include "c2.h"

#define C2_INT_TYPES(X)                                                                            \
    X(i8, int8_t, C2_INT8, uint8_t)                                                                \
    X(i16, int16_t, C2_INT16, uint16_t)                                                            \
    X(i32, int32_t, C2_INT32, uint32_t)                                                            \
    X(i64, int64_t, C2_INT64, uint64_t)                                                            \
    X(u8, uint8_t, C2_UINT8, uint8_t)                                                              \
    X(u16, uint16_t, C2_UINT16, uint16_t)                                                          \
    X(u32, uint32_t, C2_UINT32, uint32_t)                                                          \
    X(u64, uint64_t, C2_UINT64, uint64_t)

#define C2_FLOAT_TYPES(X)                                                                          \
    X(f32, float, C2_FLOAT32, uint32_t)                                                            \
    X(f64, double, C2_FLOAT64, uint64_t)

#define C2_NUMBER_TYPES(X) C2_INT_TYPES(X) C2_FLOAT_TYPES(X)

const char *c2_dtype_name(int dtype); /* "int32", as NumPy spells it */

#endif
