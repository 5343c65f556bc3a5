"""Losses and their gradients against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from run_operator import apply, close

Array = np.ndarray[Any, Any]
FLOATS = ("float32", "float64")


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def softmax_with_loss(x: Array, q: Array, weights: Array, scale: float) -> tuple[Array, Array]:
    """q: the probability of each class in each row; returns the loss and its gradient."""
    p = softmax(x.astype(float))
    total = weights.sum()
    loss = -(weights[:, None] * q * np.log(p)).sum() * scale / total
    gradient = weights[:, None] * (q.sum(axis=1, keepdims=True) * p - q) * scale / total
    return loss.astype(x.dtype), gradient.astype(x.dtype)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("labels", ["int32", "int64", "probabilities"])
@pytest.mark.parametrize("weighted", [False, True])
def test_softmax_with_loss(dtype: str, labels: str, weighted: bool) -> None:
    random = np.random.default_rng(3)
    x = random.normal(size=(17, 6), scale=3).astype(dtype)
    args: dict[str, Any] = {"scale": 1.5}
    if labels == "probabilities":
        given = q = random.dirichlet(np.ones(6), 17).astype(dtype)
        args["label_prob"] = 1
    else:
        given = random.integers(0, 6, 17).astype(labels)
        q = np.eye(6)[given]
    weights = random.random(17).astype(dtype) if weighted else np.ones(17, dtype)
    inputs = [x, given, weights] if weighted else [x, given]
    p, loss = apply("SoftmaxWithLoss", inputs, **args)
    want, gradient = softmax_with_loss(x, q.astype(float), weights.astype(float), 1.5)
    close(p, softmax(x))
    close(loss, want)
    d = np.array(2, dtype)
    close(apply("SoftmaxWithLossGradient", [*inputs, p, d], **args)[0], 2 * gradient)


def test_a_loss_that_probabilities_would_round_away() -> None:
    """The label's probability is 0 as a float32; its logarithm is not."""
    x = np.array([[0, 200]], np.float32)
    _, loss = apply("SoftmaxWithLoss", [x, np.zeros(1, np.int32)])
    assert loss == 200


@pytest.mark.parametrize("rows", [0, 1])
def test_the_loss_of_no_rows_is_zero(rows: int) -> None:
    x, labels = np.zeros((rows, 4), np.float32), np.zeros(rows, np.int32)
    _, loss = apply("SoftmaxWithLoss", [x, labels, np.zeros(rows, np.float32)])
    assert loss == 0


@pytest.mark.parametrize("dtype", FLOATS)
def test_label_cross_entropy(dtype: str) -> None:
    random = np.random.default_rng(4)
    x = random.dirichlet(np.ones(5), 8).astype(dtype)
    labels = random.integers(0, 5, 8).astype(np.int32)
    x[0, labels[0]] = 0
    at = (np.arange(8), labels)
    picked = np.maximum(x[at], x.dtype.type(1e-20))
    close(apply("LabelCrossEntropy", [x, labels])[0], -np.log(picked))
    dy = random.normal(size=8).astype(dtype)
    want = np.zeros_like(x)
    want[at] = -dy / picked
    close(apply("LabelCrossEntropyGradient", [x, labels, dy])[0], want)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(3, 4), (), (100_000,)])
def test_averaged_loss(dtype: str, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(5).normal(size=shape, loc=1).astype(dtype)
    close(apply("AveragedLoss", [x])[0], x.mean(dtype=np.float64).astype(dtype))
    (got,) = apply("AveragedLossGradient", [x, np.array(3, dtype)])
    close(got, np.full(shape, 3 / x.size, dtype))


def test_averaged_loss_of_nothing() -> None:
    assert apply("AveragedLoss", [np.zeros(0, np.float32)])[0] == 0


@pytest.mark.parametrize("type_", ["SoftmaxWithLoss", "LabelCrossEntropy"])
@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (np.array([0, 3], np.int32), IndexError, "label 3 of row 1, 0 <= label < 3"),
        (np.array([-1, 0], np.int64), IndexError, "label -1 of row 0"),
        (np.array([0], np.int32), ValueError, "one for each of the 2 rows"),
        (np.array([0, 1], np.float32), TypeError, r"float32 \(2,\) given, int32, int64 expected"),
    ],
)
def test_wrong_labels(type_: str, labels: Array, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        apply(type_, [np.ones((2, 3), np.float32), labels])


def test_wrong_weights_and_probabilities() -> None:
    x = np.ones((2, 3), np.float32)
    with pytest.raises(ValueError, match="weights are float32"):
        apply("SoftmaxWithLoss", [x, np.zeros(2, np.int32), np.ones(3, np.float32)])
    with pytest.raises(ValueError, match=r"float32 \(3, 2\) given"):
        apply("SoftmaxWithLoss", [x, x.T.copy()], label_prob=1)
