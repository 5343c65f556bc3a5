/* Included before everything else in the sources under test: the names that the model takes. */
#ifndef C2_MODEL_SEAM_H
#define C2_MODEL_SEAM_H

/* Fibers share one system thread: their thread-locals are swapped by hand (engine.c). */
#define _Thread_local __attribute__((section("model_tls")))

#include <stdio.h>
#include <string.h>

/* The heap of heap.c, and those of libc's functions that touch plain memory. */
#define malloc        model_malloc
#define calloc        model_calloc
#define realloc       model_realloc
#define aligned_alloc model_aligned_alloc
#define free          model_free
#define memcpy        model_memcpy
#define memmove       model_memcpy
#define memset        model_memset
#define snprintf      model_snprintf
void *model_memcpy(void *to, const void *from, size_t size);
void *model_memset(void *to, int byte, size_t size);
int model_snprintf(char *to, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* cpu_relax() on x86: the same as c2_os_relax, which tells the checker of a spin loop. */
#define __builtin_ia32_pause c2_os_relax
void c2_os_relax(void);

/* Orders that atomic.h has no need of, for weaken.awk. */
#define swap_rlx(p, v) atomic_exchange_explicit((p), (v), memory_order_relaxed)
#define add_acq(p, v)  atomic_fetch_add_explicit((p), (v), memory_order_acquire)
#define sub_acq(p, v)  atomic_fetch_sub_explicit((p), (v), memory_order_acquire)
#define sub_rel(p, v)  atomic_fetch_sub_explicit((p), (v), memory_order_release)

#endif
