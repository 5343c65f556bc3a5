"""Reshape, Concat, Split, StopGradient, and the gradients that broadcasting sums up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from run_operator import apply, close

from caffe2op._core.dtypes import NAMES

Array = np.ndarray[Any, Any]


def counted(shape: tuple[int, ...], dtype: str = "float32") -> Array:
    return np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)


@pytest.mark.parametrize("dtype", NAMES)
@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize(
    ("old", "new", "want"),
    [
        ((2, 6), [3, 4], (3, 4)),
        ((2, 6), [-1, 3], (4, 3)),
        ((2, 6), [0, 3, -1], (2, 3, 2)),
        ((2, 6), [12], (12,)),
        ((1,), [], ()),
        ((), [1, 1], (1, 1)),
        ((0, 3), [3, -1], (3, 0)),
    ],
)
def test_reshape(
    dtype: str, in_place: bool, old: tuple[int, ...], new: list[int], want: tuple[int, ...]
) -> None:
    x = counted(old, dtype)
    y, shape = apply("Reshape", [x], in_place={0: 0} if in_place else None, shape=new)
    close(y, x.reshape(want))
    assert shape.tolist() == list(old)
    back, _ = apply("Reshape", [y, shape])
    close(back, x)


def test_shapes_that_elements_do_not_fill() -> None:
    x = np.zeros((2, 3), np.float32)
    for shape in ([4], [4, -1], [0, 0, 0], [7, 2**61]):
        with pytest.raises(ValueError, match=r"input 0|dimension 1"):
            apply("Reshape", [x], shape=shape)
    with pytest.raises(ValueError, match="'shape' must have at most 8 dimensions"):
        apply("Reshape", [x], shape=[-1, -1])
    with pytest.raises(ValueError, match="dimension 0 of the shape is -2"):
        apply("Reshape", [x, np.array([-2, 3], np.int64)])
    with pytest.raises(ValueError, match="the shape is given once"):
        apply("Reshape", [x])


@pytest.mark.parametrize("dtype", ["float32", "bool", "int64"])
@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_concat_and_split(dtype: str, axis: int) -> None:
    parts = []
    for width in (2, 0, 5):
        shape = [3, 4, 2]
        shape[axis] = width
        parts.append(counted(tuple(shape), dtype))
    joined, info = apply("Concat", parts, axis=axis)
    close(joined, np.concatenate(parts, axis=axis))
    assert info.tolist() == [2, 0, 5]
    for got, want in zip(apply("Split", [joined, info], 3, axis=axis), parts, strict=True):
        close(got, want)


def test_split_into_equal_parts() -> None:
    x = counted((2, 6))
    for got, want in zip(apply("Split", [x], 3), np.split(x, 3, axis=1), strict=True):
        close(got, want)
    with pytest.raises(ValueError, match="cannot be split into 4 equal parts"):
        apply("Split", [x], 4)


@pytest.mark.parametrize("info", [[3, 4], [-1, 7], [7, -1], [2, 3]])
def test_splits_that_do_not_add_up(info: list[int]) -> None:
    with pytest.raises(ValueError, match="input 1"):
        apply("Split", [counted((2, 6)), np.array(info, np.int32)], 2)


def test_parts_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"float32 \(2, 4\) given, which does not fit"):
        apply("Concat", [counted((2, 3)), counted((2, 4))], axis=0)
    with pytest.raises(TypeError, match=r"int32 \(2, 3\) given, float32 as input 0 "):
        apply("Concat", [counted((2, 3)), counted((2, 3), "int32")])
    with pytest.raises(ValueError, match="has no dimension 2"):
        apply("Concat", [counted((2, 3))], axis=2)


def test_stop_gradient_is_a_copy() -> None:
    x = counted((2, 3))
    close(apply("StopGradient", [x])[0], x)
    close(apply("StopGradient", [x], in_place={0: 0})[0], x)


# ---- Add, Sub, Mul ------------------------------------------------------------------------------


def sum_to(d: Array, shape: tuple[int, ...]) -> Array:
    """What NumPy's broadcasting of an array of `shape` sends back."""
    d = d.sum(axis=tuple(range(d.ndim - len(shape))))
    return np.asarray(
        d.sum(axis=tuple(k for k, n in enumerate(shape) if n == 1), keepdims=True)
    ).reshape(shape)


@settings(max_examples=80, deadline=None)
@given(
    shapes=hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=4, min_side=0),
    type_=st.sampled_from(["Add", "Sub", "Mul"]),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_gradients_of_broadcasting(shapes: Any, type_: str, dtype: str) -> None:
    random = np.random.default_rng(6)
    a, b = (random.normal(size=s).astype(dtype) for s in shapes.input_shapes)
    dc = random.normal(size=shapes.result_shape).astype(dtype)
    da, db = apply(f"{type_}Gradient", [dc, a, b], 2)
    sign = -1 if type_ == "Sub" else 1
    product = type_ == "Mul"
    close(da, sum_to(dc * b if product else dc, a.shape).astype(dtype), scale=20)
    close(db, sum_to(dc * a if product else sign * dc, b.shape).astype(dtype), scale=20)


def test_gradients_of_the_older_broadcasting() -> None:
    random = np.random.default_rng(7)
    a, b = random.normal(size=(2, 3, 4)), random.normal(size=3)
    dc = random.normal(size=(2, 3, 4))
    da, db = apply("MulGradient", [dc, a, b], 2, broadcast=1, axis=1)
    close(da, dc * b[:, None])
    close(db, (dc * a).sum(axis=(0, 2)))


def test_a_shape_that_was_not_broadcast() -> None:
    dc, a, b = (np.zeros(s) for s in ((2, 3), (2, 3), (2,)))
    with pytest.raises(ValueError, match=r"input 2.*B is float64 \(2,\)"):
        apply("AddGradient", [dc, a, b], 2)
    with pytest.raises(ValueError, match=r"input 1.*A is"):
        apply("AddGradient", [dc, b, a], 2)
