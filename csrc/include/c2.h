/* The header that C includes; the declarations themselves are in c2_abi.h. */
#ifndef C2_H
#define C2_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#include "c2_abi.h"
#ifdef __cplusplus
}
#endif

#endif
