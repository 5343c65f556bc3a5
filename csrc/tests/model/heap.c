/* Plain memory: data races, use after free, and a heap that is the same in each execution.
 *
 * The sources are compiled with -fsanitize=thread and linked without its runtime: the calls that
 * the compiler put before each plain read and write end here. Two accesses to the same 4 bytes,
 * at least one a write and not both atomic, must be ordered by happens-before (vector clocks:
 * Flanagan and Freund, "FastTrack", 2009, without its compression).
 *
 * malloc and its kin are these (the compiler is told so with -D). Each thread has an arena of its
 * own, so that an address does not depend on the schedule. Memory that was freed is not given out
 * again, and any access to it is a failure.
 */
#include "engine.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { CELLS = 1 << 15, NOBODY = 0xff };

typedef struct cell {
    uintptr_t address;
    uint32_t execution; /* cells of earlier ones are empty */
    uint32_t wrote_at;
    uint32_t read_at[THREADS], atomic_at[THREADS], atomic_wrote_at[THREADS];
    uint8_t writer, freed;
} cell;

static cell *cells;
static char *arenas;

void model_heap_reset(void) {
    if (!cells) {
        const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        cells = mmap(NULL, CELLS * sizeof *cells, PROT_READ | PROT_WRITE, flags, -1, 0);
        /* At an address of our choice, so that hashes are the same in every run. */
        arenas = mmap((void *)0x200000000000, (size_t)THREADS * ARENA, PROT_READ | PROT_WRITE,
                      flags, -1, 0);
    }
    M->blocks = 0;
}

static cell *cell_of(uintptr_t address) {
    const uint32_t execution = (uint32_t)M->executions + 1;
    unsigned slot = (unsigned)(address / 4 * 0x9E3779B1u) % CELLS;
    for (int tries = 0; tries < CELLS; tries++, slot = (slot + 1) % CELLS) {
        cell *c = &cells[slot];
        if (c->execution != execution) {
            memset(c, 0, sizeof *c);
            c->address = address;
            c->execution = execution;
            c->writer = NOBODY;
            return c;
        }
        if (c->address == address) return c;
    }
    model_fail(TOO_BIG, "too much plain memory");
}

static void check_order(const uint32_t *at, const char *what, uintptr_t address) {
    const view *v = &self()->view;
    for (int t = 0; t < M->threads; t++)
        if (at[t] > v->clock[t] && t != M->current)
            model_fail(RACE, "thread %d %s thread %d's access, with nothing to order them (%#zx)",
                       M->current, what, t, (size_t)address);
}

extern char __start_model_tls[], __stop_model_tls[];

void model_plain(uintptr_t address, size_t size, int write, int atomic) {
    if (M->alone || size == 0) return; /* setup and end: nothing is concurrent */
    if (address >= (uintptr_t)__start_model_tls && address < (uintptr_t)__stop_model_tls)
        return; /* each thread has its own, at the same place */
    fiber *f = self();
    const uint32_t now = f->view.clock[M->current];
    for (uintptr_t a = address & ~(uintptr_t)3; a < address + size; a += 4) {
        cell *c = cell_of(a);
        if (c->freed)
            model_fail(FREED, "thread %d uses memory that was freed (%#zx)", M->current, (size_t)a);
        if (c->writer != NOBODY && c->writer != M->current &&
            c->wrote_at > f->view.clock[c->writer])
            model_fail(RACE, "thread %d %s what thread %d wrote, with nothing to order them (%#zx)",
                       M->current, write ? "changes" : "reads", c->writer, (size_t)a);
        if (!atomic) check_order(c->atomic_wrote_at, "touches plainly the target of", a);
        if (write) {
            check_order(c->read_at, "writes over", a);
            if (!atomic) check_order(c->atomic_at, "writes plainly over", a);
        }
        if (atomic) {
            c->atomic_at[M->current] = now;
            if (write) c->atomic_wrote_at[M->current] = now;
        } else if (write) {
            c->writer = (uint8_t)M->current;
            c->wrote_at = now;
        } else {
            c->read_at[M->current] = now;
        }
    }
}

