"""AtomicArray: indices, values, errors, bulk operations, threads."""

import copy
import pickle
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from twin import BIT_FETCHES, DTYPES, FETCHES, FLOATS, INTEGERS, NUMBERS, Twin, bounds

from caffe2op.atomics import AtomicArray


class Index:
    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


def test_it_is_a_view_of_the_callers_memory() -> None:
    memory = np.zeros((2, 3), np.int32)
    a = AtomicArray(memory)
    a.store((1, 2), 7)
    assert memory[1, 2] == 7
    memory[0, 0] = 5
    assert a.load(0) == 5
    assert np.shares_memory(a.array, memory)
    assert (a.dtype, a.shape, a.size, len(a)) == (np.int32, (2, 3), 6, 2)


@pytest.mark.parametrize("dtype", DTYPES)
def test_results_are_python_objects(dtype: str) -> None:
    a = AtomicArray(np.ones(2, dtype))
    kind = {"b": bool, "i": int, "u": int, "f": float}[a.dtype.kind]
    assert type(a.load(0)) is kind
    assert type(a.exchange(0, 1)) is kind
    swapped, observed = a.compare_exchange(0, 1, 0)
    assert swapped is True
    assert type(observed) is kind
    assert type(a.cell(0).load()) is kind


@pytest.mark.parametrize("index", [5, -1, np.int8(5), np.uint64(5), Index(5), (1, 2), (-1, -1)])
def test_indices_that_name_the_last_element(index: Any) -> None:
    a = AtomicArray(np.arange(6).reshape(2, 3))
    assert a.load(index) == 5
    assert a.fetch_add(index, 1) == 5
    assert a.cell(index).load() == 6


OUTSIDE = [6, -7, 2**40, -(2**80), (2, 0), (0, 3), (0, -4), (), (0,), (0, 0, 0)]


@pytest.mark.parametrize("index", [*OUTSIDE, pytest.param(10**5000, id="huge")])
def test_an_index_out_of_range(index: Any) -> None:
    a = AtomicArray(np.zeros((2, 3)))
    with pytest.raises(IndexError, match=r"index: .* accepted"):
        a.store(index, 1)
    with pytest.raises(IndexError, match=r"index: .* accepted"):
        a.cell(index)
    assert not a.array.any()


@pytest.mark.parametrize("index", [1.0, "0", None, [0], (0, 1.0), (None, 0), slice(0, 1)])
def test_what_is_no_index(index: Any) -> None:
    with pytest.raises(TypeError, match=r"index: .* given; accepted"):
        AtomicArray(np.zeros((2, 3))).load(index)


def test_zero_dimensions() -> None:
    a = AtomicArray(np.array(4))
    assert a.load(()) == a.load(0) == a.load(-1) == 4
    with pytest.raises(TypeError):
        len(a)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_wrap_around(dtype: str) -> None:
    least, most = bounds(dtype)
    a = AtomicArray(np.array([most, least], dtype))
    assert a.fetch_add(0, 1) == most
    assert a.load(0) == least
    assert a.fetch_sub(1, 1) == least
    assert a.load(1) == most


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("name", ["store", "exchange", *FETCHES, *BIT_FETCHES])
def test_an_argument_that_does_not_fit(dtype: str, name: str) -> None:
    least, most = bounds(dtype)
    a = AtomicArray(np.array([3], dtype))
    for value in (least - 1, most + 1, 2**70, -(2**70), 10**5000):
        with pytest.raises(OverflowError, match=rf"^value: .* {dtype}; accepted: {least}\.\."):
            getattr(a, name)(0, value)
    assert a.load(0) == 3


