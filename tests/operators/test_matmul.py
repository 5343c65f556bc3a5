"""FC and MatMul against NumPy, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from run_operator import apply, close

FLOATS = ("float32", "float64")
SIZES = [(5, 7, 3), (1, 1, 1), (64, 784, 10), (0, 3, 2), (4, 0, 2), (4, 3, 0), (33, 65, 17)]


def normal(dtype: str, *shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng((seed, *shape)).normal(size=shape).astype(dtype)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("m", "k", "n"), SIZES)
def test_fc(dtype: str, m: int, k: int, n: int) -> None:
    x, w, b = normal(dtype, m, k), normal(dtype, n, k, seed=1), normal(dtype, n)
    close(apply("FC", [x, w, b])[0], x @ w.T + b, scale=max(k, 1))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("outputs", [2, 3])
@pytest.mark.parametrize(("m", "k", "n"), SIZES)
def test_fc_gradient(dtype: str, outputs: int, m: int, k: int, n: int) -> None:
    x, w, dy = normal(dtype, m, k), normal(dtype, n, k, seed=1), normal(dtype, m, n)
    got = apply("FCGradient", [x, w, dy], outputs)
    want = [dy.T @ x, dy.sum(axis=0), dy @ w]
    for g, e in zip(got, want[:outputs], strict=True):
        close(g, e, scale=max(m, n, 1))


def test_fc_of_more_dimensions() -> None:
    x, w, b = normal("float32", 2, 3, 4, 5), normal("float32", 6, 4, 5), normal("float32", 6)
    (y,) = apply("FC", [x, w, b], axis=2)
    close(y, x.reshape(2, 3, 20) @ w.reshape(6, 20).T + b, scale=20)
    dw, db, dx = apply("FCGradient", [x, w, y], 3, axis=2)
    assert (dw.shape, db.shape, dx.shape) == (w.shape, b.shape, x.shape)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("trans_a", [False, True])
@pytest.mark.parametrize("trans_b", [False, True])
@pytest.mark.parametrize(("m", "k", "n"), SIZES)
def test_matmul(dtype: str, trans_a: bool, trans_b: bool, m: int, k: int, n: int) -> None:
    a, b = normal(dtype, m, k), normal(dtype, k, n, seed=1)
    given = [
        np.ascontiguousarray(a.T) if trans_a else a,
        np.ascontiguousarray(b.T) if trans_b else b,
    ]
    close(apply("MatMul", given, trans_a=trans_a, trans_b=trans_b)[0], a @ b, scale=max(k, 1))


@pytest.mark.parametrize(
    ("type_", "shapes", "message"),
    [
        (
            "FC",
            [(2, 3), (4, 5), (4,)],
            r"\('x0'\): float32 \(2, 3\) given, 2 rows of 3; .* of 5",
        ),
        ("FC", [(2, 3), (4, 3), (3,)], r"b is float32 \(3,\), one for each of the 4 rows"),
        ("FC", [(2, 3), (4, 3), (4, 1)], r"b is float32 \(4, 1\)"),
        ("FC", [(), (4, 3), (4,)], "at least 1 dimensions expected"),
        ("FCGradient", [(2, 3), (4, 3), (2, 3)], "2 x 4 elements expected"),
        ("MatMul", [(2, 3), (4, 5)], r"float32 \(4, 5\) given, which does not fit"),
        ("MatMul", [(2, 3, 1), (3, 5)], "two dimensions expected"),
        ("MatMul", [(2, 3), (3,)], r"input 1.*two dimensions expected"),
    ],
)
def test_shapes_that_do_not_fit(type_: str, shapes: list[tuple[int, ...]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        apply(type_, [np.zeros(shape, np.float32) for shape in shapes])


def test_dtypes_are_not_mixed() -> None:
    with pytest.raises(TypeError, match=r"float64 \(2, 2\) given, float32 as input 0 \('x0'\) "):
        apply("MatMul", [np.zeros((2, 2), np.float32), np.zeros((2, 2))])
    with pytest.raises(TypeError, match=r"int32 \(2, 2\) given, float32, float64 expected"):
        apply("MatMul", [np.zeros((2, 2), np.int32)] * 2)
