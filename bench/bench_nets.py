"""Nets and plans: what running native operators costs, from Python and in a plan's loop.

The peers are Python programs that do the same work with a lock and a NumPy scalar. Caffe2 itself
is not installable beside this package; what its wheel took on a machine of this class is in
bench/README.md.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from caffe2op import core, workspace
from caffe2op.atomics import AtomicArray
from paired import Bench, Claim, Code, loop

WORKERS, ITERATIONS = 100, 200
COUNT = WORKERS * ITERATIONS


def scalar(value: int) -> np.ndarray[Any, np.dtype[np.int32]]:
    return np.array(value, dtype=np.int32)


def fetch_add_net(form: str, operators: int) -> core.Net:
    """A net of AtomicFetchAdds on one scalar, with the mutex or lock-free."""
    setup = core.Net(f"setup {form}")
    mutex = setup.CreateMutex([], "mutex")
    workspace.RunNetOnce(setup)
    workspace.FeedBlob("total", scalar(0))
    workspace.FeedBlob("one", scalar(1))
    net = core.Net(f"fetch-add {form}")
    for _ in range(operators):
        inputs = [mutex, "total", "one"] if form == "with the mutex" else ["total", "one"]
        net.AtomicFetchAdd(inputs, ["total", "before"])
    return net


@pytest.fixture(autouse=True)
def _workspace() -> None:
    workspace.ResetWorkspace()


def python_add() -> Code:
    total, one, lock = scalar(0), scalar(1), threading.Lock()

    def add() -> None:
        with lock:
            np.add(total, one, out=total)

    return add


@pytest.mark.parametrize("row", ["caffe2op", "Python function: lock, np.add"])
def test_run_net(bench: Bench, row: str) -> None:
    n = bench.size(5_000, least=50)
    net = fetch_add_net("lock-free", 1)
    workspace.CreateNet(net)
    ours = loop("run(net)", {"run": workspace.RunNet, "net": net}, n)
    theirs = loop("add()", {"add": python_add()}, n)
    bench.row(
        "One operator, us per RunNet from Python",
        row,
        "RunNet",
        ours if row == "caffe2op" else theirs,
        per=n,
        unit="us",
        reference=None if row == "caffe2op" else ours,
        claim=Claim("RunNet of one native operator", 1.0, "us") if row == "caffe2op" else None,
    )


@pytest.mark.parametrize("operators", [1, 10])
@pytest.mark.parametrize(("form", "limit"), [("with the mutex", 40.0), ("lock-free", 20.0)])
def test_plan_loop(bench: Bench, form: str, limit: float, operators: int) -> None:
    iterations = bench.size(20_000, least=100)
    net = fetch_add_net(form, operators)
    plan = core.Plan("loop")
    plan.AddStep(core.execution_step("loop", net, num_iter=iterations))
    bench.row(
        "AtomicFetchAdd in a plan loop, ns per operator",
        f"caffe2op, {form}",
        f"{operators} in the net",
        lambda: workspace.RunPlan(plan),
        per=iterations * operators,
        claim=Claim(f"AtomicFetchAdd in a plan loop, {form}", limit, "ns"),
    )
    assert int(workspace.FetchBlob("total")) % (iterations * operators) == 0


def scenario_plan(with_mutex: bool) -> core.Plan:
    """100 workers take numbers from a countdown and add them up, 200 numbers each."""
    setup = core.Net("setup")
    mutexes = [setup.CreateMutex([], f"mutex {k}") for k in range(2)]
    int32 = {"shape": [], "dtype": core.DataType.INT32}
    countdown = setup.ConstantFill([], "countdown", value=COUNT, **int32)
    checksum = setup.ConstantFill([], "checksum", value=0, **int32)
    minus_one = setup.ConstantFill([], "minus one", value=-1, **int32)
    steps = []
    for worker in range(WORKERS):
        net = core.Net(f"worker {worker}")
        first, second = [[m] for m in mutexes] if with_mutex else ([], [])
        taken = f"taken {worker}"
        net.AtomicFetchAdd([*first, countdown, minus_one], [countdown, taken])
        net.AtomicFetchAdd([*second, checksum, taken], [checksum, f"unused {worker}"])
        steps.append(core.execution_step(f"worker {worker}", net, num_iter=ITERATIONS))
    plan = core.Plan("scenario")
    plan.AddStep(core.execution_step("setup", setup))
    plan.AddStep(core.execution_step("workers", steps, concurrent_substeps=True))
    return plan


def python_threads(workers: int) -> Code:
    """The same with Python threads, as many as given, and a lock for each of the two."""

    def run() -> None:
        countdown, checksum = COUNT, 0
        first, second = threading.Lock(), threading.Lock()

        def work() -> None:
            nonlocal countdown, checksum
            for _ in range(COUNT // workers):
                with first:
                    taken = countdown
                    countdown -= 1
                with second:
                    checksum += taken

        threads = [threading.Thread(target=work) for _ in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert checksum == COUNT * (COUNT + 1) // 2

    return run


def python_cells(workers: int) -> Code:
    """The same with Python threads on this package's cells, without a lock."""

    def run() -> None:
        view = AtomicArray(np.array([COUNT, 0], dtype=np.int64))
        countdown, checksum = view.cell(0), view.cell(1)

        def work() -> None:
            for _ in range(COUNT // workers):
                checksum.fetch_add(countdown.fetch_add(-1))

        threads = [threading.Thread(target=work) for _ in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert checksum.load() == COUNT * (COUNT + 1) // 2

    return run


SCENARIOS = {
    "caffe2op plan, with mutexes": None,
    "caffe2op plan, lock-free": None,
    "100 Python threads, caffe2op cells": python_cells(WORKERS),
    "100 Python threads, threading.Lock": python_threads(WORKERS),
    "2 Python threads, threading.Lock": python_threads(2),
}


@pytest.mark.parametrize("row", SCENARIOS)
def test_scenario(bench: Bench, row: str) -> None:
    ours = scenario_plan(with_mutex=row != "caffe2op plan, lock-free")
    code = SCENARIOS[row]

    def run_plan() -> None:
        workspace.RunPlan(ours)

    bench.row(
        "Caffe2's atomics scenario: 100 concurrent steps x 200 iterations x 2 fetch-adds, ms",
        row,
        "whole run",
        code or run_plan,
        unit="ms",
        reference=run_plan if code else None,
        claim=Claim("Caffe2's atomics scenario", 2.0, "ms") if row.endswith("mutexes") else None,
    )
    assert int(workspace.FetchBlob("checksum")) == COUNT * (COUNT + 1) // 2
