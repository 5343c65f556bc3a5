"""AtomicArray: which values each dtype takes and gives."""

from typing import Any

import numpy as np
import pytest
from twin import BIT_FETCHES, FETCHES, FLOATS, INTEGERS, Index, bounds

from caffe2op.atomics import AtomicArray


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
