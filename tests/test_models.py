"""ModelHelper, brew and optimizer: what they add to a model, that it learns, what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from caffe2op import brew, core, optimizer, workspace
from caffe2op.core import GradientSlice
from caffe2op.model_helper import ModelHelper

Array = np.ndarray[Any, Any]


def classifier(seed: int | None = 1) -> tuple[ModelHelper, core.BlobReference]:
    """Two layers; blobs x (n, 6) and labels."""
    model = ModelHelper("model", seed)
    model.net.AddExternalInput("x", "labels")
    h = brew.relu(model, brew.fc(model, "x", "one", 6, 16))
    _, loss = brew.softmax_with_loss(model, brew.fc(model, h, "two", 16, 3), "labels")
    return model, loss


def feed_points() -> None:
    """Three clusters."""
    random = np.random.default_rng(2)
    labels = np.arange(90, dtype=np.int32) % 3
    centres = random.normal(size=(3, 6), scale=2)
    points = centres[labels] + random.normal(size=(90, 6), scale=0.5)
    workspace.FeedBlob("x", points.astype(np.float32))
    workspace.FeedBlob("labels", labels)


def train(model: ModelHelper, loss: Any, steps: int) -> tuple[float, float, list[Array]]:
    """The loss of the first step and of the last, and the parameters."""
    workspace.RunNetOnce(model.param_init_net)
    workspace.CreateNet(model.net, overwrite=True)
    workspace.RunNet(model.net)
    first = float(workspace.FetchBlob(loss))
    workspace.RunNet(model.net, num_iter=steps - 1)
    return first, float(workspace.FetchBlob(loss)), workspace.FetchBlobs(model.params)


OPTIMIZERS: dict[str, Callable[[ModelHelper, str], None]] = {
    "sgd": lambda m, u: optimizer.build_sgd(m, 0.1, update=u),
    "sgd, step": lambda m, u: optimizer.build_sgd(
        m, 0.2, policy="step", stepsize=10, gamma=0.9, update=u
    ),
    "momentum": lambda m, u: optimizer.build_sgd(m, 0.02, momentum=0.9, update=u),
    "nesterov": lambda m, u: optimizer.build_sgd(m, 0.02, momentum=0.9, nesterov=True, update=u),
    "adagrad": lambda m, u: optimizer.build_adagrad(m, 0.1, update=u),
    "adam": lambda m, u: optimizer.build_adam(m, 0.02, update=u),
}


@pytest.mark.parametrize("update", ["atomic", "locked", "racy"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_descends(name: str, update: str) -> None:
    model, loss = classifier()
    model.AddGradientOperators([loss])
    OPTIMIZERS[name](model, update)
    feed_points()
    first, last, _ = train(model, loss, 60)
    assert last < 0.2 * first
    assert workspace.FetchBlob("optimizer_iteration").tolist() == [60]


def test_one_seed_is_one_training() -> None:
    """Bit for bit; and another seed is another."""
    feed_points()
    runs = []
    for seed in (1, 1, 2):
        model, loss = classifier(seed)
        model.AddGradientOperators([loss])
        optimizer.build_sgd(model, 0.1, momentum=0.5)
        runs.append([p.tobytes() for p in train(model, loss, 30)[2]])
    assert runs[0] == runs[1]
    assert runs[0][0] != runs[2][0]


def test_parameters_and_their_first_values() -> None:
    model, _ = classifier()
    assert [str(p) for p in model.params] == ["one_w", "one_b", "two_w", "two_b"]
    workspace.RunNetOnce(model.param_init_net)
    one_w, one_b, two_w, _ = workspace.FetchBlobs(model.params)
    assert one_w.shape == (16, 6)
    assert not one_b.any()
    assert one_w.ravel()[0] != two_w.ravel()[0]  # streams of their own
    assert np.abs(one_w).max() <= np.sqrt(3 / 6)


def test_data_has_no_gradient() -> None:
    model, loss = classifier()
    gradients = model.AddGradientOperators([loss])
    assert "x" not in gradients
    assert set(model.param_to_grad) == set(model.params)
    model, _ = classifier()
    other = model.net.AveragedLoss("x", "other")
    with pytest.raises(ValueError, match="depend on none of its 4 parameters"):
        model.AddGradientOperators([other])


def test_replicas_share_parameters_and_nothing_else() -> None:
    def build(name: str, first: ModelHelper | None) -> ModelHelper:
        with core.NameScope(name):
            model = ModelHelper(name, 1, params_of=first)
            model.net.AddExternalInput(f"{name}/x")
            y = brew.tanh(model, brew.fc(model, "x", "fc", 2, 3))
            model.AddGradientOperators([model.net.AveragedLoss(y, "loss")])
            optimizer.build_sgd(model, 0.1, momentum=0.9)
        return model

    first = build("a", None)
    second = build("b", first)
    assert second.params == first.params
    written = [{n for op in m.net.Proto().op for n in op.output} for m in (first, second)]
    assert written[0] & written[1] == {str(p) for p in first.params}
    assert not second.param_init_net.BlobIsDefined("a/fc_w") or all(
        "a/fc_w" not in op.output for op in second.param_init_net.Proto().op
    )
    third = ModelHelper("c", params_of=first)
    with pytest.raises(ValueError, match="parameter 0 is 'other_w', and 'a/fc_w' in the first"):
        brew.fc(third, "x", "other", 2, 3)


def test_every_layer() -> None:
    """Each once, in one net, with NumPy's answer."""
    model = ModelHelper("layers", seed=3)
    model.net.AddExternalInput("x", "i", "l")
    e = brew.embedding(model, "i", "l", "table", 7, 4)
    joined = brew.concat(model, [brew.sigmoid(model, e), brew.tanh(model, "x")])
    total = brew.sum(model, [joined, brew.dropout(model, joined, is_test=True)])
    y = brew.softmax(model, brew.relu(model, total))
    x = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)
    indices, lengths = np.array([6, 0, 3]), np.array([1, 2], np.int32)
    for name, value in {"x": x, "i": indices, "l": lengths}.items():
        workspace.FeedBlob(name, value)
    workspace.RunNetOnce(model.param_init_net)
    workspace.RunNetOnce(model.net)
    table = workspace.FetchBlob("table_w")
    sums = np.stack([table[6], table[0] + table[3]])
    z = np.maximum(2 * np.concatenate([1 / (1 + np.exp(-sums)), np.tanh(x)], axis=1), 0)
    want = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(workspace.FetchBlob(y), want, rtol=1e-5)


