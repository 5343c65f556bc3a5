"""Comparisons and logic against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from run_native import Native, definition, run
from test_math import pairs, same, twin
from twins import Array

from caffe2op._core.dtypes import NAMES
from caffe2op.operators import schema

COMPARISONS = ("LT", "LE", "GT", "GE", "EQ", "NE")
LOGIC = ("And", "Or", "Xor")


@pytest.mark.parametrize("op", COMPARISONS)
@settings(max_examples=80, deadline=None)
@given(ab=pairs(NAMES))
def test_comparisons(op: str, ab: tuple[Array, Array]) -> None:
    same(run(op, *ab), twin(op, *ab))


@pytest.mark.parametrize("dtype", NAMES)
@pytest.mark.parametrize("op", COMPARISONS)
def test_equal_and_unequal_elements(op: str, dtype: str) -> None:
    a = np.array([0, 0, 1, 1] * 40).astype(dtype)
    b = np.array([0, 1, 0, 1] * 40).astype(dtype)
    same(run(op, a, b), twin(op, a, b))
    same(run(op, a, b[1:2]), twin(op, a, b[1:2]))


@pytest.mark.parametrize("op", COMPARISONS)
def test_unsigned_and_extreme_values(op: str) -> None:
    for dtype in ("uint8", "uint64", "int64"):
        limits = np.iinfo(dtype)
        a = np.array([limits.min, limits.max, limits.max], dtype)
        b = np.array([limits.max, limits.min, limits.max], dtype)
        same(run(op, a, b), twin(op, a, b))
    nan = np.array([np.nan, 1], np.float32)
    same(run(op, nan, nan), twin(op, nan, nan))


def test_a_loss_against_its_target() -> None:
    """The scalar that stops a plan: shapes (1,) and () go together."""
    operator = Native("LT", np.array([0.5], np.float32), np.array(0.4, np.float32))
    operator.run()
    same(operator.fetch(), np.array([False]))
    operator.feed(0, np.array([0.3], np.float32))
    operator.run()
    same(operator.fetch(), np.array([True]))


def test_broadcast_with_an_axis() -> None:
    a = np.arange(6).reshape(2, 3)
    b = np.array([1, 4])
    same(run("LE", a, b, broadcast=1, axis=0), twin("LE", a, b, 1, 0))


@pytest.mark.parametrize("op", LOGIC)
@settings(max_examples=60, deadline=None)
@given(ab=pairs(("bool",)))
def test_logic(op: str, ab: tuple[Array, Array]) -> None:
    same(run(op, *ab), twin(op, *ab))


def test_logic_in_place() -> None:
    a, b = np.array([False, False, True, True]), np.array([False, True, False, True])
    for op in LOGIC:
        same(run(op, a, b, in_place=0), twin(op, a, b))
        same(run(op, a, b, in_place=1), twin(op, a, b))
    same(run("Not", a, in_place=0), ~a)
    same(run("Not", a.reshape(2, 2)), ~a.reshape(2, 2))
    same(run("Not", np.zeros((0, 2), bool)), np.zeros((0, 2), bool))


def test_any_byte_but_zero_is_true() -> None:
    odd = np.array([0, 1, 2, 255], np.uint8).view(bool)
    clean = odd.view(np.uint8) != 0
    same(run("Not", odd), ~clean)
    same(run("EQ", odd, clean), np.ones(4, bool))
    for op in LOGIC:
        result = run(op, odd, clean[::-1].copy())
        same(result.view(np.uint8), twin(op, clean, clean[::-1]).view(np.uint8))


@pytest.mark.parametrize("op", [*LOGIC, "Not"])
def test_logic_takes_bools_only(op: str) -> None:
    x = np.ones(2, np.int32)
    with pytest.raises(TypeError, match=r"input 0: int32.* given, bool expected"):
        run(op, *[x] * (1 if op == "Not" else 2))


def test_comparisons_are_not_in_place_and_take_one_dtype() -> None:
    with pytest.raises(ValueError, match="must be different blobs"):
        schema.validate(definition("LT", 2, in_place=0))
    with pytest.raises(TypeError, match=r"input 1: int64 \(2,\) given, int32 as input 0 "):
        run("EQ", np.zeros(2, np.int32), np.zeros(2, np.int64))
