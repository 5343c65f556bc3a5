"""Many elements in one call: scatter-add at random or skewed indices, and a dense add.

ns per element. With two threads, each adds half of the values at the same time; a peer that would
lose updates then has no such row. What every row added up to is checked after it was timed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from caffe2op.atomics import AtomicArray
from paired import Bench, Code, require

N = 1_000_000
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
# Slots, and how the indices fall on them: uniform, or Zipf with exponent 1.1 (a few hot slots).
SPREADS = (("1e3 uniform", 1_000, False), ("1e3 Zipf", 1_000, True),
           ("1e6 uniform", 1_000_000, False), ("1e6 Zipf", 1_000_000, True))  # fmt: skip


def spread(n: int, slots: int, zipf: bool) -> Ints:
    random = np.random.default_rng(11)
    if not zipf:
        return random.integers(0, slots, n)
    weights = np.arange(1, slots + 1, dtype=np.float64) ** -1.1
    ranks = np.searchsorted(np.cumsum(weights) / weights.sum(), random.random(n))
    # Hot slots lie anywhere, not side by side.
    return random.permutation(slots)[np.minimum(ranks, slots - 1)]


def halves(work: Callable[[slice], object], n: int) -> Code:
    """Two threads, each doing half of range(n)."""

    def run() -> None:
        other = threading.Thread(target=work, args=(slice(n // 2, n),))
        other.start()
        work(slice(0, n // 2))
        other.join()

    return run


@dataclass(frozen=True)
class Scatter:
    """`prepare(slots)` gives the work on one stretch of the indices."""

    name: str
    prepare: Callable[[Ints, Ints, Ints], Callable[[slice], object]]
    threads: int = 1


def ours_scatter(slots: Ints, indices: Ints, values: Ints) -> Callable[[slice], object]:
    view = AtomicArray(slots)
    return lambda part: view.add_at(indices[part], values[part])


def numpy_add_at(slots: Ints, indices: Ints, values: Ints) -> Callable[[slice], object]:
    return lambda part: np.add.at(slots, indices[part], values[part])


def numpy_bincount(slots: Ints, indices: Ints, values: Ints) -> Callable[[slice], object]:
    def work(part: slice) -> None:
        counted = np.bincount(indices[part], weights=values[part], minlength=slots.size)
        np.add(slots, counted.astype(np.int64), out=slots)

    return work


def numba_loop(slots: Ints, indices: Ints, values: Ints) -> Callable[[slice], object]:
    @require("numba").njit  # type: ignore[untyped-decorator]
    def add(slots: Any, indices: Any, values: Any) -> None:
        for k in range(indices.size):
            slots[indices[k]] += values[k]

    add(np.zeros_like(slots), indices[:1], values[:1])  # compiles
    return lambda part: add(slots, indices[part], values[part])


def torch_scatter(slots: Ints, indices: Ints, values: Ints) -> Callable[[slice], object]:
    torch = require("torch")
    target, index, source = map(torch.from_numpy, (slots, indices, values))
    return lambda part: target.scatter_add_(0, index[part], source[part])


SCATTERS = (
    Scatter("caffe2op add_at", ours_scatter),
    Scatter("caffe2op add_at, 2 threads", ours_scatter, threads=2),
    Scatter("np.add.at", numpy_add_at),
    Scatter("np.bincount, then +=", numpy_bincount),
    Scatter("numba loop (not atomic)", numba_loop),
    Scatter("torch scatter_add_ (not atomic)", torch_scatter),
)


@pytest.mark.parametrize("column", SPREADS, ids=lambda column: column[0])
@pytest.mark.parametrize("subject", SCATTERS, ids=lambda subject: subject.name)
def test_scatter_add(bench: Bench, subject: Scatter, column: tuple[str, int, bool]) -> None:
    title, size, zipf = column
    n = bench.size(N, least=1000)
    slots = np.zeros(size, dtype=np.int64)
    indices, values = spread(n, size, zipf), np.ones(n, dtype=np.int64)
    work = subject.prepare(slots, indices, values)
    reference = ours_scatter(np.zeros_like(slots), indices, values)
    everything = slice(0, n)
    bench.row(
        "Scatter-add of int64, ns per element",
        subject.name,
        title,
        (lambda: work(everything)) if subject.threads == 1 else halves(work, n),
        per=n,
        reference=None if subject is SCATTERS[0] else lambda: reference(everything),
        quotient="add_at / this",
        rounds=max(3, bench.rounds // 4),
    )
    # Every call adds one for each index, so a lost update leaves a total that is no multiple of n.
    total = int(slots.sum())
    assert total > 0
    assert total % n == 0, f"{subject.name} lost {-total % n} updates"


DENSE = ["caffe2op add", "caffe2op add, 2 threads", "NumPy += (not atomic)"]


@pytest.mark.parametrize("name", DENSE)
def test_dense_add(bench: Bench, name: str) -> None:
    n = bench.size(N, least=1000)
    target, values = np.zeros(n, dtype=np.float32), np.ones(n, dtype=np.float32)
    view, spare = AtomicArray(target), AtomicArray(np.zeros_like(target))

    def by_two() -> None:
        other = threading.Thread(target=view.add, args=(values,))
        other.start()
        view.add(values)
        other.join()

    codes: tuple[Code, ...] = (
        lambda: view.add(values),
        by_two,
        lambda: np.add(target, values, out=target),
    )
    subject = codes[DENSE.index(name)]
    bench.row(
        "Dense add of float32, ns per element",
        name,
        "1e6",
        subject,
        per=2 * n if subject is by_two else n,
        reference=None if name == DENSE[0] else lambda: spare.add(values),
        reference_per=n,
        quotient="add / this",
        rounds=max(3, bench.rounds // 2),
    )
    assert target[0] > 0
    assert (target == target[0]).all()