/* ---- the heap ---- */

void *model_aligned_alloc(size_t alignment, size_t size) {
    fiber *f = self();
    if (alignment < 16) alignment = 16;
    const size_t at = (f->heap_used + alignment - 1) / alignment * alignment;
    if (at + size > ARENA || M->blocks == BLOCKS) model_fail(TOO_BIG, "heap exhausted");
    f->heap_used = (uint32_t)(at + size + 16);
    char *block = arenas + (size_t)M->current * ARENA + at;
    memset(block, 0xa5, size);
    M->block[M->blocks].address = (uintptr_t)block;
    M->block[M->blocks].size = size;
    M->block[M->blocks++].live = 1;
    return block;
}

void *model_malloc(size_t size) {
    return model_aligned_alloc(16, size);
}

void *model_calloc(size_t n, size_t size) {
    return memset(model_malloc(n * size), 0, n * size);
}

void model_free(void *block) {
    if (!block) return;
    for (int k = 0; k < M->blocks; k++) {
        if (M->block[k].address != (uintptr_t)block) continue;
        if (!M->block[k].live) model_fail(FREED, "freed twice");
        model_plain((uintptr_t)block, M->block[k].size, 1, 0); /* after everybody's last access */
        M->block[k].live = 0;
        for (size_t i = 0; i < M->block[k].size && !M->alone; i += 4)
            cell_of((uintptr_t)block + i)->freed = 1;
        return;
    }
    model_fail(FREED, "freed what malloc did not give");
}

void *model_realloc(void *block, size_t size) {
    void *fresh = model_malloc(size);
    for (int k = 0; block && k < M->blocks; k++)
        if (M->block[k].address == (uintptr_t)block)
            memcpy(fresh, block, M->block[k].size < size ? M->block[k].size : size);
    model_free(block);
    return fresh;
}

int model_live_blocks(void) {
    int live = 0;
    for (int k = 0; k < M->blocks; k++)
        live += M->block[k].live;
    return live;
}

/* ---- libc's functions on plain memory ---- */

void *model_memcpy(void *to, const void *from, size_t size) {
    model_plain((uintptr_t)from, size, 0, 0);
    model_plain((uintptr_t)to, size, 1, 0);
    return memmove(to, from, size);
}

void *model_memset(void *to, int byte, size_t size) {
    model_plain((uintptr_t)to, size, 1, 0);
    return memset(to, byte, size);
}

int model_snprintf(char *to, size_t size, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(to, size, format, args);
    va_end(args);
    model_plain((uintptr_t)to, strlen(to) + 1, 1, 0);
    return n;
}

/* ---- what the compiler calls ---- */

#define ACCESS(n)                                                                                  \
    void __tsan_read##n(void *p) {                                                                 \
        model_plain((uintptr_t)p, n, 0, 0);                                                        \
    }                                                                                              \
    void __tsan_write##n(void *p) {                                                                \
        model_plain((uintptr_t)p, n, 1, 0);                                                        \
    }                                                                                              \
    void __tsan_unaligned_read##n(void *p) {                                                       \
        model_plain((uintptr_t)p, n, 0, 0);                                                        \
    }                                                                                              \
    void __tsan_unaligned_write##n(void *p) {                                                      \
        model_plain((uintptr_t)p, n, 1, 0);                                                        \
    }
ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)
void __tsan_read_range(void *p, size_t n) {
    model_plain((uintptr_t)p, n, 0, 0);
}
void __tsan_write_range(void *p, size_t n) {
    model_plain((uintptr_t)p, n, 1, 0);
}
void __tsan_func_entry(void *pc) {
    (void)pc;
}
void __tsan_func_exit(void) {}
void __tsan_init(void) {}
