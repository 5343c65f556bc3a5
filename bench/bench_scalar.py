"""One word: load, store, fetch_add and compare_exchange, one Python call each.

Alone, and while a second Python thread computes. A peer is a row: how to make one holding 5, and
how it spells each operation. Where a peer's `+=` or its method gives no value back, the row says
so by its name.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from caffe2op.atomics import AtomicArray
from paired import Bench, Claim, calibrate, loop, require

OPERATIONS = ("load", "store", "fetch_add", "compare_exchange")
N = 10_000


@dataclass(frozen=True)
class Word:
    """A 64-bit integer somewhere, holding 5: `make()` gives the variables of the statements."""

    name: str
    make: Callable[[], dict[str, Any]]
    load: str = ""
    store: str = ""
    fetch_add: str = ""
    compare_exchange: str = ""


def fives() -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.full(8, 5, dtype=np.int64)


def ft_int() -> dict[str, Any]:
    return {"a": require("ft_utils.concurrency").AtomicInt64(5)}


CELL = Word(
    "caffe2op, cell",
    lambda: {"c": AtomicArray(fives()).cell(3)},
    load="c.load()",
    store="c.store(5)",
    fetch_add="c.fetch_add(1)",
    compare_exchange="c.compare_exchange(5, 5)",
)
INDEXED = Word(
    "caffe2op, array[i]",
    lambda: {"a": AtomicArray(fives())},
    load="a.load(3)",
    store="a.store(3, 5)",
    fetch_add="a.fetch_add(3, 1)",
    compare_exchange="a.compare_exchange(3, 5, 5)",
)
CELL_PEERS = (
    Word(
        "atomicshm, cell",
        lambda: {"c": require("atomicshm").AtomicView(fives()).cell_u64(24)},
        load="c.load()",
        store="c.store(5)",
        fetch_add="c.fetch_add(1)",
        compare_exchange="c.cas(5, 5)",
    ),
    Word(
        "cereggii",
        lambda: {"a": require("cereggii").AtomicInt64(5)},
        load="a.get()",
        store="a.set(5)",
        fetch_add="a.increment_and_get(1)",
        compare_exchange="a.compare_and_set(5, 5)",
    ),
    Word("cereggii, +=", lambda: {"a": require("cereggii").AtomicInt64(5)}, fetch_add="a += 1"),
    Word("ft-utils", ft_int, load="a.get()", store="a.set(5)", fetch_add="a.incr()"),
    Word("ft-utils, +=", ft_int, fetch_add="a += 1"),
    Word(
        "atomicx",
        lambda: {"a": require("atomicx").AtomicInt(5)},
        load="a.load()",
        store="a.store(5)",
        fetch_add="a.add(1)",
        compare_exchange="a.compare_exchange(5, 5)",
    ),
    Word(
        "multiprocessing.Value",
        lambda: {"v": (v := multiprocessing.Value("q", 5)), "lock": v.get_lock()},
        load="v.value",
        store="v.value = 5",
        fetch_add="with lock: v.value += 1",
    ),
)
INDEXED_PEERS = (
    Word(
        "atomicshm, view",
        lambda: {"v": require("atomicshm").AtomicView(fives())},
        load="v.load_u64(24)",
        store="v.store_u64(24, 5)",
        fetch_add="v.fetch_add_u64(24, 1)",
        compare_exchange="v.cas_u64(24, 5, 5)",
    ),
)


def spelled(ours: Word, peers: tuple[Word, ...]) -> list[Any]:
    """(ours, subject, operation) for each operation that the subject has."""
    return [
        pytest.param(ours, subject, operation, id=f"{operation}-{subject.name}")
        for operation in OPERATIONS
        for subject in (ours, *peers)
        if getattr(subject, operation)
    ]


def run(word: Word, operation: str, n: int) -> Callable[[], object]:
    return loop(getattr(word, operation), word.make(), n)


@pytest.mark.parametrize(
    ("ours", "subject", "operation"),
    spelled(CELL, CELL_PEERS) + spelled(INDEXED, INDEXED_PEERS),
)
def test_alone(bench: Bench, ours: Word, subject: Word, operation: str) -> None:
    n = bench.size(N, least=100)
    against = "the fastest peer" if ours is CELL else "atomicshm's view"
    bench.row(
        "One word, ns per operation, Python loop included",
        subject.name,
        operation,
        run(subject, operation, n),
        per=n,
        reference=None if subject is ours else run(ours, operation, n),
        claim=None if subject is ours else Claim(f"{ours.name}: {operation} / {against}", 1.15),
        rounds=bench.rounds * 4,
    )


@pytest.mark.parametrize("operation", OPERATIONS)
def test_empty_loop(bench: Bench, operation: str) -> None:
    n = bench.size(N, least=100)
    bench.row(
        "One word, ns per operation, Python loop included",
        "the empty loop",
        operation,
        loop("pass", {}, n),
        per=n,
    )


class Computing:
    """A Python thread that computes between start() and stop()."""

    def start(self) -> None:
        self._stop = False
        running = threading.Event()
        self._thread = threading.Thread(target=self._compute, args=(running,))
        self._thread.start()
        running.wait()

    def _compute(self, running: threading.Event) -> None:
        running.set()
        x = 1
        while not self._stop:
            x = x * 3 % 1_000_003

    def stop(self) -> None:
        self._stop = True
        self._thread.join()


@pytest.mark.parametrize(("ours", "subject", "operation"), spelled(CELL, (INDEXED, *CELL_PEERS)))
def test_busy(bench: Bench, ours: Word, subject: Word, operation: str) -> None:
    # Long against the 5 ms after which one thread asks another for the GIL.
    names = subject.make()
    n = calibrate(getattr(subject, operation), names, wanted=0.06 * bench.scale)
    code = loop(getattr(subject, operation), names, n)
    other = Computing()
    ours_too = subject in (CELL, INDEXED)
    bench.row(
        "One word while a second Python thread computes, ns per operation",
        subject.name,
        operation,
        code,
        per=n,
        reference=code,
        quotient="this / alone",
        claim=Claim(f"{subject.name}, busy / alone", 2.5) if ours_too else None,
        setup=other.start,
        teardown=other.stop,
        rounds=max(3, bench.rounds // 8),
    )
