"""Arithmetic against NumPy: dtypes x shapes, broadcasting, in place, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from run_native import Native, definition, run
from twins import TWINS, Array

from caffe2op._core.dtypes import NAMES
from caffe2op.operators import schema
from together import together

ARITHMETIC = ("Add", "Sub", "Mul")
NUMBERS = ("int32", "int64", "float32", "float64")
FLOATS = ("float32", "float64")


def same(got: Array, want: Array) -> None:
    want = np.asarray(want)
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    np.testing.assert_array_equal(got, want)


def twin(op: str, *arrays: Array, **args: Any) -> Array:
    with np.errstate(all="ignore"):
        return TWINS[op](*arrays, **args)


def pairs(dtypes: tuple[str, ...]) -> st.SearchStrategy[tuple[Array, Array]]:
    """Two arrays of one dtype whose shapes broadcast."""
    shapes = hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=5, min_side=0)
    return st.tuples(st.sampled_from(dtypes), shapes).flatmap(
        lambda drawn: st.tuples(*[hnp.arrays(drawn[0], shape) for shape in drawn[1].input_shapes])
    )


@pytest.mark.parametrize("op", ARITHMETIC)
@settings(max_examples=120, deadline=None)
@given(ab=pairs(NUMBERS))
def test_broadcasting_is_numpys(op: str, ab: tuple[Array, Array]) -> None:
    same(run(op, *ab), twin(op, *ab))


@pytest.mark.parametrize(
    "shapes",
    [
        ((2, 3, 4, 5), (2, 3, 4, 5)),
        ((2, 3, 4, 5), (5,)),
        ((2, 3, 4, 5), ()),
        ((1,), (2, 3)),
        ((2, 1, 4, 1), (1, 3, 1, 5)),
        ((2, 3, 1, 5), (3, 4, 1)),
        ((4, 1), (1, 4)),
        ((3, 1, 1), (3, 4, 5)),
        ((1, 1, 1), (1,)),
        ((), ()),
        ((0, 3), (1, 3)),
        ((2,) * 8, (2, 1) * 4),
        ((1000, 1), (1000, 7)),
    ],
)
@pytest.mark.parametrize("op", ARITHMETIC)
def test_shapes_worth_naming(op: str, shapes: tuple[tuple[int, ...], ...]) -> None:
    rng = np.random.default_rng(5)
    a, b = (rng.integers(-9, 9, shape).astype(np.float32) for shape in shapes)
    same(run(op, a, b), twin(op, a, b))
    same(run(op, b, a), twin(op, b, a))


@pytest.mark.parametrize(
    ("a", "b", "axis"),
    [
        ((2, 3, 4), (2,), 0),
        ((2, 3, 4), (3,), 1),
        ((2, 3, 4), (4,), 2),
        ((2, 3, 4), (2, 3), 0),
        ((2, 3, 4), (3, 4), -1),
        ((2, 3, 4), (), -1),
        ((2, 3, 4), (), 0),
        ((5, 1), (1,), 0),
    ],
)
def test_the_older_broadcasting(a: tuple[int, ...], b: tuple[int, ...], axis: int) -> None:
    x, y = np.random.default_rng(1).random((2, 24), dtype=np.float32)
    x, y = x[: int(np.prod(a))].reshape(a), y[: int(np.prod(b))].reshape(b)
    same(run("Sub", x, y, broadcast=1, axis=axis), twin("Sub", x, y, 1, axis))


@pytest.mark.parametrize(
    ("a", "b", "args"),
    [
        ((2, 3), (3, 2), {}),
        ((2, 3), (2,), {}),
        ((3, 4), (3, 5), {}),
        ((0,), (2,), {}),
        ((3,), (2, 3), {"broadcast": 1}),
        ((1, 3), (2, 3), {"broadcast": 1}),
        ((2, 3), (2,), {"broadcast": 1}),
        ((2, 3), (2,), {"broadcast": 1, "axis": 1}),
        ((2, 3), (2,), {"broadcast": 1, "axis": 2}),
        ((2, 3), (2,), {"broadcast": 1, "axis": 2**62}),
    ],
)
def test_shapes_that_do_not_fit_are_both_named(a: Any, b: Any, args: Any) -> None:
    op = Native("Add", np.zeros(a, np.float32), np.zeros(b, np.float32), **args)
    with pytest.raises(ValueError, match="input 1: float32") as error:
        op.run()
    assert str(a) in str(error.value)
    assert str(b) in str(error.value)


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("op", ARITHMETIC)
def test_in_place_on_either_input(op: str, dtype: str) -> None:
    rng = np.random.default_rng(2)
    a, b = (rng.integers(-50, 50, (7, 33)).astype(dtype) for _ in range(2))
    row = b[0].copy()
    same(run(op, a, b, in_place=0), twin(op, a, b))
    same(run(op, a, b, in_place=1), twin(op, a, b))
    same(run(op, a, a, in_place=0), twin(op, a, a))
    same(run(op, a, row, in_place=0), twin(op, a, row))
    same(run(op, row, a, in_place=1), twin(op, row, a))


@pytest.mark.parametrize("which", [0, 1])
def test_in_place_on_a_smaller_input_is_refused(which: int) -> None:
    small, large = np.ones((1, 3), np.float32), np.ones((4, 3), np.float32)
    op = Native("Add", *((small, large) if which == 0 else (large, small)), in_place=which)
    with pytest.raises(ValueError, match=rf"output 0 is input {which}: float32 \(1, 3\), smaller"):
        op.run()
    same(op.fetch(), small)


def test_integers_wrap() -> None:
    for dtype in (np.int32, np.int64):
        top = np.array([np.iinfo(dtype).max, np.iinfo(dtype).min], dtype)
        one = np.array([1, -1], dtype)
        same(run("Add", top, one), top[::-1].copy())
        same(run("Mul", top, top), twin("Mul", top, top))


def test_dtypes_must_be_equal_and_accepted() -> None:
    f32, f64, i8 = (np.ones(3, t) for t in (np.float32, np.float64, np.int8))
    with pytest.raises(TypeError, match="input 1: float64 given, float32 expected"):
        run("Add", f32, f64)
    with pytest.raises(TypeError, match=r"int8 \(3,\) given, int32, int64, float32, float64"):
        run("Mul", i8, i8)
    for op in ("Relu", "Sigmoid", "Scale"):
        with pytest.raises(TypeError, match="float32, float64 expected"):
            run(op, i8)


@pytest.mark.parametrize("dtype", NAMES)
@pytest.mark.parametrize("shape", [(), (0, 4), (3, 5), (1000,)])
def test_copy(dtype: str, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(3).integers(0, 2, shape).astype(dtype)
    same(run("Copy", x), x)
    same(run("Copy", x, in_place=0), x)


@pytest.mark.parametrize("n", [1, 2, 3, 8, 9, 20])
@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 1300])
def test_sum(n: int, size: int) -> None:
    rng = np.random.default_rng(n * size)
    for dtype in NUMBERS:
        xs = [rng.integers(-99, 99, size).astype(dtype) for _ in range(n)]
        same(run("Sum", *xs), twin("Sum", *xs))
        for k in {0, n // 2, n - 1}:
            same(run("Sum", *xs, in_place=k), twin("Sum", *xs))
    same(run("Sum", *[xs[0]] * n), xs[0] * n)


@pytest.mark.parametrize("n", [1, 2, 3, 12])
@pytest.mark.parametrize("dtype", FLOATS)
def test_weighted_sum(n: int, dtype: str) -> None:
    rng = np.random.default_rng(n)
    for shape in ((), (0,), (3, 5), (1300,)):
        inputs = []
        for k in range(n):
            inputs += [
                np.asarray(rng.standard_normal(shape)).astype(dtype),
                np.full((1,) if k % 2 else (), rng.standard_normal()).astype(dtype),
            ]
        same(run("WeightedSum", *inputs), twin("WeightedSum", *inputs))
        same(run("WeightedSum", *inputs, in_place=0), twin("WeightedSum", *inputs))


@pytest.mark.parametrize("n", [1, 2, 3, 12])
@pytest.mark.parametrize("dtype", FLOATS)
def test_weighted_sum_that_adds_atomically(n: int, dtype: str) -> None:
    rng = np.random.default_rng(n)
    for shape in ((), (0,), (3, 5), (1301,)):
        inputs = []
        for k in range(n):  # whole numbers: whatever is added first, the sum is the same
            inputs += [
                np.asarray(rng.integers(-9, 9, shape)).astype(dtype),
                np.full(1, k + 1, dtype),
            ]
        same(run("WeightedSum", *inputs, in_place=0, atomic=1), twin("WeightedSum", *inputs))


def test_an_atomic_weighted_sum_only_adds() -> None:
    x, one, two = np.ones(3, np.float32), np.ones(1, np.float32), np.full(1, 2, np.float32)
    for weight, in_place in ((two, 0), (one, None)):
        operator = Native("WeightedSum", x, weight, x.copy(), two, in_place=in_place, atomic=1)
        with pytest.raises(ValueError, match="atomic: in place on input 0 and a weight_0 of 1"):
            operator.run()
    same(run("WeightedSum", x, one, x, two, in_place=0, atomic=1), np.full(3, 3, np.float32))


@pytest.mark.parametrize("dtype", FLOATS)
def test_atomic_weighted_sums_lose_nothing(dtype: str) -> None:
    """Four threads, each with an operator of its own on the same parameters."""
    parameters, runs = np.zeros(3001, dtype), 60
    one, two, step = np.ones(1, dtype), np.full(1, 2, dtype), np.ones(3001, dtype)
    operators = [
        Native("WeightedSum", parameters, one, step, two, in_place=0, shared=(0,), atomic=1)
        for _ in range(4)
    ]
    together(*(lambda o=o: [o.run() for _ in range(runs)] for o in operators))
    np.testing.assert_array_equal(parameters, np.full(3001, 2 * 4 * runs))


def test_sums_refuse_what_is_not_like_input_0_and_change_nothing() -> None:
    x, w = np.ones((2, 3), np.float32), np.ones(1, np.float32)
    for op, inputs in (("Sum", [x, x, x[:1]]), ("WeightedSum", [x, w, x.T.copy(), w])):
        operator = Native(op, *inputs, in_place=0)
        with pytest.raises(ValueError, match=r"float32 \(2, 3\) as input 0 expected"):
            operator.run()
        same(operator.fetch(), x)
    with pytest.raises(TypeError, match=r"input 1: float64 \(2, 3\) given, float32"):
        run("Sum", x, x.astype(np.float64))
    with pytest.raises(TypeError, match="input 1: float64 given, float32 expected"):
        run("WeightedSum", x, w.astype(np.float64))
    with pytest.raises(ValueError, match="input 1: 2 elements given, a scalar"):
        run("WeightedSum", x, np.ones(2, np.float32))


@pytest.mark.parametrize("op", ["Relu", "Scale", "Sigmoid"])
@settings(max_examples=80, deadline=None)
@given(
    x=st.sampled_from(FLOATS).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0))
    )
)
def test_one_input(op: str, x: Array) -> None:
    args = {"scale": -2.5} if op == "Scale" else {}
    want = twin(op, x, **args)
    for in_place in (None, 0):
        got = run(op, x, in_place=in_place, **args)
        if op == "Sigmoid":
            assert got.dtype == want.dtype
            # exp is the C library's here, good to one unit in the last place
            np.testing.assert_allclose(
                got, want, rtol=4 * np.finfo(x.dtype).eps, atol=np.finfo(x.dtype).tiny
            )
        else:
            same(got, want)


def test_special_floats() -> None:
    x = np.array([np.nan, np.inf, -np.inf, -0.0], np.float32)
    same(run("Relu", x), np.array([np.nan, np.inf, 0, 0], np.float32))
    same(run("Sigmoid", x), np.array([np.nan, 1, 0, 0.5], np.float32))


@pytest.mark.parametrize(
    ("op", "n", "args", "words"),
    [
        ("Add", 1, {}, "2 inputs"),
        ("Add", 2, {"axis": 1}, "needs broadcast=1"),
        ("Add", 2, {"broadcast": 1, "axis": -2}, "'axis' must be a dimension"),
        ("WeightedSum", 3, {}, "in pairs"),
        ("Scale", 1, {"scale": "x"}, "'scale'"),
        ("Scale", 1, {"factor": 2.0}, "'factor'"),
        ("Sum", 0, {}, "1 or more"),
    ],
)
def test_schemas_refuse(op: str, n: int, args: dict[str, Any], words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        schema.validate(definition(op, n, **args))
