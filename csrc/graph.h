/* Which operator must come before which: a directed acyclic graph in four arrays.
 *
 * Nodes are 0..n-1 in program order, and every edge goes forward, so program order is one valid
 * order and there is nothing to sort. A graph is constant once built.
 *
 * preds of v: preds[pred_at[v]] .. preds[pred_at[v + 1] - 1], ascending, no duplicates; succs
 * alike.
 */
#ifndef C2_GRAPH_H
#define C2_GRAPH_H

#include "c2.h"

struct c2_graph {
    int32_t n;
    int32_t m;
    int32_t *pred_at, *preds;
    int32_t *succ_at, *succs;
};

#endif
