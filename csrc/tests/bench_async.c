/* ns per operator of each way to run a net, on 1 and 2 workers, beside the plain serial loop. */
#include <stdio.h>
#include <stdlib.h>

#include "graph.h"
#include "net.h"
#include "graphs.h"
#include "platform.h"

static double ns_per_turn;

static void burn(int64_t turns) {
    for (int64_t k = 0; k < turns; k++)
        __asm__ volatile("" ::: "memory");
}

static int busy(c2_context *c) {
    burn((int64_t)(intptr_t)c->handle);
    return C2_OK;
}

static int empty(c2_context *c) {
    (void)c;
    return C2_OK;
}

static double best_of(c2_async *a, c2_net *net, int mode, int rounds) {
    double best = 1e300;
    if (a) c2_async_mode(a, mode);
    for (int k = 0; k < rounds; k++) {
        c2_run run = {0};
        const int64_t begin = c2_os_now();
        if (a)
            c2_async_run(a, &run);
        else
            c2_net_run(net, &run);
        const double took = (double)(c2_os_now() - begin);
        if (took < best) best = took;
    }
    return best;
}

static void measure(const char *name, edges e, double grain_ns, int uneven) {
    uint64_t seed = 7;
    c2_graph *g;
    int64_t begin = c2_os_now();
    if (c2_graph_of_edges(e.n, e.m, e.from, e.to, &g)) abort();
    const double build = (double)(c2_os_now() - begin) / (double)e.n;
    c2_net *net = c2_net_new(e.n);
    for (int64_t v = 0; v < e.n; v++) {
        double cost = grain_ns;
        if (uneven == 1) cost *= (double)(next_random(&seed) % 2001) / 1000;
        if (uneven == 2) cost *= v % 16 == 0 ? 8.5 : 0.5;
        c2_net_set(net, v, grain_ns > 0 ? busy : empty, (void *)(intptr_t)(cost / ns_per_turn), 0,
                   NULL, 0, NULL, NULL, 0);
    }
    const int rounds = grain_ns * (double)e.n > 5e6 ? 8 : 60;
    c2_async *one = c2_async_new(net, g, 1), *two = c2_async_new(net, g, 2);
    double serial = best_of(NULL, net, 0, rounds);
    const double fixed1 = best_of(one, net, C2_MODE_STATIC, rounds);
    const double shared1 = best_of(one, net, C2_MODE_DYNAMIC, rounds);
    best_of(two, net, C2_MODE_AUTO, 12);
    const double auto2 = best_of(two, net, C2_MODE_AUTO, rounds);
    const double fixed2 = best_of(two, net, C2_MODE_STATIC, rounds);
    const double shared2 = best_of(two, net, C2_MODE_DYNAMIC, rounds);
    const double again = best_of(NULL, net, 0, rounds);
    if (again < serial) serial = again;
    c2_async_report r;
    c2_async_report_now(two, &r);
    const double n = (double)e.n;
    const double bound = r.serial_ns / 2 > r.critical_ns ? r.serial_ns / 2 : r.critical_ns;
    printf("%-12s %7.1f us%s | serial %9.1f | static %9.1f %9.1f | dynamic %9.1f %9.1f | auto "
           "%9.1f = %.2f of serial, bound %.2f | build %.0f\n",
           name, grain_ns / 1000,
           uneven == 0   ? "  "
           : uneven == 1 ? " u"
                         : " h",
           serial / n, fixed1 / n, fixed2 / n, shared1 / n, shared2 / n, auto2 / n, auto2 / serial,
           bound > 0 ? bound / serial : 1, build);
    c2_async_free(one), c2_async_free(two), c2_net_free(net), c2_graph_free(g);
    free_edges(&e);
}

int main(int argc, char **argv) {
    int64_t begin = c2_os_now();
    burn(100000000);
    ns_per_turn = (double)(c2_os_now() - begin) / 1e8;
    const double grains[] = {0, 100, 300, 1000, 10000, 100000};
    for (int k = 0; k < 6; k++) {
        const double g = grains[k];
        const int64_t n = g < 10000 ? 8192 : g < 100000 ? 1024 : 128;
        measure("independent", independent(n), g, 0);
        measure("chain", chain(n), g, 0);
        measure("stencil16", stencil(16, n / 16), g, 0);
        measure("fft64", butterflies(64, n / 64), g, 0);
        measure("tree", tree(n / 2), g, 0);
        measure("random", random_graph(n, 64, 1), g, 0);
        measure("tiny10", random_graph(10, 4, 1), g, 0);
        if (g < 1000) continue;
        measure("stencil16", stencil(16, n / 16), g, 1);
        measure("stencil16", stencil(16, n / 16), g, 2);
        measure("random", random_graph(n, 64, 1), g, 1);
        measure("independent", independent(n), g, 2);
    }
    (void)argc, (void)argv;
    return 0;
}
