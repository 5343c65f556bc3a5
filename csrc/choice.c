/* Choosing by measure; the idea is told in choice.h. */
#include "choice.h"

enum { TRIALS = 3, FIRST_AGAIN = 8, MOST_DOUBLINGS = 7 };
static const double LONG_RUN = 1e6, PRICE = 0.02, NEWS = 0.125;

void c2_choice_begin(c2_choice *c, double serial) {
    for (int m = 0; m < C2_MODES; m++) {
        c->estimate[m] = m == C2_MODE_SERIAL ? serial : 0;
        c->trials[m] = c->lost[m] = 0;
        c->again[m] = 0;
        store_rlx(&c->took[m], 0);
    }
    c->runs = 0;
}

int c2_choice_open(const c2_choice *c) {
    return c->estimate[C2_MODE_STATIC] != 0 || c->estimate[C2_MODE_DYNAMIC] != 0;
}

int c2_choice_best(const c2_choice *c) {
    int best = C2_MODE_SERIAL;
    for (int m = C2_MODE_SERIAL; m < C2_MODES; m++) {
        const double took = load_rlx(&c->took[m]), least = load_rlx(&c->took[best]);
        if (c->estimate[m] != 0 && took != 0 && (least == 0 || took < least)) best = m;
    }
    return best;
}

/* Of the candidates that have had fewer than TRIALS the one with the fewest, and of these the
 * one that promises most: a long run is not done serially again to learn what is known. One that
 * lost a long run clearly gets no second trial so soon. */
static int next_trial(const c2_choice *c, double least) {
    int next = 0;
    for (int m = C2_MODE_SERIAL; m < C2_MODES; m++) {
        if (c->estimate[m] == 0 || c->trials[m] >= TRIALS) continue;
        if (c->trials[m] && least > LONG_RUN && load_rlx(&c->took[m]) > 1.5 * least) continue;
        if (!next || c->trials[m] < c->trials[next] ||
            (c->trials[m] == c->trials[next] && c->estimate[m] < c->estimate[next]))
            next = m;
    }
    return next;
}

int c2_choice_next(c2_choice *c) {
    const int best = c2_choice_best(c);
    const double least = load_rlx(&c->took[best]);
    const int trial = next_trial(c, least);
    if (trial) return trial;
    for (int m = C2_MODE_SERIAL; m < C2_MODES; m++) {
        if (m == best || c->estimate[m] == 0) continue;
        if (c->again[m] == 0) { /* not before its loss has been earned again */
            const double loss = load_rlx(&c->took[m]) / least - 1;
            const int64_t wait = loss > FIRST_AGAIN * PRICE ? (int64_t)(loss / PRICE) : FIRST_AGAIN;
            c->again[m] = c->runs + (wait << c->lost[m]);
            if (c->lost[m] < MOST_DOUBLINGS) c->lost[m]++;
        } else if (c->runs >= c->again[m]) {
            c->again[m] = 0;
            return m;
        }
    }
    return best;
}

/* A way counts for the quickest of its trials, since noise only adds, and then for the mean of
 * its last runs: one that is quick now and then, when nobody else wants the processors, is not
 * quick. One run alone cannot more than double the mean's news. */
void c2_choice_took(c2_choice *c, int mode, double ns) {
    const int best = c2_choice_best(c);
    const double before = load_rlx(&c->took[mode]);
    double now = before;
    c->runs++;
    if (mode != best && c->trials[mode] >= TRIALS && ns < load_rlx(&c->took[best]))
        c->trials[mode] = 0, now = 0; /* it lost before: to be tried as if for the first time */
    if (c->trials[mode] < TRIALS) {
        c->trials[mode]++;
        if (now == 0 || ns < now) now = ns;
    } else {
        now += NEWS * ((ns < 2 * before ? ns : 2 * before) - before);
    }
    store_rlx(&c->took[mode], now);
}
