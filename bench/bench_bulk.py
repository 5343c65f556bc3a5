"""Many elements in one call: scatter-add at uniform or skewed indices, and a dense add.

ns per element, for 1e6 adds to 1e3, 1e6 and 1e7 slots, and 1e7 adds. With two threads, one call
shares its work among them. A peer that is not atomic would lose updates with another writer; what
every row added up to is checked after it was timed. `make -C csrc bench` has the same loops in C
as the floor, without Python.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cffi
import numpy as np
import numpy.typing as npt
import pytest

from caffe2op.atomics import AtomicArray
from native_tasks import built
from paired import Bench, Claim, Code, require

Array = npt.NDArray[Any]
DTYPES = ("int64", "float32", "float64")
# Adds, slots, and how the indices fall on them: uniform, or Zipf with exponent 1.1 (a few hot
# slots). The targets are in terms of np.add.at, with one thread and with two.
COLUMNS = tuple(
    (f"{adds} to {slots} {how}", round(float(adds)), round(float(slots)), how == "Zipf")
    for adds in ("1e6", "1e7")
    for slots in ("1e3", "1e6", "1e7")
    for how in ("uniform", "Zipf")
)


def limits(slots: int, zipf: bool) -> tuple[float, float]:
    if slots <= 1000:
        return 0.75, 0.45
    return (1.3, 0.9) if zipf else (1.1, 0.6)


@functools.lru_cache(maxsize=2)
def spread(n: int, slots: int, zipf: bool) -> Array:
    random = np.random.default_rng(11)
    if not zipf:
        return random.integers(0, slots, n)
    weights = np.arange(1, slots + 1, dtype=np.float64) ** -1.1
    ranks = np.searchsorted(np.cumsum(weights) / weights.sum(), random.random(n))
    # Hot slots lie anywhere, not side by side.
    return random.permutation(slots)[np.minimum(ranks, slots - 1)]


@dataclass(frozen=True)
class Scatter:
    """`prepare(slots, indices, values)` gives the work."""

    name: str
    prepare: Callable[[Array, Array, Array], Code]
    threads: int = 0  # of ours; 0: a peer
    dtypes: tuple[str, ...] = DTYPES


def ours(threads: int, **keywords: Any) -> Callable[[Array, Array, Array], Code]:
    def prepare(slots: Array, indices: Array, values: Array) -> Code:
        view = AtomicArray(slots)
        return lambda: view.add_at(indices, values, threads=threads, **keywords)

    return prepare


def two_calls(slots: Array, indices: Array, values: Array) -> Code:
    """Two Python threads, each with a call for its half, that know nothing of each other."""
    view, half = AtomicArray(slots), indices.size // 2

    def run() -> None:
        other = threading.Thread(target=view.add_at, args=(indices[half:], values[half:]))
        other.start()
        view.add_at(indices[:half], values[:half])
        other.join()

    return run


def numpy_add_at(slots: Array, indices: Array, values: Array) -> Code:
    return lambda: np.add.at(slots, indices, values)


def numpy_bincount(slots: Array, indices: Array, values: Array) -> Code:
    def run() -> None:
        counted = np.bincount(indices, weights=values, minlength=slots.size)
        np.add(slots, counted.astype(slots.dtype), out=slots)

    return run


def numba_loop(slots: Array, indices: Array, values: Array) -> Code:
    @require("numba").njit  # type: ignore[untyped-decorator]
    def add(slots: Any, indices: Any, values: Any) -> None:
        for k in range(indices.size):
            slots[indices[k]] += values[k]

    add(np.zeros_like(slots), indices[:1], values[:1])  # compiles
    return lambda: add(slots, indices, values)


def torch_scatter(slots: Array, indices: Array, values: Array) -> Code:
    torch = require("torch")
    target, index, source = map(torch.from_numpy, (slots, indices, values))
    return lambda: target.scatter_add_(0, index, source)


def torch_index_add(slots: Array, indices: Array, values: Array) -> Code:
    torch = require("torch")
    target, index, source = map(torch.from_numpy, (slots, indices, values))
    return lambda: target.index_add_(0, index, source)


@functools.cache
def floors() -> tuple[Any, Any]:
    ffi = cffi.FFI()
    ffi.cdef(
        "void plain_int64(int64_t *, const int64_t *, const int64_t *, int64_t);"
        "void plain_float32(float *, const int64_t *, const float *, int64_t);"
        "void plain_float64(double *, const int64_t *, const double *, int64_t);"
        "void atomic_near(void *, const int64_t *, int64_t);"
        "double plain_halves(float *, const float *, int64_t);"
    )
    options = ("-std=c11", "-O3", "-march=native", "-D_GNU_SOURCE", "-shared", "-fPIC", "-lpthread")
    return ffi, ffi.dlopen(str(built("adds.so", "adds.c", "cc", *options)))


def pointer(array: Array, kind: str) -> Any:
    return floors()[0].cast(f"{kind} *", array.ctypes.data)


def plain_loop(slots: Array, indices: Array, values: Array) -> Code:
    kind = {"int64": "int64_t", "float32": "float", "float64": "double"}[slots.dtype.name]
    add = getattr(floors()[1], f"plain_{slots.dtype.name}")
    given = pointer(slots, kind), pointer(indices, "int64_t"), pointer(values, kind), indices.size
    return lambda: add(*given)


def atomic_floor(slots: Array, indices: Array, values: Array) -> Code:
    """Into memory of its own; one value is added here, for the check of the sum."""
    own, given = np.zeros(1000), pointer(indices, "int64_t")
    slots[0] = indices.size
    return lambda: floors()[1].atomic_near(pointer(own, "void"), given, indices.size)


SCATTERS = (
    Scatter("np.add.at", numpy_add_at),
    Scatter("caffe2op add_at", ours(1), threads=1),
    Scatter("caffe2op add_at, threads=2", ours(2), threads=2),
    Scatter("caffe2op add_at, two calls", two_calls),
    Scatter("caffe2op add_at, direct", ours(1, method="direct")),
    Scatter("C loop (not atomic)", plain_loop),
    Scatter("C, an atomic add each, in the first-level cache", atomic_floor),
    Scatter("np.bincount, then +=", numpy_bincount, dtypes=("float64",)),
    Scatter("numba loop (not atomic)", numba_loop),
    Scatter("torch scatter_add_ (not atomic)", torch_scatter),
    Scatter("torch index_add_ (not atomic)", torch_index_add),
)


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column[0])
@pytest.mark.parametrize("subject", SCATTERS, ids=lambda subject: subject.name)
@pytest.mark.parametrize("dtype", DTYPES)
def test_scatter_add(
    bench: Bench, dtype: str, subject: Scatter, column: tuple[str, int, int, bool]
) -> None:
    title, adds, size, zipf = column
    if dtype not in subject.dtypes or (
        adds > 1_000_000 and subject.threads == 0 and subject is not SCATTERS[0]
    ):
        pytest.skip("not a row of this table")
    n = bench.size(adds, least=1000)
    if bench.scale < 1:
        size = max(1000, round(size * bench.scale))
    slots = np.zeros(size, dtype=dtype)
    indices, values = spread(n, size, zipf), np.ones(n, dtype=dtype)
    work = subject.prepare(slots, indices, values)
    spare = np.zeros_like(slots)
    claim = None
    if subject.threads:
        limit = limits(column[2], zipf)[subject.threads - 1]
        kind = "1e3 slots" if column[2] == 1000 else "large, Zipf" if zipf else "large, uniform"
        claim = Claim(f"add_at, {kind}, {subject.threads} thread(s) / np.add.at", limit)
    bench.row(
        f"Scatter-add of {dtype}, ns per element",
        subject.name,
        title,
        work,
        per=n,
        reference=None if subject is SCATTERS[0] else lambda: np.add.at(spare, indices, values),
        quotient="this / np.add.at",
        claim=claim,
        rounds=max(3, bench.rounds // (4 if adds <= 1_000_000 else 12)),
    )
    # Every call adds one for each index, so a lost update leaves a total that is no multiple of n.
    total = int(slots.sum(dtype=np.float64))
    assert total > 0
    assert total % n == 0, f"{subject.name} lost {-total % n} updates"


def dense_ours(**keywords: Any) -> Callable[[Array, Array], Code]:
    def prepare(target: Array, values: Array) -> Code:
        view = AtomicArray(target)
        return lambda: view.add(values, **keywords)

    return prepare


def dense_two_callers(target: Array, values: Array) -> Code:
    """Two threads that are there already, each with calls of its own, on the same array: seconds
    that one of their 2 * 20 calls takes of both together."""
    view, rounds = AtomicArray(target), 20
    together = threading.Barrier(2)

    def calls() -> None:
        together.wait()
        for _ in range(rounds):
            view.add(values, among="adds")

    def run() -> float:
        other = threading.Thread(target=calls)
        other.start()
        together.wait()
        began = time.perf_counter()
        for _ in range(rounds):
            view.add(values, among="adds")
        other.join()
        return (time.perf_counter() - began) / (2 * rounds)

    return run


def dense_halves(target: Array, values: Array) -> Code:
    add, given = floors()[1].plain_halves, (pointer(target, "float"), pointer(values, "float"))
    return lambda: add(*given, target.size)


ADDS = 'caffe2op add(among="adds")'
# The row, how it is made, and the most that it may take of NumPy's time.
DENSE: dict[str, tuple[Callable[[Array, Array], Code], float | None]] = {
    "NumPy += (not atomic)": (
        lambda target, values: lambda: np.add(target, values, out=target),
        None,
    ),
    ADDS: (dense_ours(among="adds"), 1),
    'caffe2op add(among="adds", threads=2)': (dense_ours(among="adds", threads=2), 1 / 1.7),
    ADDS + ", two callers": (dense_two_callers, 1 / 1.7),
    "C, two threads on halves (not atomic)": (dense_halves, None),
    "caffe2op add": (dense_ours(), None),
    "caffe2op add, threads=2": (dense_ours(threads=2), None),
}


@pytest.mark.parametrize("name", DENSE)
def test_dense_add(bench: Bench, name: str) -> None:
    n = bench.size(1_000_000, least=1000)
    target, values = np.zeros(n, dtype=np.float32), np.ones(n, dtype=np.float32)
    spare = np.zeros_like(target)
    prepare, limit = DENSE[name]
    numpy = name.startswith("NumPy")
    claim = None
    if limit is not None:
        threads = "2 callers" if "callers" in name else f"{1 if limit == 1 else 2} thread(s)"
        claim = Claim(f'add(among="adds"), {threads} / NumPy +=', limit)
    bench.row(
        "Dense add of float32, ns per element",
        name,
        "1e6",
        prepare(target, values),
        per=n,
        reference=None if numpy else lambda: np.add(spare, values, out=spare),
        quotient="this / NumPy +=",
        claim=claim,
    )
    assert target[0] > 0
    assert (target == target[0]).all()
