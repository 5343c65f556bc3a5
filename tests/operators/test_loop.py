"""loop.py and csrc/kernels_loop.c: While, whose twin is a loop in Python over RunNet."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffe2op import core, workspace
from caffe2op.asyncnet import AsyncNet
from caffe2op.core.defs import Argument, NetDef, OperatorDef

BOOL = core.DataType.BOOL


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    feed()
    yield
    workspace.ResetWorkspace()


def feed(limit: int = 10) -> None:
    workspace.ResetWorkspace()
    for name, value in {"total": 0, "one": 1, "limit": limit, "seen": 0}.items():
        workspace.FeedBlob(name, np.array(value, np.int64))
    workspace.FeedBlob("more", np.array(True))


def body(condition: str | None = None) -> core.Net:
    """Adds to total, and to seen what total was."""
    net = core.Net("body")
    net.AtomicFetchAdd64(["total", "one"], ["total", "before"])
    net.AtomicFetchAdd64(["seen", "before"], ["seen", "unused"])
    if condition is not None:
        net.LT(["total", "limit"], condition)
    return net


def below(condition: str) -> core.Net:
    net = core.Net("below")
    net.LT(["total", "limit"], condition)
    return net


def loop(condition: str = "more", outputs: Any = (), **args: Any) -> core.Net:
    net = core.Net("loop")
    net.While(condition, list(outputs), name="again", **args)
    return net


def slowly(loop_net: core.Net, cond_net: core.Net | None, condition: str) -> None:
    """The twin."""
    for net in (loop_net, cond_net):
        if net is not None:
            workspace.CreateNet(net, overwrite=True)

    def look() -> bool:
        if cond_net is not None:
            workspace.RunNet(cond_net)
        return bool(workspace.FetchBlob(condition))

    while look():
        workspace.RunNet(loop_net)


@given(st.integers(-1, 30), st.booleans(), st.booleans())
def test_it_does_what_a_loop_does(limit: int, with_test: bool, begins: bool) -> None:
    nets = (body(), below("go")) if with_test else (body("more"), None)
    condition = "go" if with_test else "more"
    results = []
    for way in ("while", "slowly", "async"):
        feed(limit)
        workspace.FeedBlob("more", np.array(begins))
        if way == "slowly":
            slowly(*nets, condition)
        else:
            net = loop(condition, loop_net=nets[0], cond_net=nets[1])
            net.Proto().type = "dag" if way == "async" else "simple"
            workspace.RunNetOnce(net)
        names = ("total", "seen", condition)
        results.append([workspace.FetchBlob(name).tolist() for name in names])
    assert results[0] == results[1] == results[2]
    assert results[0][2] is False


def test_not_once_where_the_condition_is_false() -> None:
    workspace.FeedBlob("more", np.array([False]))
    workspace.RunNetOnce(loop(loop_net=body("more")))
    assert workspace.FetchBlob("total") == 0


def test_a_condition_of_the_test_need_not_be_there() -> None:
    net = loop("made", loop_net=body(), cond_net=below("made"))
    workspace.RunNetOnce(net)
    assert workspace.FetchBlob("total") == 10
    with pytest.raises(ValueError, match="input blob 'nobodys' is not in the workspace"):
        workspace.RunNetOnce(loop("nobodys", loop_net=body()))


def test_loops_in_loops() -> None:
    inner = loop("go", loop_net=body(), cond_net=below("go"))
    inner.Add(["limit", "one"], "limit")
    inner.LT(["limit", "most"], "more")
    workspace.FeedBlob("most", np.array(15, np.int64))
    workspace.RunNetOnce(loop(loop_net=inner))
    assert workspace.FetchBlob("limit") == 15
    assert workspace.FetchBlob("total") == 14


def test_in_a_plan_with_what_changes_later() -> None:
    """A kept plan is compiled again when an inner net has changed."""
    workspace.FeedBlob("two", np.array(2, np.int64))
    inner, plan = body("more"), core.Plan("plan")
    plan.AddStep(core.execution_step("step", loop(loop_net=inner)))
    workspace.RunPlan(plan)
    assert workspace.FetchBlob("total") == 10
    inner.Proto().op[0].input[1] = "two"
    inner.Proto().external_input.append("two")
    feed()
    workspace.FeedBlob("two", np.array(2, np.int64))
    workspace.RunPlan(plan)
    assert workspace.FetchBlob("seen") == 0 + 2 + 4 + 6 + 8
    workspace.FeedBlob("total", np.array(0, np.int64))
    workspace.FeedBlob("more", np.array(True))
    inner.Proto().op[0].input[1] = "one"
    workspace.RunPlan(plan)  # compiled again, in the workspace that has it
    assert workspace.FetchBlob("seen") == 20 + 45


def test_order_by_what_is_named() -> None:
    """The loop reads and writes seen by its own word, so what comes before and after it waits."""
    for _ in range(20):
        feed()
        net = core.Net("ordered")
        net.Proto().type = "dag"
        net.ConstantFill([], "seen", shape=[], value=100, dtype=core.DataType.INT64)
        net.While(["more", "seen"], ["seen"], loop_net=body("more"))
        net.Copy("seen", "result")
        net.Not("more", "ended")  # after the loop, which changes its condition
        with AsyncNet(net, workers=2, mode="dynamic") as made:
            made.run()
        assert workspace.FetchBlob("result") == 145
        assert workspace.FetchBlob("ended")


# ---- workers of an AsyncNet ---------------------------------------------------------------------


def crew(make: Callable[[int], tuple[core.Net, core.Net]], count: int) -> AsyncNet:
    """One loop a worker, each on a device of its own; the caller is worker 0."""
    net = core.Net("crew")
    for k in range(count):
        loop_net, cond_net = make(k)
        with core.DeviceScope(core.DeviceOption(node_name=f"worker:{k}")):
            net.While(f"go_{k}", [], loop_net=loop_net, cond_net=cond_net, name=f"worker_{k}")
    return AsyncNet(net, devices={f"worker:{k}": 1 if k else "caller" for k in range(count)})


def shared(k: int) -> tuple[core.Net, core.Net]:
    net = core.Net(f"batch_{k}")
    net.AtomicFetchAdd64(["total", "one"], ["total", f"before_{k}"])
    net.AtomicFetchAdd64(["seen", f"before_{k}"], ["seen", f"unused_{k}"])
    return net, below(f"go_{k}")


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_workers_share_what_they_do_not_name(workers: int) -> None:
    with crew(shared, workers) as net:
        for run in range(1, 4):
            workspace.FeedBlob("limit", np.array(1000 * run, np.int64))
            net.run()
            total = int(workspace.FetchBlob("total"))
            assert 1000 * run <= total < 1000 * run + workers
            assert workspace.FetchBlob("seen") == total * (total - 1) // 2  # each number once


def test_workers_run_at_the_same_time() -> None:
    """Each waits in each iteration for the other: on one thread they never would meet."""
    workspace.FeedBlob("word", np.zeros(1, np.int64))

    def meeting(k: int) -> tuple[core.Net, core.Net]:
        net, test = core.Net(f"meet_{k}"), core.Net(f"test_{k}")
        net.AtomicFetchAdd64([f"own_{k}", "one"], [f"own_{k}", f"before_{k}"])
        net.Rendezvous(["word"], [], parties=2, timeout=20.0)
        test.LT([f"own_{k}", "limit"], f"go_{k}")
        workspace.FeedBlob(f"own_{k}", np.array(0, np.int64))
        return net, test

    with crew(meeting, 2) as net:
        net.run()
    assert workspace.FetchBlob("word") == 10 << 32


def endless(fails: Callable[[list[Any], list[Any]], Any]) -> AsyncNet:
    """Three workers without an end, of which number 1 calls a function in each iteration."""

    def make(k: int) -> tuple[core.Net, core.Net]:
        net, test = core.Net(f"batch_{k}"), core.Net(f"test_{k}")
        net.AtomicFetchAdd64(["total", "one"], ["total", f"before_{k}"])
        if k == 1:
            net.Python(fails)(["total"], [], name="look")
        test.ConstantFill([], f"go_{k}", shape=[], value=True, dtype=BOOL)
        return net, test

    return crew(make, 3)


def test_what_a_worker_raises_stops_the_others() -> None:
    def fails(inputs: list[Any], outputs: list[Any]) -> None:
        if inputs[0].data > 5000:
            raise KeyError("that will do")

    with endless(fails) as net:
        for _ in range(3):
            with pytest.raises(KeyError, match="that will do") as raised:
                net.run()
            assert "operator 1: While 'worker_1', in its net 'batch_1" in raised.value.__notes__[0]
            assert "operator 1: Python 'look'; inputs: total int64" in raised.value.__notes__[0]
            before = workspace.FetchBlob("total")
            time.sleep(0.005)
            assert workspace.FetchBlob("total") == before  # all have ended


@pytest.mark.parametrize("how", ["ctrl-c", "timeout", "cancel"])
def test_endless_workers_end_from_outside(how: str, no_collections: None) -> None:
    there = threading.Event()

    def look(inputs: list[Any], outputs: list[Any]) -> None:
        if inputs[0].data > 5000 and not there.is_set():
            there.set()

    def press() -> None:
        assert there.wait(20)
        os.kill(os.getpid(), signal.SIGINT)

    with endless(look) as net:
        if how == "ctrl-c":
            thread = threading.Thread(target=press)
            thread.start()
            with pytest.raises(KeyboardInterrupt):
                net.run()
            thread.join()
        elif how == "timeout":
            with pytest.raises(TimeoutError, match="stopped at its deadline"):
                net.run(timeout=0.05)
        else:
            future = net.submit()
            assert there.wait(20)
            assert future.cancel()
            with pytest.raises(CancelledError):
                future.result()
        before = workspace.FetchBlob("total")
        time.sleep(0.005)
        assert workspace.FetchBlob("total") == before


def test_left_out_with_what_depends_on_it() -> None:
    """cancel(operator) leaves out operators of the outer net, whatever the inner ones' numbers."""
    there, on = threading.Event(), threading.Event()

    def first(inputs: list[Any], outputs: list[Any]) -> None:
        there.set()
        assert on.wait(20)
        outputs[0].feed(np.array(7))

    net = core.Net("parts")
    net.Python(first)([], ["start"])
    net.While(["more", "start"], ["start"], loop_net=body("more"), name="again")
    net.Copy("start", "after", name="last")
    with AsyncNet(net, outputs=["start", "after"]) as made:
        future = made.submit()
        assert there.wait(20)
        future.cancel("last")
        on.set()
        assert future.result() == {"start": 7}
    assert workspace.FetchBlob("total") == 10


