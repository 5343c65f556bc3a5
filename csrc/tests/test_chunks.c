/* Loops on several threads: each element once, whoever does it. */
#define _GNU_SOURCE
#include <stdlib.h>

#include "../chunks.c"
#include "threads.h"

enum { MOST = 3000 };
typedef struct counts {
    _Atomic int of[MOST];
    _Atomic int pause; /* this part does nothing until another has done all that is left */
    int64_t n;
    _Atomic int64_t done;
} counts;

static void check_each_once(counts *c) {
    int wrong = 0;
    for (int64_t k = 0; k < MOST; k++)
        wrong += load_rlx(&c->of[k]) != (k < c->n);
    CHECK_EQ(wrong, 0);
}

static int count_chunk(void *job, int part, int64_t from, int64_t to) {
    counts *c = job;
    CHECK(part >= 0 && part < C2_PARTS_MOST && from < to);
    for (int64_t k = from; k < to; k++)
        add_rlx(&c->of[k], 1);
    return 0;
}

static void count_stretch(void *job, c2_stretches *left, int part) {
    counts *c = job;
    CHECK(part >= 0 && part < C2_PARTS_MOST);
    int64_t k;
    while ((k = c2_stretches_next(left, part)) >= 0)
        add_rlx(&c->of[k], 1);
}

TEST(each_is_done_once) {
    static const int64_t sizes[] = {0, 1, 2, 3, 7, 64, 65, 1000, MOST};
    for (int s = 0; s < (int)(sizeof sizes / sizeof *sizes); s++)
        for (int threads = 1; threads < 70; threads += threads < 5 ? 1 : 32)
            for (int way = 0; way < 2; way++) {
                counts c = {.n = sizes[s]};
                if (way)
                    c2_in_stretches(c.n, threads, count_stretch, &c);
                else
                    CHECK(c2_in_chunks(c.n, 10, threads, count_chunk, &c) <= 1 + c.n / 10);
                check_each_once(&c);
            }
}

/* Part 0, which is the first that begins, takes one unit and then waits until everything else is
 * done: so its stretch is taken from, over and over. */
static void count_slowly(void *job, c2_stretches *left, int part) {
    counts *c = job;
    int64_t k;
    while ((k = c2_stretches_next(left, part)) >= 0) {
        add_rlx(&c->of[k], 1);
        if (part > 0)
            add_rel(&c->done, 1);
        else
            while (load_rlx(&c->pause) && load_acq(&c->done) < c->n - 1)
                c2_os_yield();
        store_rlx(&c->pause, 0);
    }
}

TEST(what_is_left_is_taken_from_who_is_slow) {
    for (int r = 0; r < (SANITIZED ? 20 : 200); r++) {
        c2_stretches s = {.threads = 3, .parts = 0};
        counts c = {.n = MOST, .pause = 1};
        s.body = count_slowly;
        s.job = &c;
        for (int p = 0; p < 3; p++)
            store_rlx(&s.of[p].left,
                      stretch((uint64_t)(MOST / 3 * p), (uint64_t)(MOST / 3 * (p + 1))));
        c2_team team = {0};
        c2_team_begin(&team, 2, take_stretch, &s);
        take_stretch(&s);
        c2_team_end(&team, NULL, NULL);
        check_each_once(&c);
    }
}

/* A helper that never comes: one part does it all, and what it takes is in rising stretches. */
TEST(one_part_does_it_all) {
    c2_stretches s = {.threads = 4};
    counts c = {.n = 1000};
    for (int p = 0; p < 4; p++)
        store_rlx(&s.of[p].left, stretch((uint64_t)(250 * p), (uint64_t)(250 * (p + 1))));
    int64_t before = -1, k;
    int breaks = 0;
    while ((k = c2_stretches_next(&s, 2)) >= 0) {
        breaks += k != before + 1;
        before = k;
        add_rlx(&c.of[k], 1);
    }
    check_each_once(&c);
    CHECK(breaks < 40);
}

int main(void) {
    RUN(each_is_done_once);
    RUN(what_is_left_is_taken_from_who_is_slow);
    RUN(one_part_does_it_all);
    return report();
}
