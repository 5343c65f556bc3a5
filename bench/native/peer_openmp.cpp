/* OpenMP: peer_openmp task_depend WORKERS GRAPH. One OpenMP task, with
 * `depend`, for each of the graph's. */
#include "peer.h"

struct TaskDepend {
    const Graph &g;
    int workers;
    std::vector<char> token; /* one address for each task */

    TaskDepend(const Graph &graph, int count) : g(graph), workers(count), token((size_t)g.n) {}

    void run() {
        char *const done = token.data();
        const int32_t *const before = g.before.data(), *const at = g.before_at.data();
        const int64_t *const turns = g.turns.data();
        const int32_t n = (int32_t)g.n;
#pragma omp parallel num_threads(workers)
#pragma omp single
        for (int32_t v = 0; v < n; v++) {
#pragma omp task depend(iterator(k = at[v] : at[v + 1]), in : done[before[k]])                     \
    depend(out : done[v]) firstprivate(v)
            spin(turns[v]);
        }
    }
};

int main(int argc, char **argv) {
    if (argc != 4 || strcmp(argv[1], "task_depend") != 0) return 2;
    Graph graph = read_graph(argv[3]);
    serve<TaskDepend>(graph, atoi(argv[2]));
    return 0;
}
