"""Batches of Python operators: how often the GIL is taken, and what still acts within one."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import wait as wait_for_all
from itertools import pairwise

import numpy as np
import pytest

from caffe2op import core, workspace
from caffe2op._core import lib
from caffe2op.asyncnet import AsyncNet
from caffe2op.asyncnet.instance import MODES

from .graphs import until


def entered(run: Callable[[], object]) -> int:
    """How often the GIL was taken for Python operators during this."""
    before = lib.c2_python_entered()
    run()
    return int(lib.c2_python_entered() - before)


def chain(kinds: str, data: bool = True) -> core.Net:
    """A net of operators of these kinds, p for Python and n for native: each reads what the one
    before it wrote, or all read x."""
    workspace.FeedBlob("x", np.zeros(1, np.float32))
    net = core.Net("batches")
    blob = "x"
    for k, kind in enumerate(kinds):
        if kind == "p":
            net.Python(lambda i, o: o[0].feed(i[0].data))([blob], [f"b{k}"])
        else:
            net.Relu(blob, f"b{k}")
        if data:
            blob = f"b{k}"
    return net


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("kinds", "count"), [("p" * 50, 1), ("n" * 50, 0), ("pppnnpn" * 5, 10), ("pn" * 20, 20)]
)
def test_one_for_all_that_follow_each_other(mode: str, kinds: str, count: int) -> None:
    made = AsyncNet(chain(kinds), workers=1, mode=mode)
    for _ in range(4):  # the timed runs are among them
        assert entered(made.run) == count


def test_ready_ones_go_together() -> None:
    made = AsyncNet(chain("pn" * 20, data=False), workers=1, mode="dynamic")
    made.run()
    assert entered(made.run) == 1


def test_simple_nets_and_plans() -> None:
    net = chain("pppnnpp")
    workspace.CreateNet(net)
    assert entered(lambda: workspace.RunNet(net)) == 2
    assert entered(lambda: workspace.RunPlan(core.execution_step("s", net, num_iter=3))) == 6


def test_functions_of_two_workers_that_need_each_other() -> None:
    """On two devices, each function needs one of the other: whoever kept the GIL over its wait
    would wait for ever."""
    n = 300
    names = [f"f{k}" for k in range(n)]
    made = AsyncNet.from_functions(
        {name: (lambda *given: sum(given) + 1) for name in names},
        [(names[k], names[k + 1]) for k in range(n - 1)],
        devices={"a": 1, "b": 1},
        device_of={name: "ab"[k % 2] for k, name in enumerate(names)},
    )
    results = []
    counts = [entered(lambda: results.append(made.run()[names[-1]])) for _ in range(3)]
    assert results == [n] * 3
    assert counts == [n] * 3


def test_functions_that_release_the_gil_run_at_the_same_time() -> None:
    """Two that meet: each waits for the other, without the GIL."""
    meeting = threading.Barrier(2)
    functions = {"a": lambda: meeting.wait(20), "b": lambda: meeting.wait(20)}
    made = AsyncNet.from_functions(functions, workers=2, mode="dynamic")
    assert sorted(dict(made.run()).values()) == [0, 1]


def test_native_operators_run_beside_a_batch() -> None:
    """Python operators that end only when the native one beside them has run."""
    workspace.FeedBlob("x", np.full(4, 2, np.float32))
    net = core.Net("beside")

    def look(inputs, outputs):
        until(lambda: bool(np.all(workspace.FetchBlob("y") == 2)))

    workspace.FeedBlob("y", np.zeros(4, np.float32))
    for k in range(3):
        net.Python(look)([], [f"seen{k}"])
    net.Relu("x", "y")
    made = AsyncNet(net, workers=2, mode="dynamic")
    for _ in range(5):
        workspace.FeedBlob("y", np.zeros(4, np.float32))
        made.run()


@pytest.mark.parametrize("mode", ["serial", "dynamic"])
def test_other_threads_get_the_gil_during_a_batch(mode: str) -> None:
    """The interpreter asks for it after its switch interval, at an operator's first bytecode."""
    seen = 0
    over = False

    def count() -> None:
        nonlocal seen
        while not over:
            seen += 1

    before: list[int] = []

    def work() -> None:
        before.append(seen)

    made = AsyncNet.from_functions({f"f{k}": work for k in range(20_000)}, workers=1, mode=mode)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    other = threading.Thread(target=count)
    try:
        assert entered(made.run) == 1  # also the warm-up
        other.start()
        until(lambda: seen > 0)

        def counted_on_during_a_batch() -> bool:
            before.clear()
            assert entered(made.run) == 1
            return len(set(before)) > 1

        until(counted_on_during_a_batch)
    finally:
        over = True
        sys.setswitchinterval(interval)
        if other.ident:
            other.join()


@pytest.mark.parametrize("mode", MODES)
def test_an_error_ends_a_batch_with_its_traceback(mode: str) -> None:
    ran = []

    def good(*given: object) -> None:
        ran.append(1)

    def bad(*given: object) -> None:
        raise KeyError("bad one")

    names = [f"f{k}" for k in range(20)]
    functions = {name: bad if name == "f7" else good for name in names}
    made = AsyncNet.from_functions(functions, list(pairwise(names)), workers=2, mode=mode)
    for _ in range(4):
        ran.clear()
        with pytest.raises(KeyError, match="bad one") as caught:
            made.run()
        assert len(ran) == 7
        assert "operator 7: Python 'f7'" in caught.value.__notes__[0]
        assert "in bad" in "".join(traceback.format_exception(caught.value))
    assert entered(lambda: None) == 0
    assert AsyncNet.from_functions({"again": good}).run()["again"] is None  # the GIL is free


@pytest.mark.parametrize("mode", ["serial", "static", "dynamic"])
def test_deadline_and_cancel_act_between_operators(mode: str) -> None:
    ran = []
    begun = threading.Event()

    def step(*given: object) -> None:
        ran.append(1)
        begun.set()
        end = time.monotonic() + 2e-4
        while time.monotonic() < end:
            pass

    n = 20_000  # four seconds
    names = [f"f{k}" for k in range(n)]
    with AsyncNet.from_functions(
        dict.fromkeys(names, step), list(pairwise(names)), workers=1, mode=mode
    ) as made:
        with pytest.raises(TimeoutError):
            made.run(timeout=0.05)
        assert 0 < len(ran) < n
        ran.clear()
        begun.clear()
        future = made.submit()
        assert begun.wait(20)
        assert future.cancel()
        wait_for_all([future], 60)
    assert 0 < len(ran) < n


def test_ctrl_c_within_a_batch() -> None:
    ran = []

    def step(*given: object) -> None:
        ran.append(1)
        if len(ran) == 100:
            _thread.interrupt_main(signal.SIGINT)

    made = AsyncNet.from_functions({f"f{k}": step for k in range(50_000)}, workers=1)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored
    try:
        with pytest.raises(KeyboardInterrupt):
            made.run()
    finally:
        signal.signal(signal.SIGINT, before)
    assert 100 <= len(ran) < 50_000


def test_a_nested_run_in_a_batch_has_its_own() -> None:
    inner = AsyncNet.from_functions({f"g{k}": (lambda: 1) for k in range(5)}, workers=1)
    names = [f"f{k}" for k in range(6)]
    made = AsyncNet.from_functions(
        {name: (lambda *given: sum(inner.run().values())) for name in names},
        list(pairwise(names)),
        workers=1,
    )
    # An inner run gives the GIL up and takes it for its batch: the outer one is still inside.
    assert entered(lambda: made.run()) == 1 + 6
    assert made.outputs["f5"] == 5
