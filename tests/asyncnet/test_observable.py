"""Profile, trace, pictures and observers."""

import json
import pathlib
import threading
import time
import xml.etree.ElementTree
from itertools import pairwise

import numpy as np
import pytest

from caffe2op import core, workspace
from caffe2op.asyncnet import AsyncNet, Event, Observer, TimeObserver
from caffe2op.asyncnet.draw import places
from caffe2op.asyncnet.instance import MODES
from caffe2op.workspace.profile import critical_path

from .graphs import random_net


def sleeper(mode: str = "dynamic", **more: object) -> AsyncNet:
    """a (20 ms) and b (4 ms) side by side, then c (2 ms)."""
    made = {"a": 0.02, "b": 0.004, "c": 0.002}
    return AsyncNet.from_functions(
        {name: (lambda *_, s=s: time.sleep(s)) for name, s in made.items()},
        order=[("a", "c"), ("b", "c")],
        workers=2,
        mode=mode,
        **more,
    )


@pytest.mark.parametrize("mode", MODES)
def test_profile(mode: str) -> None:
    net = sleeper(mode)
    net.run()
    net.enable_profile()
    for _ in range(3):
        net.run()
    found = net.profile()
    assert [row.count for row in found.operators] == [3, 3, 3]
    assert [row.name for row in found.operators] == ["a", "b", "c"]
    for row, least in zip(found.operators, (0.02, 0.004, 0.002), strict=True):
        assert row.mean_ns >= 1e9 * least
        assert row.deviation_ns >= 0
    # A busy machine can make b, which sleeps for 4 ms, take longer than a, which does for 20.
    longer = max((0, 1), key=lambda k: found.operators[k].mean_ns)
    assert found.critical_path == [longer, 2]
    assert found.critical_ns == pytest.approx(
        found.operators[longer].mean_ns + found.operators[2].mean_ns, rel=1e-6
    )
    assert found.serial_ns == pytest.approx(sum(r.mean_ns for r in found.operators), rel=1e-6)
    assert [(row.name, row.count) for row in found.types] == [("Python", 9)]
    assert found.runs == 3
    assert found.wall_ns >= 3 * 22e6
    assert found.parallelism == pytest.approx(3 * found.serial_ns / found.wall_ns, rel=1e-3)
    assert found.parallelism < 2
    table = str(found)
    assert "critical" in table
    assert "3 runs" in table
    net.enable_profile()
    net.run()
    assert [row.count for row in net.profile().operators] == [1, 1, 1]


def test_profile_of_runs_in_flight() -> None:
    net = sleeper("auto")
    net.enable_profile()
    for future in [net.submit() for _ in range(6)]:
        future.result()
    found = net.profile()
    assert [row.count for row in found.operators] == [6, 6, 6]
    assert found.runs == 6
    net.close()


@pytest.mark.parametrize("mode", MODES)
def test_trace(mode: str, tmp_path: pathlib.Path) -> None:
    workspace.FeedBlob("s0", np.ones(7, np.float32))
    workspace.FeedBlob("s1", np.ones(7, np.float32))
    workspace.FeedBlob("s2", np.ones(7, np.float32))
    net = random_net(5, 40)
    made = AsyncNet(net, workers=2, mode=mode)
    made.enable_trace(1000)
    for _ in range(3):
        made.run()
    made.trace().save(tmp_path / "trace.json")
    trace = json.loads((tmp_path / "trace.json").read_text())
    bars = [e for e in trace["traceEvents"] if e["ph"] == "X"]
    assert len(bars) == 120
    assert sorted(e["args"]["operator"] for e in bars) == sorted(list(range(40)) * 3)
    assert min(e["ts"] for e in bars) == 0
    assert all(e["dur"] >= 0 for e in bars)
    ops = net.Proto().op
    for e in bars:
        op = ops[e["args"]["operator"]]
        assert (e["cat"], e["args"]["outputs"]) == (op.type, op.output)
    lanes = {(e["pid"], e["tid"]) for e in bars}
    named = {(e["pid"], e["tid"]) for e in trace["traceEvents"] if e["name"] == "thread_name"}
    assert lanes <= named
    # On one lane one bar at a time.
    for lane in lanes:
        mine = sorted((e["ts"], e["ts"] + e["dur"]) for e in bars if (e["pid"], e["tid"]) == lane)
        assert all(a[1] <= b[0] + 1e-6 for a, b in pairwise(mine))


def test_trace_keeps_the_last_events_and_ends() -> None:
    net = AsyncNet.from_functions({f"f{k}": (lambda: None) for k in range(10)}, mode="serial")
    net.enable_trace(4)
    net.run()
    assert [e["name"] for e in net.trace().events] == ["f6", "f7", "f8", "f9"]
    net.enable_trace(0)
    net.run()
    with pytest.raises(RuntimeError, match=r"call enable_trace\(\)"):
        net.trace()
    with pytest.raises(RuntimeError, match=r"call enable_profile\(\)"):
        net.profile()
    with pytest.raises(ValueError, match="events"):
        net.enable_trace(-1)