# ---- what is wrong ------------------------------------------------------------------------------


def refused(net: core.Net | NetDef, error: type[Exception] = ValueError) -> str:
    before = workspace.Blobs()
    with pytest.raises(error) as raised:
        workspace.CreateNet(net)
    assert workspace.Blobs() == before
    return str(raised.value)


@pytest.mark.parametrize("value", [3, "body", [], [core.Net("n")], len])
def test_what_is_no_net(value: Any) -> None:
    assert "argument 'loop_net' must be a core.Net or a NetDef, got" in refused(
        loop(loop_net=value)
    )
    made = loop(loop_net=body("more"))
    made.Proto().op[0].arg[0].n = None
    assert "must be a core.Net or a NetDef, got None" in refused(made)
    made.Proto().op[0].arg = [Argument("loop_net", object=body("more").Proto())]
    assert "must be a core.Net or a NetDef" in refused(made)  # nets have a field of their own


def test_what_is_missing() -> None:
    assert "argument 'loop_net' (object) is missing" in refused(loop())
    assert "1 or more inputs (condition) accepted, got none" in refused(
        NetDef("none", [OperatorDef("While", arg=[Argument("loop_net", n=NetDef("n"))])])
    )


def test_what_is_wrong_inside() -> None:
    inner = core.Net("inner")
    inner.Relu("nothing", "made")
    where = r"net 'loop(_\d+)?', operator 0: operator While 'again': cond_net: net 'inner"
    with pytest.raises(ValueError, match=rf"^{where}.*operator 0: operator Relu: .*'nothing'"):
        workspace.CreateNet(loop(loop_net=body(), cond_net=inner))
    inner.Proto().op[0] = 5  # type: ignore[call-overload]
    assert "expected a core.OperatorDef" in refused(loop(loop_net=inner), TypeError)
    inner.Proto().op = []
    inner.Proto().type = "dagg"
    assert "loop_net: net 'inner" in refused(loop(loop_net=inner))
    assert not workspace.HasBlob("made")


