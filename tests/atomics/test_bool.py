"""AtomicBool: a flag in a byte of anybody's memory."""

import pickle
import threading
from typing import Any

import numpy as np
import pytest

from caffe2op.atomics import AtomicBool


def test_it_starts_false_in_memory_of_its_own() -> None:
    flag = AtomicBool()
    assert not flag
    assert flag.load() is False
    assert repr(flag) == "<atomic bool: False>"


def test_it_is_a_view_of_the_callers_byte() -> None:
    memory = bytearray(4)
    flag = AtomicBool(memoryview(memory)[2:3])
    flag.store(True)
    assert memory == b"\0\0\1\0"
    memory[2] = 0
    assert not flag
    array = np.ones((1, 1), bool)
    AtomicBool(array).clear()
    assert not array.any()


def test_set_and_clear() -> None:
    flag = AtomicBool()
    assert flag.test_and_set() is False
    assert flag.test_and_set() is True
    assert flag
    flag.clear()
    assert flag.compare_exchange(False, True) == (True, False)
    assert flag.compare_exchange(False, True) == (False, True)
    assert flag.load() is True


def test_set_if_never_clears_and_tells_who_set_it() -> None:
    flag = AtomicBool()
    for condition in (False, 0, [], np.False_):
        assert flag.set_if(condition) is False
        assert not flag
    assert flag.set_if(np.float64(0.1) < 0.2) is True
    assert flag.set_if(True) is False
    assert flag.set_if(False) is False
    assert flag
    with pytest.raises(ValueError, match="truth value"):
        flag.set_if(np.ones(2))


@pytest.mark.parametrize(
    ("buffer", "error", "message"),
    [
        (np.zeros(2, bool), ValueError, "2 elements of bool given; accepted: one bool"),
        (bytearray(2), ValueError, "2 elements"),
        (np.zeros(1, np.uint8), TypeError, "uint8"),
        (np.zeros(0, bool), ValueError, "empty"),
        (b"\0", ValueError, "read-only"),
        (True, TypeError, "a bool has no buffer"),
    ],
)
def test_buffers_that_are_refused(buffer: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^buffer: .*{message}"):
        AtomicBool(buffer)


@pytest.mark.parametrize("value", [2, 1.0, "yes", None])
def test_values_that_are_refused(value: Any) -> None:
    flag = AtomicBool()
    with pytest.raises((TypeError, OverflowError), match=r"^value: "):
        flag.store(value)
    assert not flag


def test_it_cannot_be_pickled() -> None:
    with pytest.raises(TypeError, match="AtomicBool cannot be pickled"):
        pickle.dumps(AtomicBool())


def test_of_many_callers_one_sets_it(stampede: Any) -> None:
    flags = [AtomicBool() for _ in range(300)]
    winners: list[int] = []

    def body() -> None:
        winners.extend(k for k, flag in enumerate(flags) if flag.set_if(True))
        assert all(flags)

    stampede(body, threads=4)
    assert sorted(winners) == list(range(300))


def test_waiting_for_the_flag() -> None:
    flag = AtomicBool()
    results: list[bool] = []
    waiter = threading.Thread(target=lambda: results.append(flag.wait(False, timeout=60)))
    waiter.start()
    flag.test_and_set()
    while waiter.is_alive():
        flag.notify()
    waiter.join()
    assert results == [True]
