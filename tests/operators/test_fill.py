"""Fills against NumPy, and what random ones promise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from run_native import Native, definition, run
from test_math import same, twin
from twins import random_bits

from caffe2op._core.dtypes import NAMES
from caffe2op.core.defs import OperatorDef, make_argument
from caffe2op.operators import schema
from together import together

RANDOM = ("UniformFill", "GaussianFill", "XavierFill")
SHAPES = hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=6)


@settings(max_examples=150, deadline=None)
@given(shape=SHAPES, dtype=st.sampled_from(NAMES), data=st.data())
def test_constants(shape: tuple[int, ...], dtype: str, data: st.DataObject) -> None:
    value = data.draw(hnp.from_dtype(np.dtype(dtype))).item()
    if dtype == "uint64":
        value = min(value, 2**63 - 1)
    same(
        run("ConstantFill", shape=shape, value=value, dtype=dtype),
        twin("ConstantFill", shape, value, dtype),
    )


def test_the_shape_from_an_input() -> None:
    like, sizes = np.ones((2, 3), np.int8), np.array([4, 0, 2])
    same(run("ConstantFill"), np.array(0, np.float32))
    same(run("ConstantFill", like, value=2), np.full((2, 3), 2, np.float32))
    same(run("ConstantFill", like, extra_shape=[4]), np.zeros((2, 3, 4), np.float32))
    for dtype in (np.int32, np.int64):
        same(run("ConstantFill", sizes.astype(dtype), input_as_shape=1), np.zeros((4, 0, 2), "f"))
    same(
        run("ConstantFill", sizes, input_as_shape=True, extra_shape=(1,)),
        np.zeros((4, 0, 2, 1), "f"),
    )
    assert run("UniformFill", like).shape == (2, 3)
    same(run("ConstantFill", like, in_place=0, value=True, dtype="bool"), np.ones((2, 3), bool))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array([2, -1]), "a dimension of -1"),
        (np.ones((1, 2), int), "one dimension expected"),
        (np.ones(2, np.float32), "int32, int64 expected"),
        (np.ones(9, int), "more than 8"),
        (np.full(4, 2**31), "too many elements"),
        (np.full(1, 2**61), "no memory"),
    ],
)
def test_shapes_that_cannot_be(array: np.ndarray[Any, Any], words: str) -> None:
    with pytest.raises((ValueError, TypeError, MemoryError), match=words):
        run("ConstantFill", array, input_as_shape=1)


@pytest.mark.parametrize(
    ("op", "dtype", "values"),
    [
        ("GivenTensorFill", "float32", [1.5, -2, np.inf, 1e-3, 0, 7]),
        ("GivenTensorDoubleFill", "float64", [1.5, -2, np.nan, 1e300, 0, 7]),
        ("GivenTensorIntFill", "int32", [-(2**31), 2**31 - 1, 0, 1, 2, 3]),
        ("GivenTensorInt64Fill", "int64", [-(2**63), 2**63 - 1, 2**53 + 1, 0, 1, 2]),
        ("GivenTensorBoolFill", "bool", [True, False, 1, 0, True, True]),
    ],
)
def test_given_values(op: str, dtype: str, values: list[Any]) -> None:
    want = np.array(values).astype(dtype)
    same(run(op, values=values), want)
    same(run(op, values=values, shape=[2, 3]), want.reshape(2, 3))
    same(run(op, np.ones((3, 2)), values=values), want.reshape(3, 2))
    operator = Native(op, np.ones((3, 3)), in_place=0, values=values)
    with pytest.raises(ValueError, match=rf"6 values given for output 0: {dtype} \(3, 3\)"):
        operator.run()
    same(operator.fetch(), np.ones((3, 3)))
    same(run(op, values=[]), np.zeros(0, dtype))


@pytest.mark.parametrize(
    ("op", "n", "args", "words"),
    [
        ("ConstantFill", 1, {"shape": [2]}, "given twice"),
        ("ConstantFill", 0, {"extra_shape": [2]}, "'extra_shape' is about an input"),
        ("ConstantFill", 0, {"input_as_shape": 1}, "'input_as_shape' is about an input"),
        ("ConstantFill", 0, {"shape": [2, -1]}, "none of them negative"),
        ("ConstantFill", 0, {"shape": [1] * 9}, "at most 8"),
        ("ConstantFill", 0, {"value": 1.5, "dtype": "int32"}, "that int32 can hold, got 1.5"),
        ("ConstantFill", 0, {"value": 2**31, "dtype": "int32"}, "that int32 can hold"),
        ("ConstantFill", 0, {"value": -1, "dtype": "uint8"}, "that uint8 can hold"),
        ("ConstantFill", 0, {"value": 2.0**63, "dtype": "uint64"}, "that uint64 can hold"),
        ("ConstantFill", 0, {"value": 2, "dtype": "bool"}, "that bool can hold"),
        ("ConstantFill", 0, {"value": float("nan"), "dtype": "int64"}, "that int64 can hold"),
        ("ConstantFill", 0, {"value": 1e39}, "that float32 can hold"),
        ("ConstantFill", 0, {"value": "1"}, "a number"),
        ("ConstantFill", 0, {"dtype": "complex64"}, "complex64"),
        ("UniformFill", 0, {"min": 2.0, "max": 1.0}, "at most 'max', got 2.0 and 1.0"),
        ("UniformFill", 0, {"max": float("nan")}, "finite in float32"),
        ("GaussianFill", 0, {"std": -1.0}, "must not be negative"),
        ("GaussianFill", 0, {"mean": 1e39}, "finite in float32"),
        ("GivenTensorFill", 0, {}, "'values'.* is missing"),
        ("GivenTensorFill", 0, {"values": [1e39]}, "that float32 can hold"),
        ("GivenTensorIntFill", 0, {"values": [2**31]}, "that int32 can hold"),
        ("GivenTensorBoolFill", 0, {"values": [2]}, "list of bools"),
    ],
)
def test_schemas_refuse(op: str, n: int, args: dict[str, Any], words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        schema.validate(definition(op, n, **args))


# ---- random numbers ---------------------------------------------------------------------------


def test_the_generator_is_splitmix64() -> None:
    """The first outputs for this seed, as published for the reference implementation."""
    assert random_bits(1234567, 5).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


@settings(max_examples=60, deadline=None)
@given(shape=SHAPES, seed=st.integers(-(2**63), 2**63 - 1))
def test_a_seed_gives_the_twins_numbers(shape: tuple[int, ...], seed: int) -> None:
    same(run("UniformFill", shape=shape, seed=seed), twin("UniformFill", shape, seed=seed))
    same(
        run("UniformFill", shape=shape, seed=seed, min=-3.5, max=1e3),
        twin("UniformFill", shape, -3.5, 1e3, seed),
    )
    # log, sin and cos are the C library's on one side and NumPy's on the other
    np.testing.assert_allclose(
        run("GaussianFill", shape=shape, seed=seed, mean=-1.0, std=2.0),
        twin("GaussianFill", shape, -1.0, 2.0, seed),
        rtol=1e-6,
        atol=1e-6,
    )
    if shape and np.prod(shape):
        same(run("XavierFill", shape=shape, seed=seed), twin("XavierFill", shape, seed))


def test_distributions() -> None:
    n = 200_000
    u = run("UniformFill", shape=[n], min=2.0, max=4.0, seed=1)
    assert u.min() >= 2
    assert u.max() <= 4
    # means within 5 standard errors; the share of each tenth too
    assert abs(u.mean() - 3) < 5 * 2 / np.sqrt(12 * n)
    assert np.all(np.abs(np.histogram(u, 10, (2, 4))[0] - n / 10) < 5 * np.sqrt(n * 0.09))
    g = (run("GaussianFill", shape=[n], mean=5.0, std=3.0, seed=1).astype(float) - 5) / 3
    assert abs(g.mean()) < 5 / np.sqrt(n)
    assert abs(g.std() - 1) < 5 / np.sqrt(2 * n)
    for bound, share in ((1, 0.682689), (2, 0.954500), (3, 0.997300)):
        assert abs((np.abs(g) < bound).mean() - share) < 5 * np.sqrt(share * (1 - share) / n)
    assert abs(np.corrcoef(g[::2], g[1::2])[0, 1]) < 5 / np.sqrt(n / 2)
    x = run("XavierFill", shape=[100, 20, 15], seed=1)
    assert abs(x).max() <= np.float32(np.sqrt(3 / 300))
    assert abs(x.var() * 300 - 1) < 0.03


def test_a_fill_of_one_never_reaches_one() -> None:
    assert run("UniformFill", shape=[300_000], seed=7).max() < 1


@pytest.mark.parametrize("op", RANDOM)
def test_seeded_runs_repeat_and_others_do_not(op: str) -> None:
    seeded, free = Native(op, shape=[50], seed=9), Native(op, shape=[50])
    results = []
    for operator in (seeded, seeded, free, free):
        operator.run()
        results.append(operator.fetch())
    same(results[0], results[1])
    assert not np.any(results[2] == results[3])
    assert not np.array_equal(results[0], run(op, shape=[50], seed=10))
    same(run(op, shape=[50], seed=0), twin(op, [50], seed=0))


def test_xavier_needs_a_dimension() -> None:
    with pytest.raises(ValueError, match="one dimension or more"):
        run("XavierFill")
    same(run("XavierFill", shape=[0, 5]), np.zeros((0, 5), np.float32))
    same(run("XavierFill", shape=[5, 0]), np.zeros((5, 0), np.float32))


def test_threads_have_streams_of_their_own() -> None:
    operators = [Native("UniformFill", shape=[64]) for _ in range(8)]
    together(*(o.run for o in operators))
    assert len({o.fetch().tobytes() for o in operators}) == len(operators)


FORK = """
import os, sys
from run_native import run
r, w = os.pipe()
pid = os.fork()
mine = run("UniformFill", shape=[64]).tobytes()
if pid == 0:
    os.write(w, mine)
    os._exit(0)
theirs = os.read(r, 256)
os.waitpid(pid, 0)
sys.exit(len(theirs) != 256 or mine == theirs)
"""


@pytest.mark.skipif(
    not hasattr(sys, "getswitchinterval") or sys.platform == "win32", reason="there is no fork"
)
def test_a_forked_child_has_a_stream_of_its_own() -> None:
    path = [str(Path(__file__).parent), *sys.path]
    program = f"import sys; sys.path[:0] = {path!r}\n{FORK}"
    done = subprocess.run([sys.executable, "-c", program], timeout=60, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_an_operator_takes_its_arguments_by_name_only() -> None:
    op = OperatorDef("UniformFill", [], ["y"], arg=[make_argument("low", 1.0)])
    with pytest.raises(ValueError, match="'low'"):
        schema.validate(op)
