"""interop.torch: parameters that are views, atomic SGD against torch's, modules as operators."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from together import together

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from caffe2op import core, workspace  # noqa: E402
from caffe2op.asyncnet import AsyncNet  # noqa: E402
from caffe2op.interop.torch import AtomicSGD, as_operator, bind, share  # noqa: E402


def model() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def loss_of(one: Any) -> Any:
    return (one(torch.ones(5, 3)) ** 2).sum()


def test_parameters_are_views_of_the_store() -> None:
    one = model()
    before = {name: p.detach().clone() for name, p in one.named_parameters()}
    store = share(one)
    assert list(store) == list(before)
    for name, p in one.named_parameters():
        assert torch.equal(p, before[name])
        store[name].fetch_add(0, 1.0)
        assert p.flatten()[0] == before[name].flatten()[0] + 1
        assert p.requires_grad


def test_a_replica_computes_on_the_same_weights() -> None:
    one = model()
    store = share(one)
    replica = bind(copy.deepcopy(one), store)
    store["0.bias"].add(1.0)
    assert torch.equal(replica(torch.ones(1, 3)), one(torch.ones(1, 3)))
    replica[0].bias.grad = None
    assert replica[0].bias.data_ptr() == one[0].bias.data_ptr()


def test_tied_parameters_stay_tied() -> None:
    one = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    one[1].weight = one[0].weight
    store = share(one)
    assert "1.weight" not in store
    assert one[1].weight.data_ptr() == one[0].weight.data_ptr()


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_one_worker_does_what_torchs_sgd_does(momentum: float) -> None:
    ours, theirs = model(), model()
    store = share(ours)
    mine = AtomicSGD(ours, store, lr=0.05, momentum=momentum)
    reference = torch.optim.SGD(theirs.parameters(), lr=0.05, momentum=momentum)
    for _ in range(5):
        for one, optimizer in ((ours, mine), (theirs, reference)):
            optimizer.zero_grad()
            loss_of(one).backward()
            optimizer.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_a_parameter_without_a_gradient_is_left_alone() -> None:
    one = model()
    optimizer = AtomicSGD(one, share(one), lr=1.0)
    before = one[2].bias.detach().clone()
    optimizer.zero_grad()
    one[0](torch.ones(1, 3)).sum().backward()
    optimizer.step()
    assert torch.equal(one[2].bias, before)


def test_threads_lose_nothing() -> None:
    one = model()
    with torch.no_grad():
        for p in one.parameters():
            p.zero_()
    store, workers, steps = share(one), 3, 500

    def work() -> None:
        replica = bind(copy.deepcopy(one), store)
        optimizer = AtomicSGD(replica, store, lr=1.0)
        for p in replica.parameters():
            p.grad = torch.full_like(p, -1.0)
        for _ in range(steps):
            optimizer.step()

    together(*[work] * workers)
    for p in one.parameters():
        assert torch.equal(p, torch.full_like(p, workers * steps))


@pytest.mark.parametrize(
    ("other", "error", "says"),
    [
        (lambda: nn.Sequential(nn.Linear(3, 4)), KeyError, "2.weight"),
        (
            lambda: nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)),
            ValueError,
            r"\(5, 3\)",
        ),
        (lambda: model().double(), TypeError, "float64"),
    ],
)
def test_bind_refuses_another_model(other: Any, error: type[Exception], says: str) -> None:
    store, wrong = share(model()), other()
    pointers = [p.data_ptr() for p in wrong.parameters()]
    with pytest.raises(error, match=says):
        bind(wrong, store)
    assert [p.data_ptr() for p in wrong.parameters()] == pointers


def test_share_refuses_what_is_not_float_or_not_here() -> None:
    with pytest.raises(TypeError, match="float16"):
        share(model().half())
    with pytest.raises(TypeError, match="on meta"):
        share(nn.Linear(2, 2, device="meta"))


@pytest.mark.parametrize(("name", "value"), [("lr", 0.0), ("lr", float("nan")), ("momentum", 1.0)])
def test_wrong_rates(name: str, value: float) -> None:
    one = model()
    with pytest.raises(ValueError, match=name):
        AtomicSGD(one, share(one), **{"lr": 0.1, name: value})


def test_modules_are_operators() -> None:
    left, right = nn.Linear(3, 2), nn.Linear(3, 2)
    x = torch.rand(4, 3)
    net = core.Net("towers")
    net.Python(as_operator(left))("torch_x", "left")
    net.Python(as_operator(right))("torch_x", "right")
    net.Python(as_operator(lambda a, b: (a + b, a - b)))(["left", "right"], ["sum", "difference"])
    workspace.FeedBlob("torch_x", x.numpy())
    with AsyncNet(net, workers=2) as runner:
        runner.run()
    with torch.no_grad():
        np.testing.assert_allclose(workspace.FetchBlob("sum"), (left(x) + right(x)).numpy())
        np.testing.assert_allclose(workspace.FetchBlob("difference"), (left(x) - right(x)).numpy())


def test_an_error_in_a_module_names_the_operator() -> None:
    net = core.Net("wrong")
    net.Python(as_operator(nn.Linear(3, 2)))("torch_wrong", "y", name="tower")
    workspace.FeedBlob("torch_wrong", np.ones((4, 5), np.float32))
    with pytest.raises(RuntimeError, match="cannot be multiplied") as raised:
        AsyncNet(net).run()
    assert any("tower" in note for note in raised.value.__notes__)


def test_another_number_of_outputs_is_an_error() -> None:
    net = core.Net("two")
    net.Python(as_operator(nn.Identity()))("torch_x", ["y", "z"])
    workspace.FeedBlob("torch_x", np.ones(2, np.float32))
    with pytest.raises(ValueError, match="returned 1 arrays for 2 outputs"):
        workspace.RunNetOnce(net)
