"""Observers, statistics and traces of nets that RunNet runs, by Caffe2's names."""

from __future__ import annotations

import json
import pathlib
import threading
import time

import numpy as np
import pytest

from caffe2op import core, workspace
from caffe2op.asyncnet import AsyncNet, Event, Observer, TimeObserver
from caffe2op.core import Argument

TYPES = ["simple", "dag", "async_scheduling", "prof_dag"]


def napping(type_: str, tracing: object = None, milliseconds: float = 2) -> core.Net:
    """Two Python operators that sleep, and a native one."""
    workspace.FeedBlob("x", np.ones(3, np.float32))
    net = core.Net("napping")
    net.Proto().type = type_
    if tracing is not None:
        net.Proto().arg.append(Argument("enable_tracing", i=tracing))
    for k in range(2):
        net.Python(lambda i, o: time.sleep(1e-3 * milliseconds))([], [f"nap{k}"], name=f"nap {k}")
    net.Relu("x", "y")
    workspace.CreateNet(net)
    return net


@pytest.mark.parametrize("type_", TYPES)
def test_time_observer(type_: str) -> None:
    net = napping(type_)
    assert net.NumObservers() == 0
    workspace.RunNet(net)
    times = net.AddObserver("TimeObserver")
    assert isinstance(times, TimeObserver)
    assert net.NumObservers() == 1
    assert times.average_time() == times.average_time_children() == 0  # that run was before
    assert workspace.RunNet(net)
    assert workspace.RunNet(net.Name(), num_iter=3)
    assert times.average_time() >= 2
    assert times.average_time_children() >= 4 / 3  # of three operators, one takes nothing
    net.RemoveObserver(times)
    assert net.NumObservers() == 0
    before = times.average_time()
    workspace.RunNet(net)
    assert times.average_time() == before
    assert workspace.RunNet(net, num_iter=2)


@pytest.mark.parametrize("type_", TYPES)
def test_observers_of_ones_own_see_each_run_and_operator_once(type_: str) -> None:
    seen: list[str] = []

    class Noting(Observer):
        def operator_ended(self, operator: object, event: Event) -> None:
            seen.append(operator.label)  # type: ignore[attr-defined]

        def run_ended(self, seconds: float) -> None:
            seen.append("run")

    net = napping(type_, milliseconds=0.1)
    one, two = net.AddObserver(Noting()), net.AddObserver("TimeObserver")
    assert net.NumObservers() == 2
    for _ in range(5):
        seen.clear()
        workspace.RunNet(net)
        assert sorted(seen) == ["nap 0", "nap 1", "run", "y"]
        assert seen[-1] == "run"
    net.RemoveObserver(one)
    workspace.RunNet(net)
    assert len(seen) == 4
    assert net.NumObservers() == 1
    assert two.average_time() > 0


def test_observed_runs_fail_as_others_do() -> None:
    answer: list[object] = [False]
    net = core.Net("fails")
    net.Python(lambda i, o: answer[0])([], ["x"])
    workspace.CreateNet(net)
    times = net.AddObserver("TimeObserver")
    assert workspace.RunNet(net, allow_fail=True) is False
    with pytest.raises(RuntimeError, match="reported failure"):
        workspace.RunNet(net)
    assert times.average_time() == 0
    answer[0] = True
    assert workspace.RunNet(net)
    assert times.average_time() > 0


def test_wrong_observers() -> None:
    net = core.Net("later")
    with pytest.raises(KeyError, match=r"no net 'later.*CreateNet makes one"):
        net.AddObserver("TimeObserver")
    with pytest.raises(KeyError, match="no net"):
        net.NumObservers()
    net = napping("dag")
    with pytest.raises(
        ValueError, match=r"no observer 'TimeObserve'; .*did you mean 'TimeObserver'"
    ):
        net.AddObserver("TimeObserve")
    with pytest.raises(TypeError, match="a name or an Observer, got 7"):
        net.AddObserver(7)
    with pytest.raises(ValueError, match="does not observe"):
        net.RemoveObserver(TimeObserver())
    assert net.NumObservers() == 0
    workspace.CreateNet(net, overwrite=True)
    net.AddObserver("TimeObserver")
    workspace.CreateNet(net, overwrite=True)
    assert net.NumObservers() == 0