@pytest.mark.parametrize("dtype", INTEGERS)
def test_both_values_of_compare_exchange_are_checked(dtype: str) -> None:
    a = AtomicArray(np.array([3], dtype))
    with pytest.raises(OverflowError, match=r"^expected: "):
        a.compare_exchange(0, 2**64, 1)
    with pytest.raises(OverflowError, match=r"^desired: "):
        a.compare_exchange(0, 3, -(2**63) - 1)
    with pytest.raises(OverflowError, match=r"^expected: "):
        a.wait(0, 2**64)
    assert a.load(0) == 3


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("value", [1.0, np.float32(1), "1", None, 1j, np.bool_(True), [1]])
def test_what_is_no_integer(dtype: str, value: Any) -> None:
    a = AtomicArray(np.array([3], dtype))
    with pytest.raises(TypeError, match=f"^value: .* given; accepted: an int .* {dtype}"):
        a.fetch_add(0, value)
    assert a.load(0) == 3


@pytest.mark.parametrize("dtype", FLOATS)
def test_what_floats_take(dtype: str) -> None:
    a = AtomicArray(np.zeros(1, dtype))
    for value in (1, 0.5, True, np.float32(0.5), np.float64(0.5), np.int16(3), 2**60, Index(4)):
        a.store(0, value)
        wanted = float(value.value if isinstance(value, Index) else value)
        assert a.load(0) == wanted
    for value in ("1", None, 1j, [1.0]):
        with pytest.raises(TypeError, match=r"^value: .* given; accepted: a float or an int"):
            a.store(0, value)
    with pytest.raises(OverflowError, match=f"^value: .* does not fit {dtype}"):
        a.store(0, 10**400)
    for special in (float("inf"), float("-inf")):
        a.store(0, special)
        assert a.load(0) == special
    a.store(0, float("nan"))
    assert np.isnan(a.load(0))


def test_a_float_that_would_become_infinite() -> None:
    a = AtomicArray(np.ones(1, np.float32))
    with pytest.raises(OverflowError, match=r"^value: 1e\+39 does not fit float32"):
        a.fetch_add(0, 1e39)
    assert a.load(0) == 1
    a.store(0, 0.1)  # rounds
    assert a.load(0) == float(np.float32(0.1))


@pytest.mark.parametrize("dtype", FLOATS)
def test_floats_compare_by_their_bits(dtype: str) -> None:
    a = AtomicArray(np.array([-0.0, np.nan], dtype))
    assert a.compare_exchange(0, 0.0, 1.0) == (False, 0.0)
    assert a.compare_exchange(0, -0.0, 1.0) == (True, 0.0)
    swapped, observed = a.compare_exchange(1, float("nan"), 2.0)
    assert swapped
    assert np.isnan(observed)
    assert list(a.array) == [1.0, 2.0]


def test_the_observed_value_of_a_swap_is_the_elements_own() -> None:
    """The expected value may be rounded or of another type; what comes back is neither."""
    a = AtomicArray(np.array([0.1], np.float32))
    assert a.compare_exchange(0, 0.1, 1.0) == (True, float(np.float32(0.1)))
    b = AtomicArray(np.array([1]))
    swapped, observed = b.compare_exchange(0, True, 2)
    assert swapped
    assert type(observed) is int


def test_results_of_compare_exchange_that_are_kept_stay() -> None:
    a = AtomicArray(np.zeros(1, np.int64))
    kept = []
    for k in range(1000, 1100):
        a.store(0, k)
        kept.append(a.compare_exchange(0, k, 0))
        kept.append(a.compare_exchange(0, k, 0))
    assert kept == [pair for k in range(1000, 1100) for pair in ((True, k), (False, 0))]
    a.store(0, 5000)
    first = a.compare_exchange(0, 1, 1)
    table = {first: "first"}
    del first
    a.store(0, 6000)
    assert a.compare_exchange(0, 1, 1) == (False, 6000)
    assert table == {(False, 5000): "first"}


@pytest.mark.parametrize("dtype", ["bool", *FLOATS])
@pytest.mark.parametrize("name", BIT_FETCHES)
def test_bits_are_for_integers(dtype: str, name: str) -> None:
    a = AtomicArray(np.ones(1, dtype))
    with pytest.raises(TypeError, match=f"{name}: these elements are {dtype}; accepted: integers"):
        getattr(a, name)(0, 1)
    with pytest.raises(TypeError, match=f"{name}: these elements are {dtype}"):
        getattr(a.cell(0), name)(1)


