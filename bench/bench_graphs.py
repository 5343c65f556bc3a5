"""Graphs of native operators: this package's executor beside the simple one and C++ libraries.

Every body is native/spin.h. "The simple executor" runs the same net in program order on one
thread. What is timed here is C without a call from Python; bench_asyncnet.py measures that.
"""

from __future__ import annotations

import ctypes
import math
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import graphs
from graphs import Graph
from native_tasks import PEERS, Net, Peer, bodies, in_turns, new_graph, settle
from paired import Bench, Claim, Code, seconds

TASKS = 16_000  # of a graph, where its work does not become too long
WORK_NS = 32e6  # of all tasks of a graph
SAMPLE = 100e-6  # seconds: shorter runs are repeated for as long
ROW = 2.0  # seconds for a row's rounds
WARM = 0.3  # seconds for the runs before them


def sized(bench: Bench, shape: str, grain_ns: float) -> Graph:
    tasks = min(TASKS, WORK_NS / max(grain_ns, 1.0))
    return graphs.tiny10() if shape == "tiny10" else graphs.SHAPES[shape](bench.size(tasks, 64))


def repeats(run: Callable[[int], float]) -> int:
    return max(1, math.ceil(SAMPLE / run(1)))


def rounds(bench: Bench, seconds: float) -> int:
    """How many rounds of so many seconds a row gets."""
    return min(bench.rounds, max(3, int(ROW / seconds)))


@contextmanager
def runner(bench: Bench, row: str, workers: int, graph: Graph, turns: Any, net: Net
           ) -> Iterator[Callable[[int], float]]:  # fmt: skip
    """What runs the graph so many times and gives the seconds."""
    if row in PEERS:
        with Peer(row, workers, graph, turns) as peer:
            peer.run()
            yield peer.run
    elif row == "the simple executor":
        yield net.simple
    else:
        mode = row.partition(", ")[2] or "auto"
        yield net.executor(workers, mode).warm(bench.size(40, least=3), WARM * bench.scale).run


# ---- empty bodies ------------------------------------------------------------------------------

OURS = ["caffe2op", "caffe2op, static", "caffe2op, dynamic"]
EMPTY = [("the simple executor", 1), *((row, w) for row in [*OURS, *PEERS] for w in (1, 2))]
EMPTY_LIMITS = {1: 8.0, 2: 20.0}


@pytest.mark.parametrize("shape", graphs.SHAPES)
@pytest.mark.parametrize(("row", "workers"), EMPTY, ids=lambda value: str(value))
def test_empty(bench: Bench, row: str, workers: int, shape: str) -> None:
    graph = sized(bench, shape, 0)
    turns = in_turns(graphs.even(graph.n), 0)
    net = Net(graph, turns)
    claim = None
    if row == "caffe2op" and shape == "stencil16":
        limit = EMPTY_LIMITS[workers]
        claim = Claim(f"Empty stencil16, a task, {workers} worker{'s'[: workers - 1]}", limit, "ns")
    with runner(bench, row, workers, graph, turns, net) as run:
        count = repeats(run)
        bench.row(
            "Empty operators, ns per task",
            row if row == "the simple executor" else f"{row}, {workers} worker{'s'[: workers - 1]}",
            shape,
            lambda: run(count),
            per=graph.n * count,
            claim=claim,
            teardown=settle if row in PEERS else None,
            rounds=rounds(bench, run(count) + 1e-4),
        )


# ---- two workers beside the simple executor -----------------------------------------------------

GRAINS = {"empty": 0, "0.1 us": 100, "0.3 us": 300, "1 us": 1000, "10 us": 10_000,
          "100 us": 100_000, "1 ms": 1_000_000}  # fmt: skip
PEER_GRAINS = ("0.3 us", "1 us", "10 us", "100 us")
OVER_SIMPLE = [
    (row, column)
    for row in ("caffe2op", *PEERS)
    for column in GRAINS
    if row == "caffe2op" or column in PEER_GRAINS
]


@pytest.mark.parametrize("shape", graphs.SHAPES)
@pytest.mark.parametrize(("row", "column"), OVER_SIMPLE)
def test_over_simple(bench: Bench, row: str, column: str, shape: str) -> None:
    grain = GRAINS[column]
    graph = sized(bench, shape, grain)
    turns = in_turns(graphs.even(graph.n), grain)
    net = Net(graph, turns)
    count = repeats(net.simple)
    claim = Claim("2 workers / the simple executor, every graph, every grain", 1.05)
    with runner(bench, row, 2, graph, turns, net) as run:
        bench.row(
            "Tasks on 2 workers, us per task",
            f"{shape}, {row}",
            column,
            lambda: run(count),
            per=graph.n * count,
            unit="us",
            reference=lambda: net.simple(count),
            quotient="this / the simple executor",
            claim=claim if row == "caffe2op" else None,
            teardown=settle if row in PEERS else None,
            rounds=rounds(bench, net.simple(count) + run(count)),
        )