def test_not_during_a_run() -> None:
    gate, begun = threading.Event(), threading.Event()

    def wait(inputs, outputs):
        begun.set()
        assert gate.wait(20)

    net = core.Net("busy")
    net.Proto().type = "dag"
    net.Python(wait)([], ["a"])
    workspace.CreateNet(net)
    gate.set()
    times = net.AddObserver("TimeObserver")
    workspace.RunNet(net)
    gate.clear()
    begun.clear()
    thread = threading.Thread(target=workspace.RunNet, args=(net,))
    thread.start()
    assert begun.wait(20)
    try:
        with pytest.raises(RuntimeError, match="is running"):
            net.AddObserver("TimeObserver")
        assert net.NumObservers() == 1
    finally:
        gate.set()
        thread.join()
    assert times.average_time() > 0


def test_prof_dag_keeps_statistics() -> None:
    net = napping("prof_dag")
    workspace.RunNet(net, num_iter=4)
    found = workspace.NetProfile(net)
    assert [(row.name, row.type, row.count) for row in found.operators] == [
        ("nap 0", "Python", 4),
        ("nap 1", "Python", 4),
        ("y", "Relu", 4),
    ]
    assert [(row.name, row.count) for row in found.types] == [("Python", 8), ("Relu", 4)]
    assert found.types[0].mean_ns >= 2e6
    assert found.types[0].deviation_ns >= 0
    assert found.runs == 4
    assert len(found.critical_path) == 1
    assert "Relu" in str(found)
    workspace.RunNet(net.Name())
    assert workspace.NetProfile(net.Name()).operators[0].count == 5
    with pytest.raises(RuntimeError, match="give it the type 'prof_dag'"):
        workspace.NetProfile(napping("dag"))
    with pytest.raises(KeyError, match="no net"):
        workspace.NetProfile("napping_that_is_not_there")


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("value", [1, True])
def test_enable_tracing(type_: str, value: object, tmp_path: pathlib.Path) -> None:
    net = napping(type_, tracing=value)
    workspace.RunNet(net, num_iter=3)
    workspace.NetTrace(net).save(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    bars = [e for e in events if e["ph"] == "X"]
    assert sorted(e["name"] for e in bars) == ["nap 0"] * 3 + ["nap 1"] * 3 + ["y"] * 3
    assert all(e["dur"] >= 2000 for e in bars if e["cat"] == "Python")  # us


def test_tracing_that_was_not_asked_for() -> None:
    for tracing in (None, 0):
        net = napping("dag", tracing=tracing)
        net.AddObserver("TimeObserver")  # keeps events, but of one run only
        workspace.RunNet(net)
        with pytest.raises(RuntimeError, match="give it the argument enable_tracing=1"):
            workspace.NetTrace(net)


@pytest.mark.parametrize("value", [2, -1])
def test_wrong_tracing(value: int) -> None:
    with pytest.raises(ValueError, match=f"enable_tracing must be 0 or 1, got {value}"):
        napping("dag", tracing=value)
    proto = core.NetDef("text", arg=[Argument("enable_tracing", s="yes")])
    with pytest.raises(ValueError, match="enable_tracing must be 0 or 1, got 'yes'"):
        workspace.CreateNet(proto)
    with pytest.raises(ValueError, match="enable_tracing must be 0 or 1, got 'yes'"):
        AsyncNet(proto)


def test_async_net_reads_them_too() -> None:
    made = AsyncNet(napping("prof_dag", tracing=1))
    made.run()
    assert [row.count for row in made.profile().operators] == [1, 1, 1]
    assert len(made.trace().events) == 3


def test_many_threads_run_an_observed_net() -> None:
    net = napping("prof_dag", tracing=1, milliseconds=0.1)
    times = net.AddObserver("TimeObserver")
    threads = [
        threading.Thread(target=workspace.RunNet, args=(net,), kwargs={"num_iter": 5})
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [row.count for row in workspace.NetProfile(net).operators] == [20] * 3
    assert len(workspace.NetTrace(net).events) == 60
    assert times.average_time() > 0
