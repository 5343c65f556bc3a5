"""AsyncNet as a program uses it: calls from Python, Python operators, nets of the `core.Net` kind,
several runs in flight.

Native operators are registered with register_operator and have the body of native/spin.h.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import graphs
import python_tasks
from bench_graphs import METG_TABLE, metg, one_thread, share_of_peak
from caffe2op import core, workspace
from caffe2op.asyncnet import AsyncNet
from graphs import Graph
from native_tasks import PEERS, Net, Peer, in_turns, operators, own, settle
from paired import Bench, Claim, Code, loop, seconds

GRID = 100  # operators on a side of Caffe2's grid


@functools.cache
def registered() -> None:
    """The operator types BenchSpin, of the turns in its input, and BenchNothing."""
    library = operators()
    core.register_operator(
        "BenchSpin", own.addressof(library, "bench_spin"),
        inputs=["int64"], outputs=[("int64", ())],
    )  # fmt: skip
    core.register_operator(
        "BenchNothing", own.addressof(library, "bench_nothing"),
        inputs=[], outputs=[("int64", ())],
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _workspace() -> Iterator[None]:
    workspace.ResetWorkspace()
    yield
    workspace.ResetWorkspace()


def spin_net(graph: Graph, grain_ns: float = 0) -> core.Net:
    """A BenchSpin for each task, after those before it."""
    registered()
    workspace.FeedBlob("turns", in_turns(np.ones(1), grain_ns)[0])
    net = core.Net(graph.name)
    for v, found in enumerate(graph.before):
        net.BenchSpin(["turns"], [f"y{v}"], control_input=[f"y{u}" for u in found])
    return net


def nothing_net(graph: Graph) -> core.Net:
    """A BenchNothing for each task, after those before it."""
    registered()
    net = core.Net(graph.name)
    for v, found in enumerate(graph.before):
        net.BenchNothing([], [f"y{v}"], control_input=[f"y{u}" for u in found])
    return net


def grid() -> Graph:
    return graphs.stencil(GRID * GRID, GRID)


# ---- ten operators -----------------------------------------------------------------------------

IDLE = 500e-6
TINY = "Ten native operators, call to result, us"


def after_idle(run: Code, times: int) -> Code:
    """Code that gives the seconds of so many runs, each after a pause."""
    clock, sleep = time.perf_counter, time.sleep

    def code() -> float:
        took = 0.0
        for _ in range(times):
            sleep(IDLE)
            began = clock()
            run()
            took += clock() - began
        return took

    return code


@contextmanager
def tiny(row: str) -> Iterator[Code]:
    graph = graphs.tiny10()
    if row.startswith("caffe2op"):
        with AsyncNet(nothing_net(graph), workers=2) as net:
            run = net.run if row.endswith("run") else lambda: net.submit().result()
            for _ in range(100):
                run()
            yield run
    else:
        with python_tasks.RUNNERS[row](graph, lambda *before: None, 2) as run:
            yield run


OURS_TINY = ("caffe2op, run", "caffe2op, submit and result")
PYTHON_TINY = [row for row in python_tasks.RUNNERS if row != "caffe2op"]
COLUMNS = {"back to back": 0.5, "after 500 us idle": 1.0}


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("row", [*OURS_TINY, *PYTHON_TINY])
def test_ten_operators(bench: Bench, row: str, column: str) -> None:
    name = f"Ten native operators, call to result, {column}"
    claim = Claim(name, COLUMNS[column], "us") if row == OURS_TINY[0] else None
    what = f"{row} (Python functions)" if row in PYTHON_TINY else row
    with tiny(row) as run:
        if column == "back to back":
            wanted = bench.size(20_000, 50) * 1e-6 / max(seconds(run), 1e-6)
            n = max(3, round(wanted))
            code = loop("run()", {"run": run}, n)
        else:
            n = max(3, min(bench.size(20), round(0.05 / seconds(run))))
            code = after_idle(run, n)
        few = min(bench.rounds, max(3, int(2 / seconds(code))))
        bench.row(TINY, what, column, code, per=n, unit="us", claim=claim, rounds=few)


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("row", PEERS)
def test_ten_operators_in_c(bench: Bench, row: str, column: str) -> None:
    graph = graphs.tiny10()
    idle = 0 if column == "back to back" else round(IDLE * 1e9)
    n = bench.size(20 if idle else 1000, 3)
    with Peer(row, 2, graph, np.zeros(graph.n, dtype=np.int64)) as peer:
        bench.row(
            TINY, f"{row} (from C++)", column, lambda: peer.run(n, idle), per=n, unit="us",
            teardown=settle,
        )  # fmt: skip


# ---- Python functions --------------------------------------------------------------------------

PYTHON_SHAPES = {"independent": 1024, "chain": 1024, "stencil16": 1024, "tree": 1024}
ROWS = [
    (row, workers)
    for row in python_tasks.RUNNERS
    for workers in python_tasks.WORKERS.get(row, (1, 2))
]


@pytest.mark.parametrize("shape", PYTHON_SHAPES)
@pytest.mark.parametrize(("row", "workers"), ROWS)
def test_python_functions(bench: Bench, row: str, workers: int, shape: str) -> None:
    graph = graphs.SHAPES[shape](bench.size(PYTHON_SHAPES[shape], 32))
    single = row in python_tasks.WORKERS
    claimed = row == "caffe2op" and workers == 1
    with python_tasks.RUNNERS[row](graph, lambda *before: None, workers) as run:
        run()
        bench.row(
            "Empty Python functions, us per task",
            row if single else f"{row}, {workers} worker{'s'[: workers - 1]}",
            shape,
            run,
            per=graph.n,
            unit="us",
            claim=Claim("Python operators, a task, 1 worker", 0.4, "us") if claimed else None,
            rounds=min(bench.rounds, max(3, int(2 / seconds(run)))),
        )


def python_net(graph: Graph, reads: bool) -> core.Net:
    """A Python operator for each task, which makes a blob out of those of the tasks before it, or
    would."""

    def nothing(inputs: list[Any], outputs: list[Any]) -> None:
        pass

    def copy(inputs: list[Any], outputs: list[Any]) -> None:
        for view in inputs:
            outputs[0].data[...] = view.data

    net = core.Net(graph.name)
    for v, found in enumerate(graph.before):
        workspace.FeedBlob(f"y{v}", np.ones(1))
        net.Python(copy if reads else nothing)([f"y{u}" for u in found], [f"y{v}"])
    return net


@pytest.mark.parametrize("shape", PYTHON_SHAPES)
@pytest.mark.parametrize("reads", [False, True])
@pytest.mark.parametrize("workers", [1, 2])
def test_python_operators(bench: Bench, workers: int, reads: bool, shape: str) -> None:
    graph = graphs.SHAPES[shape](bench.size(PYTHON_SHAPES[shape], 32))
    what = "that copy each of their inputs" if reads else "that do nothing"
    with AsyncNet(python_net(graph, reads), workers=workers) as net:
        for _ in range(40):
            net.run()
        bench.row(
            "Python operators of a core.Net, us per task",
            f"caffe2op, {what}, {workers} worker{'s'[: workers - 1]}", shape, net.run,
            per=graph.n, unit="us",
            claim=Claim("Python operators of a core.Net, a task, 1 worker", 0.4, "us")
            if workers == 1 and not reads else None,
        )  # fmt: skip


# ---- nets of ten thousand operators ----------------------------------------------------------

GRID_TABLE = "Caffe2's grid, 100 x 100 empty operators"


def test_ready(bench: Bench) -> None:
    net = nothing_net(grid())

    def make() -> None:
        AsyncNet(net, workers=2)

    bench.row(
        GRID_TABLE, "caffe2op, core.Net to AsyncNet", "ms", make, unit="ms",
        claim=Claim("A core.Net of 10,000 operators to a ready AsyncNet", 50.0, "ms"),
        rounds=min(bench.rounds, 20),
    )  # fmt: skip


@pytest.mark.parametrize("row", ["simple net", "AsyncNet, 1 worker", "AsyncNet, 2 workers"])
def test_grid(bench: Bench, row: str) -> None:
    net = nothing_net(grid())
    if row == "simple net":
        workspace.CreateNet(net)
        run: Code = functools.partial(workspace.RunNet, net)
    else:
        run = AsyncNet(net, workers=int(row.split()[1])).run
        for _ in range(bench.size(40, 10)):
            run()
    claim = Claim("Caffe2's grid of 10,000 operators, an operator, 2 workers", 25.0, "ns")
    bench.row(
        GRID_TABLE, f"caffe2op, {row}", "ns per operator", run, per=GRID * GRID,
        claim=claim if row.endswith("2 workers") else None,
    )  # fmt: skip


# ---- runs in flight ------------------------------------------------------------------------------

FLIGHT, STEPS, STEP_NS = 8, 20, 50_000


def test_in_flight(bench: Bench) -> None:
    """A chain: one run can use one processor only, several can use all."""
    net = AsyncNet(spin_net(graphs.chain(STEPS), STEP_NS), workers=2)

    def one_at_a_time() -> None:
        for _ in range(FLIGHT):
            net.run()

    def in_flight() -> None:
        for future in [net.submit() for _ in range(FLIGHT)]:
            future.result()

    one_at_a_time()
    in_flight()
    limit = round(1 / 1.9, 3)
    bench.row(
        f"{FLIGHT} runs of a chain of {STEPS} operators of 50 us, 2 workers, ms",
        "caffe2op, submitted at once",
        "all runs",
        in_flight,
        unit="ms",
        reference=one_at_a_time,
        quotient="this / one at a time",
        claim=Claim(f"{FLIGHT} runs in flight / one at a time ({limit} is 1.9 x the throughput)",
                    limit),
        rounds=min(bench.rounds, 20),
    )  # fmt: skip
    net.close()


# ---- METG of the Python ways ---------------------------------------------------------------------


@contextmanager
def spinning(row: str, graph: Graph, turns: np.ndarray[Any, np.dtype[np.int64]]
             ) -> Iterator[Code]:  # fmt: skip
    """The graph with native bodies of so many turns, on 2 workers."""
    if row == "caffe2op, core.Net":
        net = spin_net(graph)
        workspace.FeedBlob("turns", turns[0])
        with AsyncNet(net, workers=2) as one:
            for _ in range(40):
                one.run()
            yield one.run
        return
    body = operators().bench_bodies  # called without the GIL
    data = own.from_buffer("int64_t[]", turns)
    with python_tasks.RUNNERS[row](graph, lambda *before: body(data, 1), 2) as run:
        run()
        yield run


METG_PYTHON = {
    "caffe2op, core.Net": 4.0,
    "caffe2op": 64.0,
    "graphlib + ThreadPoolExecutor": 250.0,
    "dask.threaded": 500.0,
}


@pytest.mark.parametrize("width", [4, 8])
@pytest.mark.parametrize("row", METG_PYTHON)
def test_metg(bench: Bench, row: str, width: int) -> None:
    many = 1000 if row.endswith("core.Net") else 25
    graph = graphs.stencil(width * bench.size(many, 5), width)

    def measure() -> list[dict[str, Any]]:
        def efficiency(grain_us: float) -> float:
            turns = in_turns(graphs.even(graph.n), grain_us * 1000)
            with spinning(row, graph, turns) as run:
                work = functools.partial(one_thread, Net(graph, turns), turns)
                few = max(5, int(0.5 / (work() + seconds(run))))
                return share_of_peak(work, run, min(bench.rounds, few))

        what = f"{row}, Python functions" if row == "caffe2op" else row
        value = metg(efficiency, METG_PYTHON[row])
        return [{"row": what, "column": f"width {width}", "unit": "us", "value": value}]

    bench.program(METG_TABLE, measure)
