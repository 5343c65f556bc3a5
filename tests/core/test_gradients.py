"""AddGradientOperators: against finite differences, operator by operator and through whole nets;
the bookkeeping of versions and sums; what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from caffe2op import core, workspace
from caffe2op.core import GradientSlice
from caffe2op.operators import gradient, schema

pytestmark = pytest.mark.thread_unsafe  # blobs of one workspace, by name

Array = np.ndarray[Any, Any]
Build = Callable[[core.Net], Any]


def dense(grad: Any, like: Array) -> Array:
    """The gradient of a blob, rows added up where it is rows."""
    if not isinstance(grad, GradientSlice):
        return np.asarray(workspace.FetchBlob(grad))
    whole = np.zeros_like(like)
    np.add.at(whole, workspace.FetchBlob(grad.indices), workspace.FetchBlob(grad.values))
    return whole


def check(build: Build, feeds: dict[str, Array], wrt: list[str], tolerance: float = 1e-6) -> None:
    """The gradients of <y, d> for the output y of `build` and a fixed random d, in float64, against
    central differences."""
    net = core.Net("checked")
    net.AddExternalInput(*feeds)
    y = str(build(net))
    for name, value in feeds.items():
        workspace.FeedBlob(name, value)
    forward = core.Net(core.NetDef(net.Name() + "_forward", list(net.Proto().op)))
    workspace.RunNetOnce(forward)
    d = np.random.default_rng(9).normal(size=workspace.FetchBlob(y).shape)
    workspace.FeedBlob("d", d)
    net.AddExternalInput("d")
    gradients = net.AddGradientOperators({y: "d"})
    workspace.RunNetOnce(net)
    got = {name: dense(gradients[name], feeds[name]) for name in wrt}

    def value() -> float:
        workspace.RunNetOnce(forward)
        return float((workspace.FetchBlob(y) * d).sum())

    for name in wrt:
        at = feeds[name].copy()
        want = np.zeros_like(at)
        for place in np.ndindex(at.shape):
            for sign in (1, -1):
                moved = at.copy()
                moved[place] += sign * 1e-5
                workspace.FeedBlob(name, moved)
                want[place] += sign * value() / 2e-5
        workspace.FeedBlob(name, at)
        assert got[name].shape == at.shape
        np.testing.assert_allclose(got[name], want, rtol=tolerance, atol=tolerance)


def normal(*shape: int, seed: int = 0) -> Array:
    made = np.random.default_rng((seed, *shape)).normal(size=shape)
    return np.asarray(made + 0.1 * np.sign(made))  # nowhere near the corner of Relu


X, Y2 = {"x": normal(4, 3)}, {"x": normal(4, 3), "y": normal(4, 3, seed=1)}
LABELS = np.array([2, 0, 1, 1], np.int32)

ONE = {
    "FC": (
        lambda n: n.FC(["x", "w", "b"], "y"),
        X | {"w": normal(5, 3), "b": normal(5)},
        ["x", "w", "b"],
    ),
    "Relu": (lambda n: n.Relu("x", "y"), X, ["x"]),
    "Sigmoid": (lambda n: n.Sigmoid("x", "y"), X, ["x"]),
    "Tanh": (lambda n: n.Tanh("x", "y"), X, ["x"]),
    "Softmax": (lambda n: n.Softmax("x", "y"), X, ["x"]),
    "SoftmaxWithLoss": (
        lambda n: n.SoftmaxWithLoss(["x", "labels"], ["p", "loss"], scale=0.7)[1],
        X | {"labels": LABELS},
        ["x"],
    ),
    "SoftmaxWithLoss, weights": (
        lambda n: n.SoftmaxWithLoss(["x", "labels", "w"], ["p", "loss"])[1],
        X | {"labels": LABELS, "w": np.array([1.0, 2, 0, 0.5])},
        ["x"],
    ),
    "SoftmaxWithLoss, probabilities": (
        lambda n: n.SoftmaxWithLoss(["x", "labels"], ["p", "loss"], label_prob=1)[1],
        X | {"labels": np.abs(normal(4, 3, seed=2))},
        ["x"],
    ),
    "LabelCrossEntropy": (
        lambda n: n.LabelCrossEntropy(["x", "labels"], "y"),
        {"x": np.abs(normal(4, 3)), "labels": LABELS},
        ["x"],
    ),
    "AveragedLoss": (lambda n: n.AveragedLoss("x", "y"), X, ["x"]),
    "Add": (lambda n: n.Add(["x", "y"], "z"), Y2, ["x", "y"]),
    "Sub": (lambda n: n.Sub(["x", "y"], "z"), {"x": normal(4, 1), "y": normal(3)}, ["x", "y"]),
    "Mul": (lambda n: n.Mul(["x", "y"], "z"), {"x": normal(4, 3), "y": normal(4, 1)}, ["x", "y"]),
    "Mul, older broadcasting": (
        lambda n: n.Mul(["x", "y"], "z", broadcast=1, axis=0),
        {"x": normal(4, 3), "y": normal(4)},
        ["x", "y"],
    ),
    "Sum": (lambda n: n.Sum(["x", "y", "x"], "z"), Y2, ["x", "y"]),
    "Copy": (lambda n: n.Copy("x", "y"), X, ["x"]),
    "Scale": (lambda n: n.Scale("x", "y", scale=-2.5), X, ["x"]),
    "Concat": (
        lambda n: n.Concat(["x", "y"], ["z", "info"], axis=0)[0],
        {"x": normal(4, 3), "y": normal(2, 3)},
        ["x", "y"],
    ),
    "Split": (lambda n: n.Add([*n.Split("x", ["a", "b"], axis=0)], "z"), X, ["x"]),
    "Reshape": (lambda n: n.Reshape("x", ["z", "old"], shape=[2, -1])[0], X, ["x"]),
    "Dropout": (lambda n: n.Dropout("x", ["z", "mask"], ratio=0.4, seed=3)[0], X, ["x"]),
    "SparseLengthsSum": (
        lambda n: n.SparseLengthsSum(["x", "i", "l"], "z"),
        X | {"i": np.array([3, 0, 3, 1]), "l": np.array([1, 0, 3], np.int32)},
        ["x"],
    ),
    "Gather": (lambda n: n.Gather(["x", "i"], "z"), X | {"i": np.array([[3, 0], [3, 1]])}, ["x"]),
} | {
    f"MatMul {int(a)}{int(b)}": (
        lambda n, a=a, b=b: n.MatMul(["x", "y"], "z", trans_a=a, trans_b=b),
        {"x": normal(3, 4) if a else normal(4, 3), "y": normal(5, 3) if b else normal(3, 5)},
        ["x", "y"],
    )
    for a in (False, True)
    for b in (False, True)
}


@pytest.mark.parametrize("name", ONE)
def test_one_operator(name: str) -> None:
    check(*ONE[name])


def test_every_gradient_is_checked() -> None:
    makers = {type_ for type_, maker in gradient._makers.items() if maker is not None}
    assert makers == {name.split(",")[0].split(" ")[0] for name in ONE}


def test_a_net_with_branches_and_in_place() -> None:
    """x and h have several readers; two operators work in place."""

    def build(net: core.Net) -> Any:
        h = net.FC(["x", "w", "b"], "h")
        net.Relu(h, "h")
        left, right = net.Sigmoid("h", "left"), net.Tanh("h", "right")
        net.Mul([left, right], "both")
        joined, _ = net.Concat(["both", "h", "x"], ["joined", "info"])
        net.Scale(joined, joined, scale=0.5)
        return net.SoftmaxWithLoss([joined, "labels"], ["p", "loss"])[1]

    check(build, X | {"w": normal(3, 3), "b": normal(3), "labels": LABELS}, ["x", "w", "b"])


def test_rows_that_are_read_twice() -> None:
    def build(net: core.Net) -> Any:
        one = net.SparseLengthsSum(["x", "i", "l"], "one")
        two = net.Gather(["x", "j"], "two")
        return net.Mul([one, two], "z")

    feeds = X | {"i": np.array([3, 0, 3]), "l": np.array([1, 2], np.int32), "j": np.array([3, 2])}
    check(build, feeds, ["x"])


def softmax_net() -> core.Net:
    net = core.Net("net")
    net.AddExternalInput("x", "w", "b", "labels")
    net.FC(["x", "w", "b"], "y")
    net.SoftmaxWithLoss(["y", "labels"], ["p", "loss"])
    return net


def test_what_comes_back() -> None:
    net = softmax_net()
    gradients = net.AddGradientOperators(["loss"])
    assert {k: str(v) for k, v in gradients.items()} == {
        "loss": "loss_autogen_grad",
        "y": "y_grad",
        "w": "w_grad",
        "b": "b_grad",
        "x": "x_grad",
    }
    assert gradients[core.BlobReference("w")] == core.BlobReference("w_grad")
    assert core.BlobReference("w") in gradients
    with pytest.raises(KeyError, match="no gradient of blob 'labels' was asked for"):
        gradients["labels"]
    assert [op.type for op in net.Proto().op[2:]] == [
        "ConstantFill",
        "SoftmaxWithLossGradient",
        "FCGradient",
    ]


def test_constants_cost_nothing() -> None:
    net = softmax_net()
    gradients = net.AddGradientOperators(["loss"], stop=["x"])
    assert net.Proto().op[-1].output == ["w_grad", "b_grad"]
    assert "x" not in gradients
    net = softmax_net()
    net.AddGradientOperators(["loss"], stop=["y"])
    assert len(net.Proto().op) == 3  # nothing but the loss's own gradient


def test_stop_gradient() -> None:
    net = core.Net("net")
    net.AddExternalInput("x")
    net.StopGradient("x", "s")
    net.Mul(["x", "s"], "y")
    assert str(net.AddGradientOperators(["y"])["x"]) == "x_grad"
    assert [op.type for op in net.Proto().op] == [
        "StopGradient",
        "Mul",
        "ConstantFill",
        "MulGradient",
    ]


def test_names_that_are_taken() -> None:
    net = softmax_net()
    net.AddExternalInput("w_grad")
    assert str(net.AddGradientOperators(["loss"])["w"]) == "w_grad_1"


def test_several_losses_and_scopes() -> None:
    with core.NameScope("tower"):
        net = core.Net("net")
        net.AddExternalInput("tower/x")
        net.AveragedLoss(net.Tanh("x", "y"), "one")
        net.AveragedLoss("y", "two")
        gradients = net.AddGradientOperators(["one", "two"])
    assert str(gradients["tower/y"]) == "tower/y_grad_sum"
    workspace.FeedBlob("tower/x", normal(5).astype(np.float32))
    workspace.RunNetOnce(net)
    want = 2 / 5 * (1 - np.tanh(workspace.FetchBlob("tower/x")) ** 2)
    np.testing.assert_allclose(workspace.FetchBlob(gradients["tower/x"]), want, rtol=1e-5)


# ---- what is refused ----------------------------------------------------------------------------

REFUSED = [
    "AtomicFetchAdd", "AtomicFetchAdd64", "AtomicIter", "CreateMutex", "CreateAtomicBool",
    "CheckAtomicBool", "CreateCounter", "CountUp", "CountDown", "CheckCounterDone", "RetrieveCount",
    "ResetCounter", "AsyncNetBarrier",
]  # fmt: skip


@pytest.mark.parametrize("type_", REFUSED)
def test_shared_state_has_no_gradient(type_: str) -> None:
    known = schema.lookup(type_)
    inputs = [f"in{k}" for k in range(known.inputs[0])]
    outputs = [f"out{k}" for k in range(max(1, known.outputs[0]))]
    for i, o in known.enforce_in_place:
        if o >= 0:
            outputs[o] = inputs[i]
    net = core.Net("net")
    net.Proto().op.append(core.CreateOperator(type_, inputs, outputs))
    before = len(net.Proto().op)
    with pytest.raises(ValueError, match=rf"net '{net.Name()}': operator {type_} .*no gradient"):
        net.AddGradientOperators([outputs[-1]])
    assert len(net.Proto().op) == before


def test_a_blob_that_is_overwritten() -> None:
    net = core.Net("net")
    net.AddExternalInput("x", "y")
    net.Mul(["x", "y"], "z")
    net.Relu("x", "x")
    with pytest.raises(ValueError, match=r"operator Mul \(z\): its gradient needs blob 'x', which"):
        net.AddGradientOperators(["z"])


def test_rows_and_the_whole() -> None:
    net = core.Net("net")
    net.AddExternalInput("x", "i")
    net.Sum(["x", net.Gather(["x", "i"], "rows")], "y")
    with pytest.raises(ValueError, match="blob 'x' is read whole and by rows"):
        net.AddGradientOperators(["y"])
    net = core.Net("net")
    net.AddExternalInput("x", "i")
    net.Gather([net.Tanh("x", "t"), "i"], "y")
    with pytest.raises(ValueError, match=r"operator Tanh \(t\): the gradient of 't' is rows"):
        net.AddGradientOperators(["y"])


def test_outputs_that_are_no_way_back() -> None:
    net = softmax_net()
    with pytest.raises(ValueError, match="cannot be differentiated by output 'p'"):
        net.AddGradientOperators(["p"])
    with pytest.raises(ValueError, match="does not define blob 'los'; did you mean 'loss'"):
        net.AddGradientOperators(["los"])
    assert len(net.Proto().op) == 2


# ---- torch --------------------------------------------------------------------------------------


def test_against_torch() -> None:
    torch = pytest.importorskip("torch")
    net = core.Net("net")
    sizes, h = [20, 16, 8, 5], "x"
    feeds = {"x": normal(32, 20), "labels": np.arange(32, dtype=np.int32) % 5}
    net.AddExternalInput("x", "labels")
    for k in range(3):
        feeds |= {f"w{k}": normal(sizes[k + 1], sizes[k], seed=k), f"b{k}": normal(sizes[k + 1])}
        net.AddExternalInput(f"w{k}", f"b{k}")
        h = str(net.FC([h, f"w{k}", f"b{k}"], f"y{k}"))
        if k < 2:
            h = str(getattr(net, ("Relu", "Tanh")[k])(h, f"a{k}"))
    net.SoftmaxWithLoss([h, "labels"], ["p", "loss"])
    gradients = net.AddGradientOperators(["loss"])
    for name, value in feeds.items():
        workspace.FeedBlob(name, value)
    workspace.RunNetOnce(net)
    theirs = {k: torch.tensor(v, requires_grad=v.dtype == float) for k, v in feeds.items()}
    y = theirs["x"]
    for k, activation in enumerate((torch.relu, torch.tanh, lambda v: v)):
        y = activation(torch.nn.functional.linear(y, theirs[f"w{k}"], theirs[f"b{k}"]))
    loss = torch.nn.functional.cross_entropy(y, theirs["labels"].long())
    loss.backward()
    assert workspace.FetchBlob("loss") == pytest.approx(float(loss.detach()), rel=1e-12)
    for name, value in theirs.items():
        if name != "labels":
            np.testing.assert_allclose(
                workspace.FetchBlob(gradients[name]), value.grad.numpy(), rtol=1e-9, atol=1e-12
            )