class Noting(Observer):
    def __init__(self) -> None:
        self.names: list[str] = []
        self.runs: list[float] = []

    def operator_ended(self, operator: object, event: Event) -> None:
        assert event.end_ns >= event.begin_ns
        self.names.append(operator.label)  # type: ignore[attr-defined]

    def run_ended(self, seconds: float) -> None:
        self.runs.append(seconds)


@pytest.mark.parametrize("mode", MODES)
def test_observers(mode: str) -> None:
    net = AsyncNet.from_functions(
        {"a": lambda: 1, "b": lambda a: a, "c": lambda b: b}, [("a", "b"), ("b", "c")], mode=mode
    )
    every, one, times = Noting(), Noting(), TimeObserver()
    net.add_observer(every)
    net.add_observer(one, ["b"])
    net.add_observer(times)
    for _ in range(5):
        net.run()
    net.submit().result()
    assert every.names == ["a", "b", "c"] * 6
    assert one.names == ["b"] * 6
    assert len(every.runs) == 6
    assert times.average_time() > times.average_time_children() > 0
    for observer in (every, one, times):
        net.remove_observer(observer)
    net.run()
    assert len(every.runs) == 6
    with pytest.raises(ValueError, match="does not observe"):
        net.remove_observer(every)
    with pytest.raises(ValueError, match="no operator is called 'd'"):
        net.add_observer(every, ["d"])
    net.close()


def test_observers_by_type_see_native_operators() -> None:
    net = core.Net("native")
    workspace.FeedBlob("x", np.ones(3, np.float32))
    net.Relu("x", "a", name="first")
    net.Sigmoid("a", "b")
    made = AsyncNet(net)
    seen = Noting()
    made.add_observer(seen, ["Sigmoid"])
    made.run()
    assert seen.names == ["b"]


def test_what_is_written_down_changes_between_runs_only() -> None:
    made: list[AsyncNet] = []
    made.append(AsyncNet.from_functions({"f": lambda: made[0].enable_profile()}))
    with pytest.raises(RuntimeError, match="between runs only"):
        made[0].run()


def test_what_is_written_down_is_read_between_runs_only() -> None:
    to_do = []
    made = AsyncNet.from_functions({"f": lambda: to_do.pop()()})
    made.enable_profile()
    made.enable_trace()
    for read in (made.profile, made.trace):
        to_do.append(read)
        with pytest.raises(RuntimeError, match="read between runs only"):
            made.run()
    to_do.append(made.report)
    made.run()
    assert made.profile().operators[0].count == 3
    assert len(made.trace().events) == 3


def test_a_report_during_a_run() -> None:
    """Would be a data race under ThreadSanitizer, were its figures not atomic."""
    workspace.FeedBlob("x", np.ones(50, np.float32))
    net = core.Net("reported")
    for k in range(100):
        net.Sigmoid("x", f"y{k}")
    made = AsyncNet(net, workers=2)
    runs, stop = [0], threading.Event()

    def report() -> None:
        while not stop.is_set():
            found = made.report()
            assert runs[-1] <= found["runs"]
            runs.append(found["runs"])

    reader = threading.Thread(target=report)
    reader.start()
    while len(set(runs)) < 5 and reader.is_alive():
        made.run()
    stop.set()
    reader.join()
    assert len(set(runs)) >= 5


def test_draw(tmp_path: pathlib.Path) -> None:
    net = core.Net("picture")
    workspace.FeedBlob("x", np.ones(3, np.float32))
    net.Relu("x", "a<b>", name='say "a" & <b>')
    net.Sigmoid("x", "c", device_option=core.DeviceOption(0, 1))
    net.Add(["a<b>", "c"], "y")
    made = AsyncNet(net)
    plain = made.draw()
    made.enable_profile()
    made.run()
    timed = made.draw()
    for drawing in (plain, timed):
        root = xml.etree.ElementTree.fromstring(drawing.svg)
        found = [e.tag.split("}")[1] for e in root.iter()]
        assert found.count("rect") == 3
        assert found.count("path") == 2
        assert "0 -> 2;" in drawing.dot.replace(" [penwidth=3]", "")
        assert 'say \\"a\\" & <b>' in drawing.dot
        assert len({e.get("stroke") for e in root.iter() if e.tag.endswith("rect")}) == 2
    assert plain.svg != timed.svg
    assert made._repr_svg_() == made.draw()._repr_svg_()
    timed.save(tmp_path / "net.svg")
    timed.save(tmp_path / "net.dot")
    assert (tmp_path / "net.svg").read_text() == timed.svg
    assert (tmp_path / "net.dot").read_text() == timed.dot
    with pytest.raises(ValueError, match=r"\.svg or \.dot"):
        timed.save(tmp_path / "net.png")


def test_layers() -> None:
    assert places(5, [(0, 2), (1, 2), (0, 3), (2, 4)]) == [(0, 0), (0, 1), (1, 1), (1, 0), (2, 0)]
    assert places(0, []) == []


def test_critical_path() -> None:
    assert critical_path([1, 5, 1, 1], [(0, 1), (0, 2), (1, 3), (2, 3)]) == ([0, 1, 3], 7)
    assert critical_path([1, 9, 1], [(0, 2)]) == ([1], 9)
    assert critical_path([], []) == ([], 0.0)
