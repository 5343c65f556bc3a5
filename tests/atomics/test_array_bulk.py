"""AtomicArray: add_at and add, many elements in one call."""

from typing import Any

import numpy as np
import pytest
from twin import INTEGERS, NUMBERS, Twin

from caffe2op.atomics import AtomicArray


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("index_dtype", INTEGERS)
def test_add_at_like_its_twin(dtype: str, index_dtype: str) -> None:
    start = np.arange(7).astype(dtype)
    indices = np.array([[0, 6, 0], [3, 3, 1]], index_dtype)
    values = np.array([[1, 2, 3], [4, 5, 6]], dtype)
    for given in (values, 2):
        a, twin = AtomicArray(start.copy()), Twin(start)
        before = a.fetch_add_at(indices, given)
        np.testing.assert_array_equal(before, twin.fetch_add_at(indices, given))
        np.testing.assert_array_equal(a.array, twin.array)
        assert before.dtype == dtype
        b = AtomicArray(start.copy())
        b.add_at(indices, given)
        np.testing.assert_array_equal(b.array, twin.array)
        np.testing.assert_array_equal(b.gather(indices), twin.array[indices])


def test_bulk_indices_count_over_all_elements() -> None:
    a = AtomicArray(np.zeros((2, 3), np.int64))
    a.add_at([4, -1], [1, 2])
    assert a.array.tolist() == [[0, 0, 0], [0, 1, 2]]
    assert a.gather(np.int32(-2)) == 1
    assert a.gather([[4], [5]]).tolist() == [[1], [2]]


@pytest.mark.parametrize("dtype", NUMBERS)
def test_dense_add_like_its_twin(dtype: str) -> None:
    start = np.arange(6).reshape(2, 3).astype(dtype)
    for values, scale in ((start, 1), (start, 3), (2, 1), (start[::-1], 2)):
        a, twin = AtomicArray(start.copy()), Twin(start)
        a.add(values, scale)
        twin.add(values, scale)
        np.testing.assert_array_equal(a.array, twin.array)


@pytest.mark.parametrize("bad", [6, -7, 2**40])
def test_a_bad_bulk_index_changes_nothing(bad: int) -> None:
    a = AtomicArray(np.zeros(6, np.int64))
    for operation in (lambda i: a.add_at(i, 1), lambda i: a.fetch_add_at(i, 1), a.gather):
        with pytest.raises(IndexError, match=rf"indices: {bad} at position 2 .* -6\.\.5"):
            operation([0, 1, bad, 9])
    assert not a.array.any()


def test_an_unsigned_index_beyond_int64() -> None:
    with pytest.raises(IndexError, match=f"indices: {2**63} at position 1 is beyond int64"):
        AtomicArray(np.zeros(3)).add_at(np.array([0, 2**63], np.uint64), 1.0)


@pytest.mark.parametrize("indices", [[0.0], [True], ["0"], np.zeros(0), np.zeros(2, "M8[s]"), None])
def test_what_are_no_indices(indices: Any) -> None:
    with pytest.raises(TypeError, match=r"indices: .* accepted: integers"):
        AtomicArray(np.zeros(3)).add_at(indices, 1)


@pytest.mark.parametrize(
    ("dtype", "values", "error"),
    [
        ("int32", 1.0, TypeError),
        ("int32", np.ones(2, np.float32), TypeError),
        ("int32", np.zeros(0), TypeError),
        ("int32", 2**31, OverflowError),
        ("int32", [1, -(2**31) - 1], OverflowError),
        ("uint64", -1, OverflowError),
        ("int64", 2**63, OverflowError),
        ("int64", 2**64, OverflowError),
        ("uint8", np.array([0, 256]), OverflowError),
        ("float64", "1", TypeError),
        ("float64", 1j, TypeError),
        ("float64", None, TypeError),
        ("float64", np.ones(2, np.longdouble), TypeError),
        ("float32", 1e39, OverflowError),
        ("float32", np.array([0, 1e39]), OverflowError),
    ],
)
def test_bulk_values_that_do_not_fit(dtype: str, values: Any, error: type[Exception]) -> None:
    a = AtomicArray(np.zeros(2, dtype))
    indices = np.zeros(np.shape(values), int)
    with pytest.raises(error, match=r"^values: "):
        a.add_at(indices, values)
    with pytest.raises(error, match=r"^values: "):
        a.add(values)
    if np.ndim(values) == 0:
        with pytest.raises(error, match=r"^scale: "):
            a.add(1, values)
    assert not a.array.any()


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("int32", np.array([1, 2], np.int8)),
        ("int8", np.array([1, 2], np.uint64)),
        ("uint64", np.array([1, 2], np.int64)),
        ("int16", np.array([True, False])),
        ("float32", np.array([1, 2], np.float64)),
        ("float64", np.array([1, 2], np.float16)),
        ("float32", np.array([1, 2], np.int64)),
        ("int64", np.array([1, 2], ">i8")),
        ("int64", np.array([1, 0, 2, 0])[::2]),
        ("float32", np.array([np.inf, np.nan])),
        ("int64", [1, 2]),
    ],
)
def test_bulk_values_that_are_converted(dtype: str, values: Any) -> None:
    a = AtomicArray(np.zeros(2, dtype))
    a.add_at([0, 1], values)
    np.testing.assert_array_equal(a.array, np.asarray(values))


def test_shapes_must_agree() -> None:
    a = AtomicArray(np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"values: shape \(3,\) given; accepted: \(2,\)"):
        a.add_at([0, 1], [1, 2, 3])
    with pytest.raises(ValueError, match=r"values: shape \(1,\) given; accepted: \(2,\)"):
        a.add_at([0, 1], [1])
    with pytest.raises(ValueError, match=r"values: shape \(3,\) given; accepted: \(2, 3\)"):
        a.add([1, 2, 3])
    with pytest.raises(ValueError, match="scale: shape"):
        a.add(1, [1, 2])
    assert not a.array.any()


def test_empty_bulk_operations_do_nothing() -> None:
    a = AtomicArray(np.ones(3, np.int32))
    a.add_at([], [])
    a.add_at(np.zeros((0, 2), int), 1)
    assert a.fetch_add_at([], []).shape == (0,)
    assert a.gather(np.zeros((0, 2), int)).shape == (0, 2)
    assert a.array.tolist() == [1, 1, 1]
    with pytest.raises(TypeError, match="values"):
        a.add_at([], np.zeros(0, np.float32))


def test_overlapping_memory_is_read_first() -> None:
    a = AtomicArray(np.arange(1, 5))
    a.add(a.array[::-1])
    assert a.array.tolist() == [5, 5, 5, 5]
    b = AtomicArray(np.arange(4))
    b.add_at(b.array, b.array)  # indices and values are the array itself
    assert b.array.tolist() == [0, 2, 4, 6]
    c = AtomicArray(np.array([1, 2, 3, 4]))
    c.add_at([1, 2, 3], c.array[:-1])
    assert c.array.tolist() == [1, 3, 5, 7]


def test_bulk_adds_of_bools_are_refused() -> None:
    a = AtomicArray(np.zeros(3, bool))
    with pytest.raises(TypeError, match="these elements are bool"):
        a.add_at([0], True)
    with pytest.raises(TypeError, match="these elements are bool"):
        a.add(True)
    assert a.gather([0, 1]).tolist() == [False, False]
