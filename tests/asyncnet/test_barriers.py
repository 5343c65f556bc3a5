"""Barriers within a net: the operator, its named definitions, and groups."""

import threading

import numpy as np
import pytest

from caffe2op import core, workspace
from caffe2op.asyncnet import AsyncBarrierOp, AsyncNet, AsyncNetBarrier, AsyncNetBarrierOp
from caffe2op.workspace.dependencies import edges


def two_towers(log: list[str]) -> core.Net:
    """a/0 -> a/1, b/0 -> b/1, then c/0 and c/1, which need nothing of them."""
    net = core.Net("towers")
    lock = threading.Lock()

    def note(name: str) -> object:
        def function(inputs: list, outputs: list) -> None:
            with lock:
                log.append(name)
            outputs[0].feed(1)

        return function

    for tower in "ab":
        net.Python(note(f"{tower}/0"))([], f"{tower}0", name=f"{tower}/0")
        net.Python(note(f"{tower}/1"))(f"{tower}0", f"{tower}1", name=f"{tower}/1")
    for k in range(2):
        net.Python(note(f"c/{k}"))(
            [], f"c{k}", name=f"c/{k}", device_option=core.DeviceOption(0, 1)
        )
    return net


@pytest.mark.parametrize("after", ["c", "cpu:1", ("c/0", "c/1")])
@pytest.mark.parametrize("mode", ["static", "dynamic", "auto"])
def test_groups_before_groups(mode: str, after: str | tuple[str, ...]) -> None:
    log: list[str] = []
    net = two_towers(log)
    barrier = AsyncNetBarrier(["a", "b"], after)
    made = AsyncNet(net, workers=3, mode=mode, barriers=[barrier])
    for _ in range(30):
        log.clear()
        made.run()
        assert set(log[:4]) == {"a/0", "a/1", "b/0", "b/1"}
        assert set(log[4:]) == {"c/0", "c/1"}
    log.clear()
    for future in [made.submit() for _ in range(3)]:
        future.result()
    assert len(log) == 18
    made.close()


def test_barrier_adds_the_edges_that_are_needed() -> None:
    net = two_towers([]).Proto()
    assert AsyncNetBarrier(["a", "b"], "c").edges(net) == [(1, 4), (1, 5), (3, 4), (3, 5)]
    assert AsyncNetBarrier("a/0", "b/1").edges(net) == [(0, 3)]


def test_groups_are_checked() -> None:
    net = two_towers([]).Proto()
    with pytest.raises(ValueError, match=r"no operator or device is called 'd'; accepted"):
        AsyncNetBarrier("a", "d").edges(net)
    with pytest.raises(ValueError, match=r"operator 0 \(a/0\) is on both sides"):
        AsyncNetBarrier("a", ["a/0", "c"]).edges(net)
    with pytest.raises(ValueError, match=r"operator 0 \(a/0\) comes after .* operator 3 \(b/1\)"):
        AsyncNetBarrier("b", "a", name="wrong").edges(net)
    with pytest.raises(ValueError, match="after must be the name of a group"):
        AsyncNetBarrier("a", [])
    assert repr(AsyncNetBarrier("a", ["b", "c"])) == "AsyncNetBarrier(a -> b, c)"


@pytest.mark.parametrize(("definition", "cross"), [(AsyncBarrierOp, 0), (AsyncNetBarrierOp, 1)])
def test_named_types(definition: type[AsyncBarrierOp], cross: int) -> None:
    net = core.Net("named")
    workspace.FeedBlob("x", np.float32(1))
    net.Copy("x", "a")
    net.Copy("x", "b")
    net.Proto().op.append(definition(["a", "b"], name="meet"))
    net.Add(["a", "b"], "y")
    op = net.Proto().op[2]
    assert isinstance(op, core.OperatorDef)
    assert (op.type, op.input, op.output, op.name) == (
        "AsyncNetBarrier",
        ["a", "b"],
        ["a", "b"],
        "meet",
    )
    assert {a.name: a.value for a in op.arg} == {"cross_device": cross}
    assert edges(net.Proto()) == [(0, 2), (1, 2), (2, 3)]
    assert AsyncNet(net, workers=2, mode="dynamic").run()["y"] == 2
