"""Any program of operations does to an AtomicArray what it does to the NumPy twin."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from twin import BIT_FETCHES, FETCHES, INTEGERS, NUMBERS, Twin, bounds

from caffe2op.atomics import AtomicArray

# Sums of a few of these stay finite, and NaNs all have the same bits, so results are exact.
_FLOATS = st.one_of(
    st.floats(-(2.0**100), 2.0**100, width=32), st.just(float("nan")), st.just(-0.0)
)


def values(dtype: str) -> st.SearchStrategy[Any]:
    if dtype == "bool":
        return st.booleans()
    if dtype in INTEGERS:
        least, most = bounds(dtype)
        near = [v for v in (least, -1, 0, 1, 255, 256, 257, most) if least <= v <= most]
        return st.one_of(st.integers(least, most), st.sampled_from(near))
    return _FLOATS


def indices(shape: tuple[int, ...]) -> st.SearchStrategy[Any]:
    size = int(np.prod(shape))
    return st.one_of(
        st.integers(-size, size - 1), st.tuples(*(st.integers(-n, n - 1) for n in shape))
    )


@st.composite
def arrays(draw: st.DrawFn, dtypes: tuple[str, ...]) -> np.ndarray:
    dtype = draw(st.sampled_from(dtypes))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, max_side=4))
    return draw(hnp.arrays(dtype, shape, elements=values(dtype)))


def equal(x: Any, y: Any) -> bool:
    return bool(np.array_equal(x, y, equal_nan=np.asarray(x).dtype.kind == "f"))


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_any_program_of_single_operations(data: st.DataObject) -> None:
    start = data.draw(arrays(("bool", *NUMBERS)))
    dtype = start.dtype.name
    real, twin = AtomicArray(start.copy()), Twin(start)
    names = ["load", "store", "exchange", "compare_exchange"]
    names += [] if dtype == "bool" else list(FETCHES)
    names += list(BIT_FETCHES) if dtype in INTEGERS else []
    for _ in range(data.draw(st.integers(1, 10))):
        name, index = data.draw(st.sampled_from(names)), data.draw(indices(start.shape))
        arguments = [data.draw(values(dtype)) for _ in range(2)]
        cell = real.cell(index) if data.draw(st.booleans()) else None
        target, place = (real, (index,)) if cell is None else (cell, ())
        if name == "load":
            assert equal(target.load(*place), twin.load(index))
        elif name == "store":
            target.store(*place, arguments[0])
            twin.store(index, arguments[0])
        elif name == "compare_exchange":
            expected = twin.load(index) if data.draw(st.booleans()) else arguments[0]
            swapped, observed = target.compare_exchange(*place, expected, arguments[1])
            wanted = twin.compare_exchange(index, expected, arguments[1])
            assert swapped == wanted[0]
            assert equal(observed, wanted[1])
        else:
            result = getattr(target, name)(*place, arguments[0])
            assert equal(result, twin.fetch(name, index, arguments[0]))
        assert equal(real.array, twin.array)


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_bulk_operations(data: st.DataObject) -> None:
    start = data.draw(arrays(NUMBERS))
    dtype = start.dtype.name
    real, twin = AtomicArray(start.copy()), Twin(start)
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=6))
    # A width that can hold every index of the array.
    index_dtype = data.draw(st.sampled_from(["int8", "int32", "int64"]))
    size = start.size
    where = data.draw(hnp.arrays(index_dtype, shape, elements=st.integers(-size, size - 1)))
    amounts: Any = data.draw(hnp.arrays(dtype, shape, elements=values(dtype)))
    if data.draw(st.booleans()):
        amounts = data.draw(values(dtype))
    assert equal(real.fetch_add_at(where, amounts), twin.fetch_add_at(where, amounts))
    assert equal(real.array, twin.array)
    real.add_at(where, amounts)
    twin.fetch_add_at(where, amounts)
    assert equal(real.array, twin.array)
    assert equal(real.gather(where), twin.array.reshape(-1)[where])


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_dense_add(data: st.DataObject) -> None:
    start = data.draw(arrays(NUMBERS))
    dtype = start.dtype.name
    small = st.integers(0, 100)
    amounts = data.draw(hnp.arrays(dtype, start.shape, elements=small))
    scale = data.draw(small.filter(lambda v: dtype != "int8" or v < 128))
    real, twin = AtomicArray(start.copy()), Twin(start)
    real.add(amounts, scale)
    twin.add(amounts, scale)
    if start.dtype.kind == "f":  # the compiler may fuse the multiplication with the addition
        np.testing.assert_allclose(real.array, twin.array, rtol=1e-6)
    else:
        assert equal(real.array, twin.array)
