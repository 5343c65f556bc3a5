"""Python operators: what they return and raise, nested runs, signals."""

import gc
import signal
import sys
import threading
import time

import numpy as np
import pytest

from caffe2op import core, workspace
from together import together


def run(function, inputs=(), outputs=()) -> None:
    net = core.Net("python")
    net.Python(function)(list(inputs), list(outputs))
    workspace.RunNetOnce(net)


@pytest.mark.parametrize("result", [None, True, 0, [], np.array([0]), np.True_])
def test_what_counts_as_success(result) -> None:
    run(lambda i, o: result)


@pytest.mark.parametrize("result", [False, np.False_])
def test_what_counts_as_failure(result) -> None:
    with pytest.raises(RuntimeError, match="operator 0: Python: reported failure"):
        run(lambda i, o: result)


def test_exceptions_are_raised_as_they_are_with_a_note() -> None:
    class Mine(Exception):
        pass

    workspace.FeedBlob("x", np.zeros((2, 3), np.float32))
    workspace.RunOperatorOnce(core.CreateOperator("CreateMutex", [], ["m"]))
    thrown = Mine("mine")

    def bad(inputs, outputs):
        raise thrown

    net = core.Net("noted")
    net.Copy("x", "y")
    net.Python(bad)(["x", "m"], ["z"], name="thrower")
    with pytest.raises(Mine) as caught:
        workspace.RunNetOnce(net)
    assert caught.value is thrown
    assert caught.value.__notes__ == [
        f"raised in net '{net}', operator 1: Python 'thrower'; inputs: x float32 (2, 3), m (mutex)"
    ]
    assert any(entry.name == "bad" for entry in caught.traceback)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration])
def test_exceptions_that_are_no_errors_are_raised_too(kind) -> None:
    def bad(inputs, outputs):
        raise kind

    with pytest.raises(kind):
        run(bad)
    workspace.FeedBlob("x", 1)
    run(lambda i, o: None)  # nothing is left over for the next run


def test_an_operator_may_run_nets_itself() -> None:
    inner = core.Net("inner")
    workspace.FeedBlob("x", np.zeros(1))
    workspace.FeedBlob("one", np.ones(1))
    inner.Add(["x", "one"], "x")
    workspace.CreateNet(inner)

    def nested(inputs, outputs):
        assert workspace.RunNet(inner, num_iter=2)
        workspace.RunPlan(core.execution_step("s", inner, num_iter=3))

    run(nested)
    assert workspace.FetchBlob("x") == 5


def test_failures_of_a_nested_run_belong_to_its_caller() -> None:
    inner = core.Net("inner")
    inner.Python(lambda i, o: [][0])([], [])
    workspace.CreateNet(inner)
    caught = []

    def nested(inputs, outputs):
        try:
            workspace.RunNet(inner)
        except IndexError as error:
            caught.append(error)

    run(nested)
    assert len(caught) == 1

    def passes_on(inputs, outputs):
        workspace.RunNet(inner)

    with pytest.raises(IndexError) as error:
        run(passes_on)
    assert len(error.value.__notes__) == 2  # the inner net, then the outer


def test_runs_on_several_threads_raise_their_own_exceptions() -> None:
    barrier = threading.Barrier(4)
    results = {}

    def bad(inputs, outputs):
        barrier.wait()
        raise ValueError(threading.get_ident())

    net = core.Net("shared")
    net.Python(bad)([], [])
    workspace.CreateNet(net)

    def call() -> None:
        try:
            workspace.RunNet(net)
        except ValueError as error:
            results[threading.get_ident()] = error.args[0]

    together(*[call] * 4)
    assert len(results) == 4
    assert all(key == value for key, value in results.items())


def test_no_signal_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a handler raises in the end of a view, where Python can only warn of it, was lost: one
    Ctrl-C in some dozens, in a loop over short runs."""

    class Rung(Exception):
        pass

    def ring(*_: object) -> None:
        raise Rung

    lost: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda raised: lost.append(str(raised)))
    mine = np.zeros(3, np.float32)
    workspace.FeedBlob("x", mine)
    workspace.ShareBlob("mine", mine)
    net = core.Net("net")
    net.Python(lambda i, o: o[0].feed(i[0].data + i[1].data))(["x", "mine"], ["y"])
    workspace.CreateNet(net)

    def run_until_rung(seconds: float) -> None:
        until = time.monotonic() + 20
        signal.setitimer(signal.ITIMER_REAL, seconds)
        while time.monotonic() < until and not lost:
            workspace.RunNet(net)
        assert not lost

    gc.collect()
    gc.disable()  # finalizers of what other tests have left would lose it just so
    before = signal.signal(signal.SIGALRM, ring)
    try:
        for k in range(300):
            with pytest.raises(Rung):
                run_until_rung(1e-4 + k * 1e-6)
            assert not lost
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        gc.enable()
