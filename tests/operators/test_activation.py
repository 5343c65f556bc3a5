"""Tanh, Softmax, Dropout and the gradient operators against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from run_operator import apply, close

Array = np.ndarray[Any, Any]
FLOATS = ("float32", "float64")


def values(dtype: str, *shape: int) -> Array:
    return np.random.default_rng((1, *shape)).normal(size=shape, scale=2).astype(dtype)


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


GRADIENTS = {
    "Relu": lambda y, dy: np.where(y > 0, dy, 0).astype(dy.dtype),
    "Sigmoid": lambda y, dy: dy * y * (1 - y),
    "Tanh": lambda y, dy: dy * (1 - y * y),
    "Softmax": lambda y, dy: y * (dy - (y * dy).sum(axis=1, keepdims=True)),
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(5, 7), (1, 1), (3, 2000), (0, 4)])
@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("type_", GRADIENTS)
def test_gradients(type_: str, in_place: bool, shape: tuple[int, int], dtype: str) -> None:
    y, dy = values(dtype, *shape), values(dtype, *shape[::-1]).T.copy()
    (got,) = apply(f"{type_}Gradient", [y, dy], in_place={0: 1} if in_place else None)
    close(got, GRADIENTS[type_](y, dy), scale=50)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("in_place", [False, True])
def test_tanh_and_softmax(dtype: str, in_place: bool) -> None:
    x = values(dtype, 9, 13)
    x[0, :2] = 300, -300  # whose exponentials no float32 holds
    same = {0: 0} if in_place else None
    close(apply("Tanh", [x], in_place=same)[0], np.tanh(x))
    close(apply("Softmax", [x], in_place=same)[0], softmax(x))
    (y,) = apply("Softmax", [x.reshape(3, 3, 13)], axis=2)
    close(y, softmax(x).reshape(3, 3, 13))


def test_softmax_needs_a_class() -> None:
    with pytest.raises(ValueError, match="at least one class"):
        apply("Softmax", [np.zeros((3, 0), np.float32)])
    with pytest.raises(ValueError, match="at least 2 dimensions"):
        apply("Softmax", [np.zeros(3, np.float32)], axis=2)


@pytest.mark.parametrize("dtype", FLOATS)
def test_dropout(dtype: str) -> None:
    x = values(dtype, 100, 100) + 10
    y, mask = apply("Dropout", [x], ratio=0.3, seed=5)
    assert mask.dtype == bool
    assert abs(mask.mean() - 0.7) < 0.02
    close(y, np.where(mask, x / x.dtype.type(0.7), x.dtype.type(0)))
    again, _ = apply("Dropout", [x], ratio=0.3, seed=5)
    np.testing.assert_array_equal(again, y)
    close(
        apply("DropoutGrad", [x, mask], ratio=0.3)[0],
        np.where(mask, x / x.dtype.type(0.7), x.dtype.type(0)),
    )


def test_masks_of_dropout_differ() -> None:
    x = np.ones(1000, np.float32)

    def mask(*more: Any, **args: Any) -> bytes:
        return bytes(apply("Dropout", [x, *more], **args)[1].tobytes())

    iteration = [np.array([k], np.int64) for k in range(2)]
    assert mask() != mask()
    assert mask(seed=1) == mask(seed=1) != mask(seed=2)
    assert mask(iteration[0], seed=1) == mask(iteration[0], seed=1) != mask(iteration[1], seed=1)


def test_dropout_in_a_test_is_nothing() -> None:
    x = values("float32", 30)
    y, mask = apply("Dropout", [x], ratio=0.9, is_test=1)
    np.testing.assert_array_equal(y, x)
    assert mask.all()
    np.testing.assert_array_equal(apply("DropoutGrad", [x, mask], ratio=0.9, is_test=1)[0], x)


def test_what_is_refused() -> None:
    x = np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match="'ratio' must be at least 0 and less than 1"):
        apply("Dropout", [x], ratio=1.0)
    with pytest.raises(ValueError, match=r"the mask is bool \(3,\)"):
        apply("DropoutGrad", [x, np.zeros(3, bool)])
    with pytest.raises(ValueError, match=r"float32 \(3, 2\) given, float32 \(2, 3\) as input 0"):
        apply("TanhGradient", [x, x.T.copy()])
    with pytest.raises(TypeError, match=r"int64 \(2,\) given"):
        apply("Tanh", [np.zeros(2, np.int64)])