# ---- uneven costs ------------------------------------------------------------------------------

# Of the tiny graph and the chain the bound says nothing: the one has too few tasks to be divided
# evenly, the other cannot be divided.
UNEVEN_SHAPES = ("independent", "stencil16", "fft64", "tree", "random")


@pytest.mark.parametrize("costs", graphs.UNEVEN)
@pytest.mark.parametrize("shape", UNEVEN_SHAPES)
@pytest.mark.parametrize("row", ["caffe2op", *PEERS])
def test_uneven(bench: Bench, row: str, shape: str, costs: str) -> None:
    graph = sized(bench, shape, 10_000)
    each = graphs.UNEVEN[costs](graph.n)
    turns = in_turns(each, 10_000)
    net = Net(graph, turns)
    # No schedule on two workers is shorter than half of the work, or than the longest path.
    share = max(0.5, graph.critical(each) / float(each.sum()))
    claim = Claim("Uneven costs of 10 us: makespan / the least possible", 1.11)
    with runner(bench, row, 2, graph, turns, net) as run:
        bench.row(
            "Uneven costs, 10 us at the mean, 2 workers, ms per run",
            f"{costs}, {row}",
            shape,
            lambda: run(1),
            unit="ms",
            reference=lambda: net.simple() * share,
            quotient="this / the least possible",
            claim=claim if row == "caffe2op" else None,
            teardown=settle if row in PEERS else None,
            rounds=rounds(bench, 2 * net.simple()),
        )


