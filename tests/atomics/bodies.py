"""What the workers of test_contract.py do. Without pytest, which takes a spawned process a
second to import."""

from typing import Any

import numpy as np
from crews import reach, until

from caffe2op.atomics import AtomicArray, AtomicBool, Mutex, OwnerDiedError, SharedArray

ROUNDS = 2000
TURNS = 400


def add(number: int, cells: AtomicArray, indices: list[int]) -> None:
    for _ in range(ROUNDS):
        cells.fetch_add(0, 1)
        cells.fetch_add(1, -3, order="relaxed")
        cells.add_at(indices, 1)


def add_locked(number: int, mutex: Mutex, plain: SharedArray) -> None:
    count = plain.array
    for turn in range(ROUNDS):
        if turn % 2:
            with mutex:
                assert count[0] == -count[1]
                count[0] += 1
                count[1] -= 1
        else:
            while not mutex.acquire(timeout=1e-4):
                pass
            count[0] += 1
            count[1] -= 1
            mutex.release()


def claim(number: int, flags: list[AtomicBool], wins: AtomicArray) -> None:
    for flag in flags:
        if flag.set_if(True):
            wins.fetch_add(0, 1)


def take_turns(number: int, *boards: AtomicArray) -> None:
    for cells in boards:
        for turn in range(number, TURNS, 2):
            if turn:
                while cells.load(0) == turn - 1:
                    cells.wait(0, turn - 1)
            assert cells.load(0) == turn
            cells.store(0, turn + 1)
            cells.notify(0)


def is_no_owner(number: int, mutex: Mutex) -> None:
    refused = ""
    try:
        mutex.release()
    except RuntimeError as error:
        refused = str(error)
    assert "another thread or process" in refused
    assert mutex.locked()
    assert mutex.acquire(False) is False
    assert mutex.acquire(timeout=0.01) is False


def hold_for_ever(mutex: Mutex, steps: AtomicArray, plain: SharedArray) -> None:
    mutex.acquire()
    plain.array[1] = 7  # half of a change
    reach(steps, 1)
    until(steps, 1000)


def inherit(mutex: Mutex, report: AtomicArray) -> None:
    try:
        mutex.acquire()
    except OwnerDiedError:
        report.fetch_add(0, 1)
    report.fetch_add(1, 1)
    mutex.release()


BULK_ROUNDS = 15


def spread() -> np.ndarray:
    """20,000 indices into 500 elements, one in three of them to element 7."""
    random = np.random.default_rng(5)
    return np.where(random.random(20_000) < 0.3, 7, random.integers(0, 500, 20_000))


def add_by_method(number: int, counts: AtomicArray, sums: AtomicArray) -> None:
    method: Any = ("auto", "direct", "private", "cached")[number]
    indices = spread()
    for turn in range(BULK_ROUNDS):
        counts.add_at(indices, 1, method=method, threads=1 + turn % 2)
        sums.add_at(indices, 1, method=method)


def add_with_locks(number: int, sums: AtomicArray, locks: AtomicArray) -> None:
    for turn in range(BULK_ROUNDS):
        sums.add(1, 2, among=locks, threads=1 + turn % 2)
