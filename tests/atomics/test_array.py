"""AtomicArray: memory, indices, wrong calls, subclasses, threads."""

import copy
import pickle
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from twin import DTYPES, Index

from caffe2op.atomics import AtomicArray


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
        with pytest.raises(
            TypeError, match=r"AtomicArray cannot be pickled .* SharedArray\.atomic\(\)"
        ):
            way(a)
        with pytest.raises(
            TypeError, match=r"Cell cannot be pickled .* take a cell from the array"
        ):
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