def test_a_net_inside_itself() -> None:
    one, two = loop(loop_net=body("more")), loop(loop_net=body("more"))
    one.While("more", [], loop_net=two)
    two.While("more", [], loop_net=one)
    assert f"net {one.Name()!r} is inside itself" in refused(one)
    deep = body("more")
    for _ in range(16):
        deep = loop(loop_net=deep)
    workspace.RunNetOnce(deep)
    assert workspace.FetchBlob("total") == 10
    assert "lies in 17 others; at most 16 accepted" in refused(loop(loop_net=deep))


@pytest.mark.parametrize(
    ("condition", "error", "words"),
    [
        (np.array(1, np.int64), TypeError, "input 0 ('more'): int64 given, bool expected"),
        (np.array([True, True]), ValueError, "input 0 ('more'): 2 elements given"),
        ("a string", TypeError, "input 0 ('more'): a Python object given"),
    ],
)
def test_what_is_no_condition(condition: Any, error: type[Exception], words: str) -> None:
    workspace.FeedBlob("more", condition)
    with pytest.raises(error) as raised:
        workspace.RunNetOnce(loop(loop_net=body()))
    assert words in str(raised.value)
    assert "operator 0: While 'again'" in str(raised.value)
    assert workspace.FetchBlob("total") == 0