@pytest.mark.parametrize("name", FETCHES)
def test_bools_have_no_arithmetic(name: str) -> None:
    a = AtomicArray(np.ones(1, bool))
    with pytest.raises(TypeError, match=f"{name}: these elements are bool; accepted: numbers"):
        getattr(a, name)(0, 1)


def test_bools_take_bools() -> None:
    a = AtomicArray(np.zeros(1, bool))
    for value in (True, np.True_, 1):
        a.store(0, False)
        assert a.exchange(0, value) is False
        assert a.load(0) is True
    with pytest.raises(OverflowError, match=r"^value: 2 does not fit bool; accepted: True, False"):
        a.store(0, 2)
    for wrong in (1.0, "True", None):
        with pytest.raises(TypeError, match=r"^value: .* accepted: True or False"):
            a.store(0, wrong)
    assert a.compare_exchange(0, True, False) == (True, True)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a: a.store(0), r"store\(\) takes 2 to 3 arguments by position, 1 given"),
        (lambda a: a.load(), r"load\(\) takes 1 to 2 arguments by position, 0 given"),
        (lambda a: a.load(0, "relaxed", 1), r"load\(\) takes 1 to 2 .*, 3 given"),
        (lambda a: a.load(index=0), r"load\(\) takes 1 to 2 .*, 0 given"),
        (lambda a: a.load(0, ordr="relaxed"), r"load\(\) has no keyword 'ordr'; accepted: order"),
        (lambda a: a.load(0, "relaxed", order="relaxed"), r"load\(\) got 'order' twice"),
        (lambda a: a.wait(0, 0, 0, "relaxed", 1), r"wait\(\) takes 2 to 4 .*, 5 given"),
        (lambda a: a.wait(0, 0, until=3), r"no keyword 'until'; accepted: timeout, order"),
    ],
)
def test_wrong_calls(call: Callable[[AtomicArray], Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call(AtomicArray(np.zeros(2, int)))


def test_it_cannot_be_pickled_or_copied() -> None:
    a = AtomicArray(np.zeros(2))
    for way in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match=r"AtomicArray cannot be pickled .* shared memory"):
            way(a)
        with pytest.raises(TypeError, match="Cell cannot be pickled"):
            way(a.cell(0))


class Logged(AtomicArray):
    """A subclass that replaces one method."""

    def load(self, index: Any, order: str = "seq_cst") -> Any:
        return ("logged", super().load(index, order=order))


class Deeper(Logged):
    pass


@pytest.mark.parametrize("cls", [Logged, Deeper])
def test_subclasses_keep_what_they_replace(cls: type[AtomicArray]) -> None:
    a = cls(np.array([4, 5]))
    assert a.load(1) == ("logged", 5)
    assert a.fetch_add(1, 1) == 5
    assert cls.__dict__["fetch_add"].__objclass__ is cls  # its own: the specialised call


# ---- bulk ------------------------------------------------------------------------------------


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


# ---- threads -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["int64", "int8", "float64"])
def test_a_stampede_of_single_and_bulk_adds_loses_nothing(dtype: str, stampede: Any) -> None:
    a = AtomicArray(np.zeros(4, dtype))
    cell = a.cell(1)

    def body() -> None:
        for k in range(200):
            a.fetch_add(0, 1)
            cell.fetch_add(1)
            a.add_at([2, 2, 3], 1)
            if k % 2:
                a.add(1)

    stampede(body, threads=4)
    wanted = np.array([800 + 400, 800 + 400, 1600 + 400, 800 + 400])
    np.testing.assert_array_equal(a.array, wanted.astype(dtype))  # int8 wraps


def test_compare_exchange_has_one_winner(stampede: Any) -> None:
    a = AtomicArray(np.zeros(500, np.int32))
    wins: list[int] = []

    def body() -> None:
        me = threading.get_ident() % 1000 + 1
        wins.extend(k for k in range(a.size) if a.compare_exchange(k, 0, me)[0])

    stampede(body, threads=4)
    assert sorted(wins) == list(range(a.size))
