"""Values, indices and arrays that NumPy would bend into shape: refused, or taken for what they
are."""

import warnings

import numpy as np
import pytest

from caffe2op.atomics import AtomicArray, Mutex


class Unlucky:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def __index__(self) -> int:
        raise self.error

    __float__ = __index__


@pytest.mark.parametrize(
    "value",
    [
        np.complex64(1 + 2j),
        np.complex128(1),
        np.array(1j),
        1j,
        np.void(b"ab"),
        np.str_("1.5"),
        np.datetime64(1, "s"),
        np.timedelta64(1, "s"),
        np.array("1.5"),
        np.bool_(True),  # refused as an int, too
        np.array(True),
        b"1",
    ],
    ids=repr,
)
def test_floats_of_what_is_no_real_number(value) -> None:
    array = AtomicArray(np.zeros(1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(TypeError, match=r"value: .* given; accepted: a float or an int"):
            array.store(0, value)
    assert array.load(0) == 0


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble", "int8", "uint64"])
@pytest.mark.parametrize("of", [lambda t: t(3), lambda t: np.array(3, t)])
def test_floats_of_numpy_numbers(dtype, of) -> None:
    array = AtomicArray(np.zeros(1))
    array.store(0, of(np.dtype(dtype).type))
    assert array.load(0) == 3


def test_what_a_value_raises_is_raised() -> None:
    array = AtomicArray(np.zeros(1))
    with pytest.raises(ZeroDivisionError):
        array.store(0, Unlucky(ZeroDivisionError()))


@pytest.mark.filterwarnings("ignore:Setting the dtype:DeprecationWarning")  # NumPy 2.5
def test_assigning_to_the_view_changes_the_view_only() -> None:
    """Else the bulk operations would take 8 bytes for 64."""
    memory = np.zeros(16, np.int8)
    array = AtomicArray(memory[:8])
    view = array.array
    view.dtype = np.int64
    assert (array.dtype, array.shape, array.size) == (np.int8, (8,), 8)
    array.add_at([7], 1)
    array.add(1)
    assert memory.tolist() == [1] * 7 + [2] + [0] * 8


def misaligned(values: list[int], dtype: str) -> np.ndarray:
    size = np.dtype(dtype).itemsize
    memory = np.zeros(len(values) * size + 1, np.uint8)
    array = memory[1:].view(dtype)
    array[:] = values
    assert not array.flags.aligned
    return array


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_misaligned_indices_and_values(dtype) -> None:
    """C may assume that what it is given is aligned."""
    from caffe2op.atomics.conversion import as_indices, as_values

    indices, values = misaligned([0, 1, 1], dtype), misaligned([1, 2, 3], dtype)
    assert as_indices(indices).flags.aligned
    assert as_values(values, np.dtype(dtype)).flags.aligned
    array = AtomicArray(np.zeros(3, dtype))
    array.add_at(indices, values)
    array.add(values)
    assert array.array.tolist() == [2, 7, 3]
    assert array.gather(indices).tolist() == [2, 7, 7]


@pytest.mark.parametrize(
    ("indices", "error", "text"),
    [
        ([[1], [2, 3]], ValueError, "indices: NumPy makes no array of this list"),
        ([2**70], IndexError, "indices: an int beyond 64 bits"),
        (np.ma.array([0, 1], mask=[1, 0]), TypeError, "indices: a masked array"),
        (np.array([0, 1], object), TypeError, "indices: an array of object given"),
    ],
)
def test_indices_that_are_none(indices, error, text) -> None:
    array = AtomicArray(np.zeros(3, np.int64))
    for call in (array.gather, lambda i: array.add_at(i, 1)):
        with pytest.raises(error, match=text):
            call(indices)
    assert not array.array.any()


@pytest.mark.parametrize(
    ("values", "error", "text"),
    [
        ([[1], [2, 3]], ValueError, "values: NumPy makes no array of this list"),
        ([2**70, 1], OverflowError, "values: an int beyond 64 bits does not fit int64"),
        (np.ma.array([0, 1], mask=[1, 0]), TypeError, "values: a masked array"),
    ],
)
def test_values_that_are_none(values, error, text) -> None:
    array = AtomicArray(np.zeros(2, np.int64))
    with pytest.raises(error, match=text):
        array.add_at([0, 1], values)
    assert not array.array.any()


@pytest.mark.parametrize(
    ("dtype", "values", "text"),
    [
        ("int64", [-1, 2**63], "values: 9223372036854775808 does not fit int64; accepted: -9223"),
        (
            "uint64",
            [2**63, -1],
            r"values: -1 does not fit uint64; accepted: 0\.\.18446744073709551",
        ),
        ("int8", [[-1], [2**63]], "values: 9223372036854775808 does not fit int8; accepted: -128"),
        ("uint64", [2**64, -1], "values: an int beyond 64 bits does not fit uint64"),
    ],
)
def test_ints_that_numpy_makes_floats_of(dtype, values, text) -> None:
    array = AtomicArray(np.zeros(2, dtype))
    with pytest.raises(OverflowError, match=text):
        array.add_at([0, 1], values)
    with pytest.raises(TypeError, match="values: an array of float64 given; accepted: integers"):
        array.add_at([0, 1], [0, 1.0])
    with pytest.raises(IndexError, match=r"indices: 9223372036854775808 .* beyond int64"):
        array.gather([-1, 2**63])
    assert not array.array.any()


def test_large_ints_are_floats_in_bulk_as_one_by_one() -> None:
    array = AtomicArray(np.zeros(2))
    array.add(2**70)
    array.add_at([0, 1], [2**70, -(2**70)])
    assert array.array.tolist() == [2.0**71, 0]
    with pytest.raises(OverflowError, match="values: an int beyond 64 bits does not fit float64"):
        array.add(10**400)


def test_a_signalling_nan_is_a_nan() -> None:
    signalling = np.array([0x7FF0000000000001], np.uint64).view(np.float64)
    array = AtomicArray(np.zeros(1, np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        array.add(signalling)
    assert np.isnan(array.load(0))


@pytest.mark.parametrize("timeout", [10**400, -(10**400)])
def test_a_timeout_that_is_no_float(timeout) -> None:
    mutex = Mutex()
    with pytest.raises(OverflowError, match=r"timeout: .* accepted: 0 to 9.2e9 seconds"):
        mutex.acquire(timeout=timeout)
    assert not mutex.locked()
