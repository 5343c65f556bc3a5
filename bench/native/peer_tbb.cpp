/* oneTBB: peer_tbb SYSTEM WORKERS GRAPH. SYSTEM: flow_graph, task_group. */
#include "peer.h"

#include <atomic>
#include <memory>

#include <tbb/flow_graph.h>
#include <tbb/global_control.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>

/* One continue_node for each task. */
struct FlowGraph {
    using Node = tbb::flow::continue_node<tbb::flow::continue_msg>;
    tbb::task_arena arena;
    std::unique_ptr<tbb::flow::graph> flow;
    std::vector<std::unique_ptr<Node>> nodes;
    std::vector<Node *> sources;

    FlowGraph(const Graph &g, int workers) : arena(workers) {
        arena.execute([&] { flow = std::make_unique<tbb::flow::graph>(); });
        nodes.reserve((size_t)g.n);
        for (size_t v = 0; v < (size_t)g.n; v++) {
            const int64_t *turns = &g.turns[v];
            nodes.push_back(std::make_unique<Node>(
                *flow, [turns](const tbb::flow::continue_msg &) { spin(*turns); }));
            if (g.before_at[v] == g.before_at[v + 1]) sources.push_back(nodes[v].get());
        }
        for (size_t k = 0; k < (size_t)g.m; k++)
            tbb::flow::make_edge(*nodes[(size_t)g.tails[k]], *nodes[(size_t)g.heads[k]]);
    }

    void run() {
        arena.execute([&] {
            for (Node *source : sources)
                source->try_put(tbb::flow::continue_msg());
            flow->wait_for_all();
        });
    }
};

/* A counter of open predecessors for each task; who takes the last one to zero goes on with that
 * task itself, and hands further ones to the group. */
struct TaskGroup {
    const Graph &g;
    tbb::task_arena arena;
    std::unique_ptr<std::atomic<int32_t>[]> open;
    std::vector<int32_t> sources;

    TaskGroup(const Graph &graph, int workers)
        : g(graph), arena(workers), open(new std::atomic<int32_t>[(size_t)graph.n]) {
        for (int32_t v = 0; v < (int32_t)g.n; v++) {
            reset(v);
            if (open[(size_t)v] == 0) sources.push_back(v);
        }
    }

    void reset(int32_t v) {
        const size_t at = (size_t)v;
        open[at].store(g.before_at[at + 1] - g.before_at[at], std::memory_order_relaxed);
    }

    void task(tbb::task_group &group, int32_t v) {
        while (v >= 0) {
            spin(g.turns[(size_t)v]);
            reset(v);
            int32_t next = -1;
            for (int32_t k = g.after_at[(size_t)v]; k < g.after_at[(size_t)v + 1]; k++) {
                const int32_t w = g.after[(size_t)k];
                if (open[(size_t)w].fetch_sub(1, std::memory_order_acq_rel) != 1) continue;
                if (next >= 0) group.run([this, &group, next] { task(group, next); });
                next = w;
            }
            v = next;
        }
    }

    void run() {
        arena.execute([&] {
            tbb::task_group group;
            for (int32_t v : sources)
                group.run([this, &group, v] { task(group, v); });
            group.wait();
        });
    }
};

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    const int workers = atoi(argv[2]);
    Graph graph = read_graph(argv[3]);
    tbb::global_control limit(tbb::global_control::max_allowed_parallelism, (size_t)workers);
    if (strcmp(argv[1], "flow_graph") == 0)
        serve<FlowGraph>(graph, workers);
    else if (strcmp(argv[1], "task_group") == 0)
        serve<TaskGroup>(graph, workers);
    else
        return 2;
    return 0;
}
