/* choice.c: what is chosen, given what each way takes. No clock: the costs are a table. */
#include "check.h"
#include "choice.h"
#include "random.h"

typedef struct history {
    double spent, serial; /* ns, and what the same runs would have taken serially */
    int64_t best_runs;    /* runs in the way that was fastest then */
} history;

static const double SERIAL_NS = 100000;

static c2_choice opened(void) {
    c2_choice c;
    c2_choice_begin(&c, SERIAL_NS);
    c.estimate[C2_MODE_STATIC] = c.estimate[C2_MODE_DYNAMIC] = SERIAL_NS / 2;
    return c;
}

/* `runs` runs of which each way takes `takes` times as long as the serial one; up to `noise`
 * more. */
static history live(c2_choice *c, int64_t runs, const double takes[C2_MODES], double noise) {
    history h = {0};
    int best = C2_MODE_SERIAL;
    for (int m = C2_MODE_SERIAL; m < C2_MODES; m++)
        if (takes[m] < takes[best]) best = m;
    for (int64_t k = 0; k < runs; k++) {
        const double more = 1 + noise * (double)(c2_random_bits(4, (uint64_t)k) % 1000) / 1000;
        const int mode = c2_choice_next(c);
        c2_choice_took(c, mode, SERIAL_NS * takes[mode] * more);
        h.spent += takes[mode];
        h.serial += 1;
        h.best_runs += mode == best;
    }
    return h;
}

TEST(the_fastest_is_found) {
    for (int way = C2_MODE_SERIAL; way < C2_MODES; way++) {
        double takes[C2_MODES] = {0, 1, 1.1, 1.2};
        takes[way] = 0.7;
        c2_choice c = opened();
        const history h = live(&c, 400, takes, 0.1);
        CHECK_EQ(c2_choice_best(&c), way);
        CHECK(h.best_runs > 350);
    }
}

TEST(never_much_slower_than_the_serial_loop) {
    const double lost[] = {1.02, 1.1, 1.5, 2, 5, 20};
    for (int k = 0; k < 6; k++) {
        const double takes[C2_MODES] = {0, 1, lost[k], lost[k]};
        c2_choice c = opened();
        live(&c, 9, takes, 0); /* the trials */
        const history h = live(&c, 2000, takes, 0.1);
        CHECK(h.spent / h.serial < 1.05);
    }
}

/* Whoever measures while the machine is busy finds that helpers gain nothing. */
TEST(a_way_that_met_a_busy_machine_gets_another_chance) {
    for (int busy = 1; busy < 40; busy++) {
        const double then[C2_MODES] = {0, 1, 1.1, 1.3}, now[C2_MODES] = {0, 1, 0.53, 0.6};
        c2_choice c = opened();
        live(&c, busy, then, 0.05);
        live(&c, 60, now, 0.05);
        CHECK_EQ(c2_choice_best(&c), C2_MODE_STATIC);
    }
}

/* Helpers that share a processor with somebody: quick now and then, slow as a rule. */
TEST(luck_is_not_speed) {
    c2_choice c = opened();
    double spent = 0;
    for (int64_t k = 0; k < 2000; k++) {
        const double lucky = c2_random_bits(9, (uint64_t)k) % 10 < 3 ? 0.5 : 2;
        const int mode = c2_choice_next(&c);
        const double takes = mode == C2_MODE_SERIAL ? 1 : lucky;
        c2_choice_took(&c, mode, SERIAL_NS * takes);
        spent += takes;
    }
    CHECK(spent / 2000 < 1.05);
}

TEST(what_has_become_slow_is_left) {
    const double then[C2_MODES] = {0, 1, 0.5, 0.7}, now[C2_MODES] = {0, 1, 2, 2};
    c2_choice c = opened();
    live(&c, 500, then, 0.05);
    live(&c, 200, now, 0.05);
    CHECK_EQ(c2_choice_best(&c), C2_MODE_SERIAL);
}

TEST(long_runs_are_not_spent_on_what_lost) {
    const double takes[C2_MODES] = {0, 40, 20, 21}; /* 2 ms and more */
    c2_choice c = opened();
    c2_choice_took(&c, C2_MODE_SERIAL, 40 * SERIAL_NS); /* as plan() does */
    const history h = live(&c, 7, takes, 0.02);
    CHECK(h.spent <= 7 * 21);
}

TEST(closed_without_a_promise) {
    c2_choice c;
    c2_choice_begin(&c, SERIAL_NS);
    CHECK(!c2_choice_open(&c));
    CHECK_EQ(c2_choice_next(&c), C2_MODE_SERIAL);
    c = opened();
    CHECK(c2_choice_open(&c));
}

int main(void) {
    RUN(the_fastest_is_found);
    RUN(never_much_slower_than_the_serial_loop);
    RUN(a_way_that_met_a_busy_machine_gets_another_chance);
    RUN(luck_is_not_speed);
    RUN(what_has_become_slow_is_left);
    RUN(long_runs_are_not_spent_on_what_lost);
    RUN(closed_without_a_promise);
    return report();
}
