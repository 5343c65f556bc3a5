/* Facts about the element types that callers ask for at run time. */
#include "dtype.h"

int64_t c2_itemsize(int dtype) {
    switch (dtype) {
    case C2_BOOL: return sizeof(bool);
#define SIZE(t, T, code, W)                                                                        \
    case code: return sizeof(T);
        C2_NUMBER_TYPES(SIZE)
#undef SIZE
    default: return 0;
    }
}
