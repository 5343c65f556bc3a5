"""Graphs of tasks to run and measure: the shapes and the costs that task benchmarks use.

Tasks are numbered in program order and every edge goes forward. The shapes are those of
csrc/tests/graphs.h; stencils, butterflies and trees are Task Bench's (Slaughter et al., SC 2020).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

Ints = np.ndarray[Any, np.dtype[np.int32]]
Costs = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Graph:
    """n tasks, and edges tail[k] -> head[k], sorted by head."""

    name: str
    n: int
    tails: Ints
    heads: Ints

    @cached_property
    def before(self) -> list[list[int]]:
        """The predecessors of each task."""
        at = np.searchsorted(self.heads, np.arange(self.n + 1)).tolist()
        tails = self.tails.tolist()
        return [tails[at[v] : at[v + 1]] for v in range(self.n)]

    @cached_property
    def levels(self) -> list[list[int]]:
        """Tasks by the number of edges on the longest path to them."""
        depth = [0] * self.n
        for v, found in enumerate(self.before):
            depth[v] = max((depth[u] + 1 for u in found), default=0)
        levels: list[list[int]] = [[] for _ in range(max(depth) + 1)]
        for v, d in enumerate(depth):
            levels[d].append(v)
        return levels

    def critical(self, costs: Costs) -> float:
        """The cost of the longest path."""
        ends: list[float] = []
        for cost, found in zip(costs.tolist(), self.before, strict=True):
            ends.append(cost + max((ends[u] for u in found), default=0.0))
        return max(ends)

    def save(self, path: Path, turns: np.ndarray[Any, np.dtype[np.int64]]) -> None:
        """What native/peer.h reads: n, m, tails, heads, and the turns of each task's loop."""
        counts = np.array([self.n, len(self.tails)], dtype=np.int64)
        path.write_bytes(b"".join(a.tobytes() for a in (counts, self.tails, self.heads, turns)))


def of_edges(name: str, n: int, tails: Any, heads: Any) -> Graph:
    edges = np.unique(np.stack([heads, tails], axis=1), axis=0).astype(np.int32)
    return Graph(name, n, np.ascontiguousarray(edges[:, 1]), np.ascontiguousarray(edges[:, 0]))


def independent(n: int) -> Graph:
    none = np.empty(0, dtype=np.int32)
    return Graph("independent", n, none, none)


def chain(n: int) -> Graph:
    return of_edges("chain", n, np.arange(n - 1), np.arange(1, n))


def stencil(n: int, width: int = 16) -> Graph:
    """Rows of `width`; each task depends on itself and its two neighbours in the row before."""
    rows = max(2, n // width)
    heads = np.arange(width, rows * width)
    tails, kept = [], []
    for d in (-1, 0, 1):
        inside = (heads % width + d >= 0) & (heads % width + d < width)
        kept.append(heads[inside])
        tails.append(heads[inside] - width + d)
    name = f"stencil{width}"
    return of_edges(name, rows * width, np.concatenate(tails), np.concatenate(kept))


def butterflies(n: int, width: int = 64) -> Graph:
    """log2(width) levels of butterflies, again and again."""
    rows = max(2, n // width)
    levels = width.bit_length() - 1
    heads = np.arange(width, rows * width)
    spans = 1 << ((heads // width - 1) % levels)
    above = heads - width
    across = above - above % width + ((above % width) ^ spans)
    return of_edges(f"fft{width}", rows * width, np.concatenate([above, across]), np.tile(heads, 2))


def tree(n: int) -> Graph:
    """n / 2 leaves, added up two by two."""
    tails, heads = [], []
    level, size = 0, max(2, n // 2)
    while size > 1:
        leaves = np.arange(size)
        tails.append(level + leaves)
        heads.append(level + size + leaves // 2)
        level += size
        size = (size + 1) // 2
    return of_edges("tree", level + 1, np.concatenate(tails), np.concatenate(heads))


def random(n: int, window: int = 64, name: str = "random") -> Graph:
    """Up to three predecessors among the `window` tasks before."""
    rng = np.random.default_rng(1)
    counts = rng.integers(0, 4, n)
    counts[0] = 0
    heads = np.repeat(np.arange(n), counts)
    tails = heads - 1 - rng.integers(0, np.minimum(heads, window))
    return of_edges(name, n, tails, heads)


def tiny10(n: int = 10) -> Graph:
    return random(10, 4, "tiny10")


SHAPES: dict[str, Callable[[int], Graph]] = {
    "independent": independent,
    "chain": chain,
    "stencil16": stencil,
    "fft64": butterflies,
    "tree": tree,
    "random": random,
    "tiny10": tiny10,
}


# ---- costs, of mean 1 --------------------------------------------------------------------------


def even(n: int) -> Costs:
    return np.ones(n)


def uniform(n: int) -> Costs:
    """Between 0 and 2."""
    return np.random.default_rng(7).uniform(0, 2, n)


def one_heavy(n: int) -> Costs:
    """One in sixteen 8.5, the others 0.5; anywhere."""
    costs = np.full(n, 0.5)
    costs[np.random.default_rng(7).permutation(n)[: n // 16]] = 8.5
    return costs


def bimodal(n: int) -> Costs:
    """Half of them 0.2, half of them 1.8; anywhere."""
    return np.where(np.random.default_rng(7).permutation(n) < n // 2, 0.2, 1.8)


UNEVEN: dict[str, Callable[[int], Costs]] = {
    "uniform 0..2x": uniform,
    "one heavy in 16": one_heavy,
    "bimodal": bimodal,
}
