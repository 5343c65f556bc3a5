/* Included before everything else in the sources under test: the names that the model takes. */
#ifndef C2_MODEL_SEAM_H
#define C2_MODEL_SEAM_H

/* Fibers share one system thread: their thread-locals are swapped by hand (engine.c). */
#define _Thread_local __attribute__((section("model_tls")))

/* The heap of heap.c. */
#define malloc        model_malloc
#define calloc        model_calloc
#define realloc       model_realloc
#define aligned_alloc model_aligned_alloc
#define free          model_free

/* cpu_relax() on x86: the same as c2_os_relax, which tells the checker of a spin loop. */
#define __builtin_ia32_pause c2_os_relax
void c2_os_relax(void);

#endif