def test_two_cores(bench: Bench) -> None:
    """What two threads gain here that have nothing to do with each other: no executor can gain
    more."""
    turns = np.full(bench.size(1000, 10), int(in_turns(graphs.even(1), 10_000)[0]), dtype=np.int64)

    def both() -> float:
        spent: list[float] = []
        start = threading.Barrier(2)

        def half() -> None:
            start.wait()
            began = time.perf_counter()
            bodies(turns[: len(turns) // 2])
            spent.extend((began, time.perf_counter()))

        threads = [threading.Thread(target=half) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return max(spent) - min(spent)

    bench.row(
        "Uneven costs, 10 us at the mean, 2 workers, ms per run",
        "the machine: two threads apart",
        "independent",
        both,
        unit="ms",
        reference=lambda: bodies(turns) / 2,
        quotient="this / the least possible",
    )


# ---- METG --------------------------------------------------------------------------------------

METG_TABLE = "The smallest task that keeps half of two cores (METG), us"
METG_LIMITS = {4: 0.25, 8: 0.12}
STEPS = 1000  # rows of the stencil
# us; a shorter body's time is the processor's luck with the end of its loop. Stands for "or less".
SHORTEST = 0.05


def metg(efficiency: Callable[[float], float], from_us: float) -> float:
    """The smallest task, in us, at which half of the peak is kept, coming from large ones: grains
    go down by the square root of 2 until two in a row are below, and the crossing before these
    is interpolated. `from_us` is doubled while it is not enough, up to four times."""
    grain, now = from_us, efficiency(from_us)
    while now < 0.5:
        if grain >= 16 * from_us:
            return math.inf
        grain *= 2
        now = efficiency(grain)
    kept, below = (grain, now), None
    while grain > SHORTEST:
        grain /= math.sqrt(2)
        now = efficiency(grain)
        if now >= 0.5:
            kept, below = (grain, now), None
        elif below is None:
            below = grain, now
        else:
            break
    if below is None:
        return kept[0]
    part = (0.5 - below[1]) / (kept[1] - below[1])
    return below[0] * (kept[0] / below[0]) ** part


def one_thread(net: Net, turns: Any, count: int = 1) -> float:
    """Seconds of the work on one thread: of the bodies alone or of the simple executor, whichever
    is less."""
    return min(sum(bodies(turns) for _ in range(count)), net.simple(count))


def share_of_peak(work: Code, run: Code, rounds: int) -> float:
    """The work on one thread divided by two over the run, in turn; the lower quartile of each,
    since at half of the peak a percent decides, and what disturbs only makes slower."""
    found = [(seconds(work), seconds(run)) for _ in range(rounds)]
    alone, whole = (statistics.quantiles(times, n=4)[0] for times in zip(*found, strict=True))
    return alone / 2 / whole


@pytest.mark.parametrize("width", METG_LIMITS)
@pytest.mark.parametrize("row", ["caffe2op", "caffe2op, static", *PEERS])
def test_metg(bench: Bench, row: str, width: int) -> None:
    graph = graphs.stencil(width * bench.size(STEPS, 20), width)

    def measure() -> list[dict[str, Any]]:
        def efficiency(grain_us: float) -> float:
            turns = in_turns(graphs.even(graph.n), grain_us * 1000)
            net = Net(graph, turns)
            with runner(bench, row, 2, graph, turns, net) as run:
                count = repeats(run)

                def work() -> float:
                    if row in PEERS:
                        settle()
                    return one_thread(net, turns, count)

                few = max(7, int(ROW / 4 / (seconds(work) + run(count))))
                return share_of_peak(work, lambda: run(count), min(bench.rounds, few))

        value = metg(efficiency, 4.0 if row.startswith("caffe2op") else 16.0)
        found = {"row": row, "column": f"width {width}", "unit": "us", "value": value}
        if row == "caffe2op":
            claim = Claim(f"METG(50%), stencil_1d of width {width}", METG_LIMITS[width], "us")
            found["claim"] = claim.decided(value)
        return [found]

    bench.program(METG_TABLE, measure)


# ---- building ----------------------------------------------------------------------------------


class _Memory(ctypes.Structure):
    """glibc's struct mallinfo2."""

    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks",
        "fordblks", "keepcost")]  # fmt: skip


def bytes_in_use() -> int:
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallinfo2"):
        pytest.skip("mallinfo2 is not in this C library")
    libc.mallinfo2.restype = _Memory
    info = libc.mallinfo2()
    return int(info.uordblks + info.hblkhd)


BUILDS = {"stencil16": graphs.stencil, "random": graphs.random, "tree": graphs.tree}


# "operators" have a kernel and a handle of their own each; "operators alike" are one kernel on the
# elements of an array, which is there already.
PARTS = ("graph", "operators", "operators alike", "costs and schedule")
# What the figures of other systems' arrays and schedules compare with, and what it takes to run.
TOTALS = {
    "graph and schedule": ("operators", "operators alike"),
    "in all": ("operators alike",),
    "in all, operators alike": ("operators",),
}


def build(graph: Graph) -> dict[str, tuple[float, float]]:
    """ns and bytes per node of each part."""
    turns = in_turns(graphs.even(graph.n), 300)
    parts: dict[str, tuple[float, float]] = {}

    def part(name: str, make: Callable[[], Any]) -> Any:
        held, began = bytes_in_use(), time.perf_counter_ns()
        made = make()
        took = time.perf_counter_ns() - began
        if isinstance(made, float):
            took = made * 1e9
        parts[name] = took / graph.n, (bytes_in_use() - held) / graph.n
        return made

    dependencies = part(PARTS[0], lambda: new_graph(graph))
    net = part(PARTS[1], lambda: Net(graph, turns, dependencies))
    part(PARTS[2], lambda: Net(graph, turns, dependencies, alike=True))
    one = net.executor(2, "static")
    part(PARTS[3], one.compile)
    for whole, left_out in TOTALS.items():
        ns, size = np.array([parts[p] for p in PARTS if p not in left_out]).sum(axis=0)
        parts[whole] = float(ns), float(size)
    return parts


@pytest.mark.parametrize("shape", BUILDS)
def test_build(bench: Bench, shape: str) -> None:
    graph = BUILDS[shape](bench.size(1_000_000))

    def measure() -> list[dict[str, Any]]:
        found = [build(graph) for _ in range(min(bench.rounds, 7))]
        rows: list[dict[str, Any]] = []
        for part in found[0]:
            ns, size = (statistics.median(one[part][k] for one in found) for k in (0, 1))
            for unit, value, limit in (("ns", ns, 60.0), ("bytes", size, 64.0)):
                row = {"row": f"caffe2op, {part}", "column": f"{shape}, {unit}", "unit": unit}
                rows.append({**row, "value": value})
                if part in TOTALS:
                    claim = Claim(f"Building of a million nodes, {part}, {unit} per node",
                                  limit, unit)  # fmt: skip
                    rows[-1]["claim"] = claim.decided(value)
        return rows

    bench.program("Building of a million nodes from arrays, per node", measure)


@pytest.mark.parametrize("shape", BUILDS)
def test_build_flow_graph(bench: Bench, shape: str) -> None:
    graph = BUILDS[shape](bench.size(1_000_000))

    def measure() -> list[dict[str, Any]]:
        row = "oneTBB flow graph"
        with Peer(row, 2, graph, np.zeros(graph.n, dtype=np.int64)) as peer:
            figures = {"ns": peer.build_ns, "bytes": peer.build_bytes}
        return [
            {"row": row, "column": f"{shape}, {unit}", "unit": unit, "value": value / graph.n}
            for unit, value in figures.items()
        ]

    bench.program("Building of a million nodes from arrays, per node", measure)