def test_a_failure_within_is_named() -> None:
    inner = core.Net("inner")
    inner.Python(lambda inputs, outputs: False)([], [], name="no")
    middle = loop(loop_net=inner)
    with pytest.raises(RuntimeError) as raised:
        workspace.RunNetOnce(loop(loop_net=middle))
    text = str(raised.value)
    assert text.count("While 'again', in its net") == 2
    assert text.endswith("operator 0: Python 'no': reported failure")
    workspace.CreateNet(made := loop(loop_net=middle))
    assert workspace.RunNet(made, allow_fail=True) is False


def test_it_has_no_gradient() -> None:
    net = core.Net("net")
    net.While(["more", "x"], ["x"], loop_net=body("more"))
    net.Relu("x", "y")
    with pytest.raises(ValueError, match="While"):
        net.AddGradientOperators(["y"])


def test_inner_nets_go_with_the_net() -> None:
    """By their last reference, not when somebody collects garbage."""

    class Marker:
        def __call__(self, inputs: list[Any], outputs: list[Any]) -> None:
            pass

    marker = Marker()
    gone = weakref.ref(marker)
    inner = core.Net("inner")
    inner.Python(marker)([], [])
    inner.ConstantFill([], "more", shape=[], value=False, dtype=BOOL)
    gc.disable()
    try:
        net = loop(loop_net=inner)
        workspace.CreateNet(net)
        workspace.RunNet(net)
        del net, inner, marker
        assert gone() is not None
        workspace.ResetWorkspace()
        assert gone() is None
    finally:
        gc.enable()
