"""Parts of a run: cancelling what comes after one operator; outputs that no operator writes."""

import threading

import numpy as np
import pytest

from caffe2op import core, workspace
from caffe2op.asyncnet import AsyncNet

from .graphs import until


@pytest.mark.parametrize("mode", ["auto", "serial", "static", "dynamic"])
@pytest.mark.parametrize("when", ["queued", "running"])
def test_cancel_what_comes_after_one_operator(mode: str, when: str) -> None:
    """Two branches and what joins them; the one is cancelled while the first function runs."""
    gate, started, ran = threading.Event(), threading.Event(), []

    def first(k: int) -> int:
        started.set()
        assert gate.wait(20)
        return k

    def note(name: str) -> object:
        return lambda *given: (ran.append(name), sum(given) + 1)[1]

    made = AsyncNet.from_functions(
        {"first": first, **{name: note(name) for name in ("left", "right", "leaf", "both")}},
        [("x", "first"), ("first", "left"), ("first", "right"), ("left", "leaf"), ("left", "both"),
         ("right", "both")],
        outputs=["left", "right", "leaf", "both"],
        workers=2,
        mode=mode,
    )  # fmt: skip
    gate.set()
    whole = {"left": 11, "right": 11, "leaf": 12, "both": 23}
    assert made.submit({"x": 10}).result() == whole
    gate.clear()
    started.clear()
    ran.clear()
    busy = [made.submit({"x": 0}) for _ in range(2)] if when == "queued" else []
    future = made.submit({"x": 5})
    until(started.is_set if when == "queued" else future.running)
    with pytest.raises(ValueError, match="no operator 'lef'; did you mean 'left'"):
        future.cancel("lef")
    assert future.cancel("leaf")
    assert future.cancel("right")
    gate.set()
    assert future.result() == {"left": 6}
    assert not future.cancelled()
    assert not future.cancel("left")
    assert [one.result()["both"] for one in busy] == [3] * len(busy)
    assert sorted(ran) == sorted(["left"] + len(busy) * ["left", "right", "leaf", "both"])
    assert made.submit({"x": 10}).result() == whole
    made.close()


def test_cancel_an_operator_of_a_net_by_its_blob() -> None:
    workspace.FeedBlob("x", np.float32(1))
    net = core.Net("double")
    net.Copy("x", "h")
    net.Add(["x", "h"], "y")
    made = AsyncNet(net, outputs=["h", "y"])
    gate = threading.Event()
    block = AsyncNet.from_functions({"wait": lambda: gate.wait(20)})
    waiting = [block.submit() for _ in range(64)]  # both use the same threads
    future = made.submit({"x": np.float32(3)})
    assert future.cancel("y")
    gate.set()
    assert future.result() == {"h": 3}
    assert made.submit({"x": np.float32(3)}).result() == {"h": 3, "y": 6}
    for one in waiting:
        one.result()
    made.close()
    block.close()


def test_an_output_may_be_an_input() -> None:
    net = core.Net("through")
    net.AddExternalInput("x", "z")
    net.Copy("x", "y")
    net.AddExternalOutput("z", "y")
    workspace.FeedBlob("x", np.float32(2))
    made = AsyncNet(net)
    with pytest.raises(ValueError, match="blob 'z' is empty"):
        made.submit().result()
    workspace.FeedBlob("z", np.float32(3))
    assert made.submit().result() == {"z": 3, "y": 2}
    future = made.submit()
    future.cancel("y")  # may come too late; z has no operator that could be left out
    assert future.result()["z"] == 3
    made.close()
