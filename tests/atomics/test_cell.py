"""Cell: every operation with every order; waiting and waking; lifetime."""

import gc
import os
import signal
import sys
import threading
import time
import weakref
from typing import Any

import numpy as np
import pytest
from twin import BIT_FETCHES, DTYPES, FETCHES, LOAD_ORDERS, NUMBERS, ORDERS, STORE_ORDERS

from caffe2op.atomics import AtomicArray, AtomicBool, Cell

# operation: (its arguments, the orders that it can have)
CELL_OPERATIONS: dict[str, tuple[tuple[Any, ...], tuple[str, ...]]] = {
    "load": ((), LOAD_ORDERS),
    "store": ((1,), STORE_ORDERS),
    "exchange": ((1,), ORDERS),
    "compare_exchange": ((0, 1), ORDERS),
    "wait": ((99,), LOAD_ORDERS),
    **dict.fromkeys((*FETCHES, *BIT_FETCHES), ((1,), ORDERS)),
}
BOOL_OPERATIONS: dict[str, tuple[tuple[Any, ...], tuple[str, ...]]] = {
    "load": ((), LOAD_ORDERS),
    "store": ((True,), STORE_ORDERS),
    "compare_exchange": ((False, True), ORDERS),
    "test_and_set": ((), ORDERS),
    "clear": ((), STORE_ORDERS),
    "set_if": ((True,), ORDERS),
    "wait": ((True,), LOAD_ORDERS),
}


def make_cell(dtype: str = "int64", value: Any = 0) -> Cell:
    return AtomicArray(np.array([value], dtype)).cell(0)


def receivers(name: str) -> list[tuple[Any, tuple[Any, ...], tuple[str, ...]]]:
    """(bound method, arguments, accepted orders) of everything that has this operation."""
    found = []
    if name in CELL_OPERATIONS:
        arguments, accepted = CELL_OPERATIONS[name]
        found.append((getattr(make_cell(), name), arguments, accepted))
        array = AtomicArray(np.zeros(3, np.int64))
        found.append((getattr(array, name), (1, *arguments), accepted))
    if name in BOOL_OPERATIONS:
        arguments, accepted = BOOL_OPERATIONS[name]
        found.append((getattr(AtomicBool(), name), arguments, accepted))
    return found


@pytest.mark.parametrize("order", [*ORDERS, "consume", "", "SEQ_CST"])
@pytest.mark.parametrize("name", sorted(CELL_OPERATIONS | BOOL_OPERATIONS))
def test_every_order_of_every_operation(name: str, order: str) -> None:
    for method, arguments, accepted in receivers(name):
        fresh = "".join(list(order))  # equal, and not the interned object
        for given in (order, fresh):
            if order in accepted:
                method(*arguments, order=given)
            else:
                with pytest.raises(ValueError, match=f"order: '{order}' .* {', '.join(accepted)}"):
                    method(*arguments, order=given)
        for wrong in (None, 0, b"relaxed"):
            with pytest.raises(TypeError, match=r"order: .* given; accepted: relaxed"):
                method(*arguments, order=wrong)


def test_a_refused_order_changes_nothing() -> None:
    cell = make_cell("int32", 5)
    with pytest.raises(ValueError, match="order"):
        cell.store(9, order="acquire")
    with pytest.raises(ValueError, match="order"):
        cell.fetch_add(9, order="other")
    assert cell.load() == 5


def test_the_order_may_be_given_by_position() -> None:
    cell = make_cell()
    cell.store(3, "release")
    assert cell.load("acquire") == cell.fetch_add(1, "acq_rel") == 3
    assert cell.compare_exchange(4, 5, "relaxed") == (True, 4)