@pytest.mark.parametrize("build", [optimizer.build_sgd, optimizer.build_adagrad])
def test_rows_of_a_table_learn(build: Any) -> None:
    """Only the rows that were read move, towards the target."""
    model = ModelHelper("table", seed=4)
    model.net.AddExternalInput("i", "l", "target")
    e = brew.embedding(model, "i", "l", "table", 9, 2)
    wrong = model.net.Sub([e, "target"], "wrong")
    loss = model.net.AveragedLoss(model.net.Mul([wrong, wrong], "squares"), "loss")
    model.AddGradientOperators([loss])
    assert isinstance(model.param_to_grad[model.params[0]], GradientSlice)
    build(model, 0.3)
    workspace.FeedBlob("i", np.array([2, 5], np.int32))
    workspace.FeedBlob("l", np.array([1, 1], np.int32))
    workspace.FeedBlob("target", np.ones((2, 2), np.float32))
    workspace.RunNetOnce(model.param_init_net)
    before = workspace.FetchBlob("table_w")
    workspace.CreateNet(model.net)
    workspace.RunNet(model.net, num_iter=200)
    after = workspace.FetchBlob("table_w")
    moved = (before != after).any(axis=1)
    assert moved.nonzero()[0].tolist() == [2, 5]
    np.testing.assert_allclose(after[[2, 5]], 1, atol=1e-3)


def test_what_is_refused() -> None:
    model, loss = classifier()
    with pytest.raises(ValueError, match="has no gradients: call AddGradientOperators first"):
        optimizer.build_sgd(model, 0.1)
    model.AddGradientOperators([loss])
    with pytest.raises(ValueError, match="a mutex goes with update='locked', got update='atomic'"):
        optimizer.build_sgd(model, 0.1, mutex="mutex")
    with pytest.raises(ValueError, match="has a parameter 'one_w' already"):
        model.create_param("one_w", (1,))
    table = ModelHelper("table")
    table.net.AddExternalInput("i", "l")
    e = brew.embedding(table, "i", "l", "table", 9, 2)
    table.AddGradientOperators([table.net.AveragedLoss(e, "mean")])
    with pytest.raises(ValueError, match="Adam for 'table_w', of which batches read a few rows"):
        optimizer.build_adam(table, 0.1)
    with pytest.raises(ValueError, match="momentum for 'table_w'"):
        optimizer.build_sgd(table, 0.1, momentum=0.9)
