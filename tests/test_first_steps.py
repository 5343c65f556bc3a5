"""What somebody who knows PyTorch does first, and what goes wrong then: each mistake is an
exception that names the operator, the blob, what was given and what is accepted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from caffe2op import brew, optimizer, workspace
from caffe2op.model_helper import ModelHelper

X = np.random.default_rng(0).random((8, 64), np.float32)
LABELS = np.arange(8, dtype=np.int64)


def network(model: ModelHelper, hidden: int = 16, second: int = 16) -> Any:
    model.net.AddExternalInput("x")
    h = brew.relu(model, brew.fc(model, "x", "one", 64, hidden))
    return brew.fc(model, h, "two", second, 10)


def train(x: Any, labels: Any, init: bool = True, **sizes: int) -> float:
    model = ModelHelper("digits", seed=1)
    scores = network(model, **sizes)
    model.net.AddExternalInput("label")
    _, loss = brew.softmax_with_loss(model, scores, "label")
    model.AddGradientOperators([loss])
    optimizer.build_sgd(model, 0.1)
    for name, value in (("x", x), ("label", labels)):
        if value is not None:
            workspace.FeedBlob(name, value)
    if init:
        workspace.RunNetOnce(model.param_init_net)
    workspace.CreateNet(model.net)
    workspace.RunNet(model.net)
    return float(workspace.FetchBlob(loss))


def test_what_pytorch_takes_too_is_taken() -> None:
    """Labels of int64, images with several dimensions, batches of another size."""
    want = train(X, LABELS)
    assert train(X, LABELS.astype(np.int32)) == want
    assert train(X.reshape(8, 1, 8, 8), LABELS) == want
    assert train(np.asfortranarray(X), LABELS[:, None]) == want
    assert train(X[:3], LABELS[:3]) != want


WRONG: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "float64": (
        lambda: train(X.astype(float), LABELS),
        TypeError,
        r"FC: input 1 \('one_w'\): float32 \(16, 64\) given, float64 as input 0 \('x'\) expected",
    ),
    "pixels": (
        lambda: train(X.astype(np.uint8), LABELS),
        TypeError,
        r"FC: input 0 \('x'\): uint8 \(8, 64\) given, float32, float64 expected",
    ),
    "no batch": (
        lambda: train(X[0], LABELS[:1]),
        ValueError,
        r"FC: input 0 \('x'\): float32 \(64,\) given, 64 rows of 1; input 1 \('one_w'\), W, is "
        r"float32 \(16, 64\), for rows of 64",
    ),
    "columns": (
        lambda: train(X[:, :60], LABELS),
        ValueError,
        r"FC: input 0 \('x'\): float32 \(8, 60\) given, 8 rows of 60; .* for rows of 64",
    ),
    "layers": (
        lambda: train(X, LABELS, second=15),
        ValueError,
        r"FC: input 0 \('.*Relu'\): float32 \(8, 16\) given, 8 rows of 16; .* for rows of 15",
    ),
    "one-hot": (
        lambda: train(X, np.eye(10, dtype=np.float32)[LABELS]),
        TypeError,
        r"SoftmaxWithLoss: input 1 \('label'\): float32 \(8, 10\) given, int32, int64 expected",
    ),
    "labels": (
        lambda: train(X, LABELS[:5]),
        ValueError,
        r"SoftmaxWithLoss: input 1 \('label'\): labels are int64 \(5,\), one for each of the 8 ",
    ),
    "label": (
        lambda: train(X, LABELS + 5),
        IndexError,
        r"SoftmaxWithLoss: input 1 \('label'\): label 10 of row 5, 0 <= label < 10 expected",
    ),
    "not initialised": (
        lambda: train(X, LABELS, init=False),
        ValueError,
        r"FC: input blob 'one_w' is not in the workspace .* param_init_net, run once",
    ),
    "not fed": (
        lambda: train(X, None),
        ValueError,
        r"SoftmaxWithLoss: input blob 'label' is not in the workspace .* FeedBlob makes a blob",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_names_its_blob(name: str) -> None:
    run, error, message = WRONG[name]
    with pytest.raises(error, match=message):
        run()


def test_a_blob_that_is_nearly_there_is_suggested() -> None:
    workspace.FeedBlob("images", X)
    model = ModelHelper("typo")
    brew.fc(model, "imagse", "one", 64, 2)
    workspace.RunNetOnce(model.param_init_net)
    with pytest.raises(ValueError, match=r"'imagse' .*\(did you mean 'images'\?\); FeedBlob"):
        workspace.RunNetOnce(model.net)


def with_gradients() -> ModelHelper:
    model = ModelHelper("digits")
    model.AddGradientOperators([model.net.AveragedLoss(network(model), "loss")])
    return model


@pytest.mark.parametrize("build", [optimizer.build_sgd, optimizer.build_adagrad])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"base_learning_rate": -0.1}, "base_learning_rate: -0.1 given; accepted: a number above"),
        ({"base_learning_rate": "0.1"}, "base_learning_rate: '0.1' given"),
        ({"base_learning_rate": float("nan")}, "base_learning_rate: nan given"),
        ({"policy": "cosine"}, "policy: 'cosine' given; accepted: fixed, step"),
        ({"update": "atomics"}, "update: 'atomics' given; accepted: atomic, locked, racy"),
    ],
)
def test_a_wrong_argument_changes_nothing(build: Any, arguments: Any, message: str) -> None:
    model = with_gradients()
    before = [len(net.Proto().op) for net in (model.net, model.param_init_net)]
    with pytest.raises(ValueError, match=message):
        build(model, **({"base_learning_rate": 0.1} | arguments))
    assert [len(net.Proto().op) for net in (model.net, model.param_init_net)] == before
    build(model, 0.1)


def test_one_optimizer_is_enough() -> None:
    model = with_gradients()
    optimizer.build_adam(model, 0.1)
    with pytest.raises(ValueError, match="has an optimizer already"):
        optimizer.build_sgd(model, 0.1)


def test_layers_say_what_they_take() -> None:
    model = ModelHelper("m")
    wrong: Any = "x"
    for add in (
        lambda: brew.relu(wrong, model),
        lambda: brew.fc(wrong, "x", "y", 2, 3),
        lambda: brew.dropout(wrong, "x"),
        lambda: brew.softmax_with_loss(wrong, "x", "label"),
    ):
        with pytest.raises(TypeError, match="model: 'x' given; accepted: a ModelHelper"):
            add()
    for size in (64 / 2, 0, "64"):
        with pytest.raises(ValueError, match=f"parameter 'a_w': a dimension of {size!r} given"):
            brew.fc(model, "x", "a", size, 10)  # type: ignore[arg-type]
    assert not model.params


def test_a_replica_without_gradients_scores_other_rows() -> None:
    """What `model.eval()` is for: the same parameters, another net."""
    first = ModelHelper("first", seed=1)
    scores = str(network(first))
    test = ModelHelper("test", params_of=first)
    other = str(network(test))
    workspace.RunNetOnce(first.param_init_net)
    workspace.FeedBlob("x", X)
    workspace.RunNetOnce(first.net)
    want = workspace.FetchBlob(scores)
    workspace.FeedBlob("x", X[:2])
    workspace.RunNetOnce(test.net)
    got = workspace.FetchBlob(other)
    np.testing.assert_allclose(got, want[:2], rtol=1e-5)  # products of another size