@pytest.mark.parametrize("dtype", NUMBERS)
def test_the_family_on_one_element(dtype: str) -> None:
    cell = make_cell(dtype, 12)
    assert cell.exchange(10) == 12
    assert cell.fetch_add(5) == 10
    assert cell.fetch_sub(3) == 15
    assert cell.fetch_min(7) == 12
    assert cell.fetch_max(9) == 7
    assert cell.compare_exchange(8, 1) == (False, 9)
    assert cell.compare_exchange(9, 6) == (True, 9)
    if not dtype.startswith("float"):
        assert cell.fetch_and(3) == 6
        assert cell.fetch_or(8) == 2
        assert cell.fetch_xor(1) == 10
        assert cell.load() == 11


@pytest.mark.parametrize("dtype", DTYPES)
def test_value_reads_and_writes(dtype: str) -> None:
    cell = make_cell(dtype)
    cell.value = 1
    assert cell.value == cell.load() == 1
    with pytest.raises(TypeError, match=r"^value: str given"):
        cell.value = "1"  # type: ignore[assignment]
    with pytest.raises(AttributeError):
        del cell.value


@pytest.mark.parametrize("value", [-129, -128, -6, -5, -1, 0, 1, 255, 256, 257, 2**62, -(2**63)])
def test_ints_near_the_small_ones_come_back(value: int) -> None:
    """CPython keeps one object for each of -5..256, which the conversion takes by address."""
    cell = make_cell("int64", 7)
    assert cell.exchange(value) == 7
    assert cell.load() == value
    assert cell.compare_exchange(value, 3) == (True, value)
    assert (value + 1) - 1 == value  # the shared objects are unharmed


def test_a_cell_is_made_by_an_array_only() -> None:
    with pytest.raises(TypeError, match=r"AtomicArray\.cell\(index\)"):
        Cell()
    assert repr(make_cell("int16", 4)) == "<cell of int16: 4>"


def test_nan_wins_in_min_and_max() -> None:
    cell = make_cell("float32", 1)
    cell.fetch_min(float("nan"))
    cell.fetch_max(5)
    assert np.isnan(cell.load())


# ---- waiting ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_wait_returns_at_once_when_the_value_differs(dtype: str) -> None:
    cell = make_cell(dtype)
    assert cell.wait(1) is True
    assert cell.wait(0, 0) is False
    assert cell.wait(0, timeout=0.001) is False


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_waiter_is_woken(dtype: str) -> None:
    cell = make_cell(dtype)
    results: list[bool] = []
    waiter = threading.Thread(target=lambda: results.append(cell.wait(0, timeout=60)))
    waiter.start()
    while not cell.notify():  # until it sleeps; it wakes, sees the old value, sleeps again
        time.sleep(0)
    cell.store(1)
    while waiter.is_alive():
        cell.notify()
        time.sleep(0)
    waiter.join()
    assert results == [True]


