"""The profile of a net: how often its operators ran and what they took.

The critical path is the longest path through the graph by the operators' mean times: no number of
workers makes a run shorter. Achieved parallelism is the time in operators over the time in which
at least one run was on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from caffe2op._core import ffi, lib
from caffe2op.workspace.dependencies import Edge
from caffe2op.workspace.observation import Operator, Stopwatch, check_idle


@dataclass(frozen=True)
class Row:
    """Of one operator or type: runs, mean and standard deviation of a run's time."""

    name: str
    type: str
    count: int
    mean_ns: float
    deviation_ns: float

    @property
    def total_ns(self) -> float:
        return self.count * self.mean_ns


@dataclass(frozen=True)
class Profile:
    """What `AsyncNet.profile` gives; as a string, a table."""

    net: str
    operators: list[Row]
    types: list[Row]  # the most expensive first
    critical_path: list[int]  # operator indices, in order
    critical_ns: float
    serial_ns: float  # the sum of the operators' mean times
    runs: int
    wall_ns: int  # the time in which at least one run was on
    parallelism: float

    def __str__(self) -> str:
        lines = [
            f"net {self.net}: {self.runs} runs in {_time(self.wall_ns)}, parallelism "
            f"{self.parallelism:.2f}; a run: operators {_time(self.serial_ns)}, critical "
            f"path {_time(self.critical_ns)} of {len(self.critical_path)} operators"
        ]
        critical = set(self.critical_path)
        dearest = sorted(range(len(self.operators)), key=lambda k: -self.operators[k].total_ns)[:20]
        whole = sum(row.total_ns for row in self.types) or 1.0
        for title, rows in (
            ("type", [(row, "") for row in self.types]),
            (
                "operator",
                [(self.operators[k], "critical" if k in critical else "") for k in dearest],
            ),
        ):
            lines.append(f"{title:<28} {'runs':>9} {'mean':>10} {'deviation':>10} {'share':>6}")
            lines += [
                f"{row.name[:28]:<28} {row.count:>9} {_time(row.mean_ns):>10} "
                f"{_time(row.deviation_ns):>10} {row.total_ns / whole:>6.1%} {mark}".rstrip()
                for row, mark in rows
            ]
        if len(self.operators) > len(dearest):
            lines.append(f"... and {len(self.operators) - len(dearest)} operators more")
        return "\n".join(lines)


def _time(ns: float) -> str:
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}"
    return f"{ns:.3g} ns"


def profile(
    name: str, operators: list[Operator], edges: list[Edge], asyncs: Iterable[Any], watch: Stopwatch
) -> Profile:
    """From what the c2_asyncs of a net have measured."""
    n = len(operators)
    sums = [_Sum() for _ in range(n)]
    for one in asyncs:
        counts = ffi.new("int64_t[]", n + 1)
        means = ffi.new("double[]", n + 1)
        deviations = ffi.new("double[]", n + 1)
        check_idle(lib.c2_async_costs(one, counts, means, deviations))
        for k in range(n):
            sums[k].add(counts[k], means[k], deviations[k])
    rows = [s.row(op.label, op.type) for s, op in zip(sums, operators, strict=True)]
    by_type: dict[str, _Sum] = {}
    for row in rows:
        by_type.setdefault(row.type, _Sum()).add(row.count, row.mean_ns, row.deviation_ns)
    types = sorted((s.row(t, t) for t, s in by_type.items()), key=lambda row: -row.total_ns)
    path, length = critical_path([row.mean_ns for row in rows], edges)
    busy = sum(row.total_ns for row in rows)
    return Profile(
        name,
        rows,
        types,
        path,
        length,
        sum(row.mean_ns for row in rows),
        watch.runs,
        watch.total_ns,
        busy / watch.total_ns if watch.total_ns else 0.0,
    )


class _Sum:
    """Several samples, each known by its count, mean and deviation, as one."""

    def __init__(self) -> None:
        self.count = 0
        self.total = self.squares = 0.0

    def add(self, count: int, mean: float, deviation: float) -> None:
        self.count += count
        self.total += count * mean
        self.squares += count * (mean * mean + deviation * deviation)

    def row(self, name: str, type_: str) -> Row:
        if not self.count:
            return Row(name, type_, 0, 0.0, 0.0)
        mean = self.total / self.count
        variance = max(0.0, self.squares / self.count - mean * mean)
        return Row(name, type_, self.count, mean, math.sqrt(variance))


def critical_path(costs: list[float], edges: list[Edge]) -> tuple[list[int], float]:
    """The operators of the longest path, in order, and its length."""
    if not costs:
        return [], 0.0
    later: list[list[int]] = [[] for _ in costs]
    for u, v in edges:
        later[u].append(v)
    length = list(costs)
    for u in reversed(range(len(costs))):
        length[u] += max((length[v] for v in later[u]), default=0.0)
    at = max(range(len(costs)), key=length.__getitem__)
    path = [at]
    while later[at]:
        at = max(later[at], key=length.__getitem__)
        path.append(at)
    return path, max(length)
