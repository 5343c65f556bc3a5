"""Rows by index against NumPy: dtypes x shapes x indices, refusals, and threads at once."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from run_native import Native, definition, run
from test_math import FLOATS, same, twin
from twins import Array

from caffe2op._core.dtypes import NAMES
from caffe2op.operators import schema
from together import together

INDEX = ("int32", "int64")


@st.composite
def tables(draw: st.DrawFn, dtypes: tuple[str, ...], flat: bool = False) -> tuple[Array, Array]:
    """DATA, and INDICES into it; without rows, no indices."""
    data = draw(
        hnp.arrays(
            draw(st.sampled_from(dtypes)),
            hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5),
        )
    )
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=1 if flat else 3, min_side=0, max_side=6))
    rows = len(data)
    if rows == 0:
        shape = (0, *shape[1:])
    values = st.integers(0, max(rows - 1, 0))
    return data, draw(hnp.arrays(draw(st.sampled_from(INDEX)), shape, elements=values))


def like_rows(data: Array, indices: Array) -> tuple[int, ...]:
    return (*indices.shape, *data.shape[1:])


@settings(max_examples=150, deadline=None)
@given(table=tables(NAMES))
def test_gather(table: tuple[Array, Array]) -> None:
    same(run("Gather", *table), twin("Gather", *table))


@settings(max_examples=150, deadline=None)
@given(table=tables(NAMES), data=st.data())
def test_scatter_assign(table: tuple[Array, Array], data: st.DataObject) -> None:
    slices = data.draw(hnp.arrays(table[0].dtype, like_rows(*table)))
    same(run("ScatterAssign", *table, slices, in_place=0), twin("ScatterAssign", *table, slices))


@settings(max_examples=150, deadline=None)
@given(
    table=tables(FLOATS),
    terms=st.integers(1, 4),
    w0=st.sampled_from([0, 1, -0.5]),
    seed=st.integers(0, 999),
)
def test_scatter_weighted_sum(table: tuple[Array, Array], terms: int, w0: float, seed: int) -> None:
    x0, indices = table
    rng = np.random.default_rng(seed)
    pairs = []
    for k in range(terms):
        pairs += [
            np.asarray(rng.standard_normal(like_rows(x0, indices))).astype(x0.dtype),
            np.full((1,) if k else (), rng.standard_normal()).astype(x0.dtype),
        ]
    inputs = x0, np.array([w0], x0.dtype), indices, *pairs
    got = run("ScatterWeightedSum", *inputs, in_place=0)
    if w0 == 1 and x0.size == len(x0) and indices.size >= 64:  # by add_at: in an order of its own
        want = twin("ScatterWeightedSum", *inputs)
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-3)
    else:
        same(got, twin("ScatterWeightedSum", *inputs))


@settings(max_examples=150, deadline=None)
@given(
    table=tables(FLOATS, flat=True),
    cuts=st.lists(st.integers(0, 6), max_size=6),
    weighted=st.booleans(),
)
def test_sparse_lengths_sum(table: tuple[Array, Array], cuts: list[int], weighted: bool) -> None:
    data, indices = table
    n = len(indices)
    lengths = np.diff([0, *sorted(min(c, n) for c in cuts), n]).astype(np.int32)
    if weighted:
        w = np.linspace(-2, 2, n).astype(data.dtype)
        same(
            run("SparseLengthsWeightedSum", data, w, indices, lengths),
            twin("SparseLengthsWeightedSum", data, w, indices, lengths),
        )
    else:
        same(
            run("SparseLengthsSum", data, indices, lengths),
            twin("SparseLengthsSum", data, indices, lengths),
        )


@pytest.mark.parametrize("width", [1, 3, 16])
@pytest.mark.parametrize("n", [255, 256, 257, 1000])
def test_more_indices_than_fit_a_chunk(n: int, width: int) -> None:
    rng = np.random.default_rng(n)
    data = rng.standard_normal((300, width)).astype(np.float32)
    indices = rng.integers(0, 300, n)
    lengths = np.array([0, n // 3, 0, n - n // 3 - 1, 1, 0], np.int32)
    weights = rng.standard_normal(n).astype(np.float32)
    # Whole numbers: what falls on one row is summed in an order of its own.
    whole = rng.integers(-9, 9, (300, width)).astype(np.float32)
    slices = rng.integers(-9, 9, (n, width)).astype(np.float32)
    one, step = np.ones(1, np.float32), np.full(1, -2, np.float32)
    for op, in_place, inputs in (
        ("Gather", None, (data, indices)),
        ("SparseLengthsSum", None, (data, indices, lengths)),
        ("SparseLengthsWeightedSum", None, (data, weights, indices, lengths)),
        ("ScatterAssign", 0, (data, indices, slices)),
        ("ScatterWeightedSum", 0, (whole, one, indices, slices, step)),
        ("ScatterWeightedSum", 0, (whole, one, indices, slices, one)),
        ("ScatterWeightedSum", 0, (whole, one, indices, slices, one, slices, step)),
    ):
        same(run(op, *inputs, in_place=in_place), twin(op, *inputs))


# ---- refusals, with nothing changed -----------------------------------------------------------

ONE = np.ones(1, np.float32)


def sparse_operators(indices: Array) -> list[tuple[str, int | None, tuple[Array, ...], int]]:
    """Each operator on 5 rows of 2 with these indices, and which input they are."""
    data = np.arange(10, dtype=np.float32).reshape(5, 2)
    n = indices.size
    slices = np.full((*indices.shape, 2), 77, np.float32)
    lengths = np.array([n], np.int32)
    return [
        ("Gather", None, (data, indices), 1),
        ("SparseLengthsSum", None, (data, indices, lengths), 1),
        ("SparseLengthsWeightedSum", None, (data, np.ones(n, np.float32), indices, lengths), 2),
        ("ScatterAssign", 0, (data, indices, slices), 1),
        ("ScatterWeightedSum", 0, (data, ONE, indices, slices, ONE), 2),
    ]


@pytest.mark.parametrize("bad", [-1, 5, -(2**31), 2**31 - 1, 2**31, 2**32, -(2**63), 2**63 - 1])
@pytest.mark.parametrize("dtype", INDEX)
@pytest.mark.parametrize("which", range(5))
def test_an_index_out_of_range(which: int, dtype: str, bad: int) -> None:
    if not np.iinfo(dtype).min <= bad <= np.iinfo(dtype).max:
        return
    indices = np.zeros(600, dtype)
    indices[590] = bad
    op, in_place, inputs, k = sparse_operators(indices)[which]
    operator = Native(op, *inputs, in_place=in_place)
    with pytest.raises(
        IndexError,
        match=rf"input {k}: index {bad} at position 590 given, "
        "0 <= index < 5 expected",
    ):
        operator.run()
    same(operator.fetch(operator.inputs[0]), inputs[0])


@pytest.mark.parametrize("which", range(5))
def test_indices_are_integers(which: int) -> None:
    op, in_place, inputs, k = sparse_operators(np.zeros(3, np.float32))[which]
    with pytest.raises(TypeError, match=rf"input {k}: float32 \(3,\) given, int32, int64"):
        run(op, *inputs, in_place=in_place)


@pytest.mark.parametrize("which", range(5))
def test_data_has_a_dimension(which: int) -> None:
    op, in_place, inputs, _ = sparse_operators(np.zeros(3, np.int64))[which]
    with pytest.raises(ValueError, match=r"input 0: float32 \(\) given, one dimension or more"):
        run(op, np.zeros((), np.float32), *inputs[1:], in_place=in_place)


@pytest.mark.parametrize(
    ("lengths", "error", "words"),
    [
        ([2, -1, 2], ValueError, "input 2: length -1 at position 1 given, >= 0 expected"),
        ([2, 2], ValueError, r"add up to 4, 3 \(the indices\) expected"),
        ([1], ValueError, "add up to 1, 3"),
        ([], ValueError, "add up to 0, 3"),
        ([2**31 - 1] * 5, ValueError, "add up to 10737418235, 3"),
        ([[3]], ValueError, "one dimension expected"),
    ],
)
def test_lengths(lengths: Any, error: type[Exception], words: str) -> None:
    data, indices = np.ones((5, 2), np.float32), np.zeros(3, np.int64)
    with pytest.raises(error, match=words):
        run("SparseLengthsSum", data, indices, np.array(lengths, np.int32))
    with pytest.raises(TypeError, match=r"int64.* given, int32 expected"):
        run("SparseLengthsSum", data, indices, np.array([3]))
    with pytest.raises(ValueError, match=r"one weight for each of int64 \(3,\) expected"):
        run("SparseLengthsWeightedSum", data, np.ones(2, np.float32), indices, np.array([3], "i4"))


@pytest.mark.parametrize("shape", [(3,), (2, 2), (3, 3), (3, 2, 1), (6,)])
def test_slices_of_another_shape(shape: tuple[int, ...]) -> None:
    data, indices = np.zeros((5, 2), np.float32), np.zeros(3, np.int64)
    for op, inputs in (
        ("ScatterAssign", (data, indices, np.ones(shape, np.float32))),
        ("ScatterWeightedSum", (data, ONE, indices, np.ones(shape, "f"), ONE)),
    ):
        operator = Native(op, *inputs, in_place=0)
        with pytest.raises(ValueError, match=r"float32 \(3, 2\) expected") as error:
            operator.run()
        assert str(shape) in str(error.value)
        same(operator.fetch(), data)
    with pytest.raises(TypeError, match=r"float64 \(3, 2\) given, float32 \(3, 2\) expected"):
        run("ScatterAssign", data, indices, np.ones((3, 2)), in_place=0)


def test_more_than_eight_dimensions() -> None:
    with pytest.raises(ValueError, match="has 9 dimensions, at most 8"):
        run("Gather", np.zeros((2,) * 5, np.float32), np.zeros((1,) * 5, int))


def test_schemas_refuse() -> None:
    for op, n in (("ScatterAssign", 3), ("ScatterWeightedSum", 5)):
        with pytest.raises(ValueError, match="must be the same blob"):
            schema.validate(definition(op, n))
    with pytest.raises(ValueError, match="must be different blobs"):
        schema.validate(definition("Gather", 2, in_place=0))
    with pytest.raises(ValueError, match="pairs"):
        schema.validate(definition("ScatterWeightedSum", 6, in_place=0))
    with pytest.raises(ValueError, match="5 to 35 inputs"):
        schema.validate(definition("ScatterWeightedSum", 37, in_place=0))


# ---- at the same time -------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
def test_no_update_is_lost(dtype: str) -> None:
    """Four threads add to the same few rows; whole numbers, so the sum is exact."""
    weights, runs, n = np.zeros((3, 4), dtype), 60, 2000
    rng = np.random.default_rng(8)
    operators, want = [], np.zeros((3, 4))
    for _ in range(4):
        indices = rng.integers(0, 3, n)
        slices = rng.integers(-3, 4, (n, 4)).astype(dtype)
        one, two = np.ones(1, dtype), np.full(1, 2, dtype)
        operators.append(
            Native(
                "ScatterWeightedSum", weights, one, indices, slices, two, in_place=0, shared=(0,)
            )
        )
        np.add.at(want, indices, 2.0 * runs * slices)
    together(*[lambda o=o: [o.run() for _ in range(runs)] for o in operators])
    np.testing.assert_array_equal(weights, want)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("rows", [50, 200_000])
def test_rows_of_one_element_are_scattered_in_bulk(rows: int, dtype: str) -> None:
    """More indices than one portion of them has; four threads at once."""
    rng = np.random.default_rng(rows)
    indices = np.where(rng.random(70_000) < 0.5, 1, rng.integers(0, rows, 70_000))
    slices = rng.integers(-3, 4, 70_000).astype(dtype)
    data, one, two = np.zeros(rows, dtype), np.ones(1, dtype), np.full(1, 2, dtype)
    operators = [
        Native(
            "ScatterWeightedSum", data, one, indices, slices, two, slices, one,
            in_place=0, shared=(0,),
        )
        for _ in range(4)
    ]  # fmt: skip
    together(*[lambda o=o: [o.run() for _ in range(5)] for o in operators])
    want = np.zeros(rows)
    np.add.at(want, indices, 4 * 5 * 3.0 * slices)
    np.testing.assert_array_equal(data, want)


@pytest.mark.parametrize("dtype", FLOATS)
def test_no_scaling_is_lost(dtype: str) -> None:
    """The compare-exchange loop. Two threads turn the sign of 64 elements, an even number of
    times in all: one lost turn leaves a -1, unless a second is lost in the same element."""
    x, minus, zero = np.ones((1, 64), dtype), np.full(1, -1, dtype), np.zeros(1, dtype)
    n = 4000
    operators = [
        Native(
            "ScatterWeightedSum",
            x,
            minus,
            np.zeros(n, np.int32),
            np.zeros((n, 64), dtype),
            zero,
            in_place=0,
            shared=(0,),
        )
        for _ in range(2)
    ]
    together(*[lambda o=o: [o.run() for _ in range(20)] for o in operators])
    np.testing.assert_array_equal(x, np.ones((1, 64), dtype))


@pytest.mark.parametrize("which", range(5))
def test_indices_that_change_meanwhile_stay_inside(which: int) -> None:
    """Another thread writes bad indices while the operator runs: it works or says IndexError,
    and touches nothing outside of DATA, which stands between guard rows here."""
    indices = np.zeros(4000, np.int64)
    op, in_place, inputs, _ = sparse_operators(indices)[which]
    padded = np.full((15, 2), -5, np.float32)
    data = padded[5:10]
    data[:] = inputs[0]
    operator = Native(
        op,
        data,
        *inputs[1:],
        in_place=in_place,
        shared=(0, next(k for k, x in enumerate(inputs) if x is indices)),
    )
    outcomes = set()
    end = time.monotonic() + 0.3
    stop = threading.Event()

    def change() -> None:
        while not stop.is_set():
            for bad in (5, -1, 2**40, -(2**62), 4):
                indices[:] = bad
            indices[:] = 1

    def work() -> None:
        try:
            while time.monotonic() < end:
                try:
                    operator.run()
                    outcomes.add("worked")
                except IndexError:
                    outcomes.add("refused")
        finally:
            stop.set()

    together(change, work)
    assert outcomes <= {"worked", "refused"}
    assert outcomes
    assert np.all(padded[:5] == -5)
    assert np.all(padded[10:] == -5)
    if op == "Gather" and "worked" in outcomes:
        assert set(np.unique(operator.fetch())) <= set(np.unique(inputs[0]))


def test_lengths_that_change_meanwhile() -> None:
    lengths = np.ones(1000, np.int32)
    operator = Native(
        "SparseLengthsSum",
        np.ones((4, 3), np.float32),
        np.zeros(1000, np.int64),
        lengths,
        shared=(2,),
    )
    end, stop = time.monotonic() + 0.3, threading.Event()
    seen = set()

    def change() -> None:
        while not stop.is_set():
            lengths[500] = 2**31 - 1
            lengths[500] = -7
            lengths[500] = 1

    def work() -> None:
        try:
            while time.monotonic() < end:
                try:
                    operator.run()
                    seen.add("worked")
                except ValueError:
                    seen.add("refused")
        finally:
            stop.set()

    together(change, work)
    assert seen
    out = operator.fetch()
    assert out.shape == (1000, 3)
    assert np.all((out >= 0) & (out <= 1000))