def test_notify_wakes_no_more_than_asked() -> None:
    cell = make_cell("int32")
    assert cell.notify() == 0
    assert cell.notify(count=0) == 0
    with pytest.raises(ValueError, match=r"^count: -1 given; accepted: 0\.\.2147483647$"):
        cell.notify(-1)
    with pytest.raises(OverflowError, match=r"^count: \d+ given; accepted: 0\.\.2147483647$"):
        cell.notify(2**40)
    with pytest.raises(TypeError, match=r"^count: float given"):
        cell.notify(1.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("timeout", [-1, -1e-9, float("nan"), float("-inf"), -(10**400)])
def test_timeouts_that_are_refused(timeout: Any) -> None:
    with pytest.raises(ValueError, match=r"timeout: .* accepted: None, or seconds >= 0"):
        make_cell().wait(0, timeout=timeout)


@pytest.mark.parametrize("timeout", ["1", [1], 1j])
def test_what_is_no_timeout(timeout: Any) -> None:
    with pytest.raises(TypeError, match=r"timeout: .* accepted: None, or seconds >= 0"):
        make_cell().wait(0, timeout=timeout)


@pytest.mark.parametrize("timeout", [None, 1e300, float("inf"), 10**400, 3.2e9, np.float32(9)])
def test_timeouts_of_any_size(timeout: Any) -> None:
    assert make_cell().wait(1, timeout=timeout) is True


@pytest.mark.thread_unsafe
@pytest.mark.parametrize("timeout", [None, 30, 10**400])
def test_a_signal_handler_ends_a_wait(timeout: Any) -> None:
    def handler(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGUSR1, handler)
    cell = make_cell()
    stop = threading.Event()

    def interrupt() -> None:
        while not cell.notify():  # until the main thread sleeps in its wait
            time.sleep(0)
        if not stop.is_set():
            os.kill(os.getpid(), signal.SIGUSR1)

    sender = threading.Thread(target=interrupt)
    try:
        sender.start()
        with pytest.raises(KeyboardInterrupt):
            cell.wait(0, timeout=timeout)
    finally:
        stop.set()
        sender.join()
        signal.signal(signal.SIGUSR1, previous)


def test_a_bool_byte_that_is_neither_0_nor_1_is_true() -> None:
    memory = np.array([2], np.uint8)
    cell = AtomicArray(memory.view(bool)).cell(0)
    assert cell.load() is True
    assert cell.wait(False) is True
    assert cell.wait(True, timeout=0.001) is False


# ---- threads, lifetime -------------------------------------------------------------------------


def test_a_stampede_of_adds_ends_exactly(stampede: Any) -> None:
    cells = [make_cell(dtype) for dtype in ("int64", "uint32", "float64", "int8")]

    def body() -> None:
        for _ in range(1000):
            for cell in cells:
                cell.fetch_add(1)

    stampede(body, threads=4)
    assert [cell.load() for cell in cells] == [4000, 4000, 4000.0, 4000 % 256 - 256]


def test_a_stampede_of_compare_exchange_loops_ends_exactly(stampede: Any) -> None:
    cell = make_cell("int64", 1000)

    def body() -> None:
        for _ in range(500):
            seen, swapped = cell.load(), False
            while not swapped:
                swapped, seen = cell.compare_exchange(seen, seen + 1)

    stampede(body, threads=4)
    assert cell.load() == 3000


def test_a_cell_keeps_the_memory_alive() -> None:
    memory = bytearray(8)
    cell = AtomicArray(memory, np.int64).cell(0)
    gc.collect()
    with pytest.raises(BufferError):
        memory.append(0)
    cell.store(-1)
    assert memory == b"\xff" * 8
    del cell
    memory.append(0)


def test_making_and_dropping_leaks_nothing() -> None:
    memory = np.zeros(4, np.int64)
    shared = AtomicArray(memory)

    def churn() -> None:
        for k in range(300):
            array = AtomicArray(memory)
            cell = array.cell(1)
            AtomicBool().test_and_set()
            cell.store(10_000 + k)
            cell.compare_exchange(10_000 + k, 20_000)
            cell.compare_exchange(10_000 + k, 20_000)
            cell.fetch_add(2**50)
            for wrong in ("x", 2**80):
                with pytest.raises((TypeError, OverflowError)):
                    shared.store(0, wrong)
            with pytest.raises(IndexError):
                shared.load((1, 2))

    churn()
    gc.collect()
    counts = [sys.getrefcount(o) for o in (memory, shared, Cell, AtomicArray, AtomicBool)]
    blocks = sys.getallocatedblocks()
    churn()
    gc.collect()
    assert [sys.getrefcount(o) for o in (memory, shared, Cell, AtomicArray, AtomicBool)] == counts
    assert sys.getallocatedblocks() - blocks < 100


def test_a_cycle_through_a_cell_is_collected() -> None:
    class Holder(AtomicArray):
        """Without __slots__: it can refer to its own cell."""

        cell_of_mine: Cell

    holder = Holder(np.zeros(2))
    holder.cell_of_mine = holder.cell(0)
    gone = weakref.ref(holder)
    del holder
    gc.collect()
    assert gone() is None
