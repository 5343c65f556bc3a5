"""add_at by every method and on several threads, and add among all or among adds: results as the
twin's, what is explained is what ran, and nothing lost towards those who are promised it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import bodies
import crews
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twin import INTEGERS, NUMBERS, Twin, bounds

from caffe2op.atomics import AddReport, AtomicArray, OwnerDiedError, SharedArray

METHODS = ("auto", "direct", "private", "cached")
Array = np.ndarray[Any, Any]


def values_of(dtype: str, rng: np.random.Generator, n: int) -> Array:
    """Any integers; whole floats, whose sums are exact in any order."""
    if dtype in INTEGERS:
        least, most = bounds(dtype)
        return rng.integers(least, most, n, dtype, endpoint=True)
    return rng.integers(-1000, 1000, n).astype(dtype)


@settings(deadline=None, max_examples=250)
@given(
    dtype=st.sampled_from(NUMBERS),
    index_dtype=st.sampled_from(["int8", "int32", "int64", "uint16"]),
    method=st.sampled_from(METHODS),
    threads=st.integers(1, 3),
    slots=st.integers(1, 100),
    n=st.integers(0, 400),
    one_value=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_method_is_like_the_twin(
    dtype: str,
    index_dtype: str,
    method: Any,
    threads: int,
    slots: int,
    n: int,
    one_value: bool,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    least = 0 if index_dtype == "uint16" else -slots
    indices = rng.integers(least, slots, n).astype(index_dtype)
    start = values_of(dtype, rng, slots)
    values = values_of(dtype, rng, n)
    given_values = values[:1].reshape(()) if one_value and n else values
    real, twin = AtomicArray(start.copy()), Twin(start)
    report = real.add_at(indices, given_values, method=method, threads=threads, explain=True)
    twin.fetch_add_at(indices.astype(np.int64), given_values)
    np.testing.assert_array_equal(real.array, twin.array)
    assert report.threads == 1  # none is woken for so little
    assert method in ("auto", report.method) or n == 0


@pytest.mark.thread_unsafe
@pytest.mark.parametrize("dtype", ["int16", "int64", "float32", "float64"])
@pytest.mark.parametrize("slots", [1000, 300_000])
@pytest.mark.parametrize("method", METHODS)
def test_several_threads_are_like_numpy(method: Any, slots: int, dtype: str) -> None:
    rng = np.random.default_rng(slots)
    indices = np.where(
        rng.random(60_000) < 0.5, rng.integers(0, 20, 60_000), rng.integers(-slots, slots, 60_000)
    )
    values = values_of(dtype, rng, 60_000)
    want = np.zeros(slots, dtype)
    np.add.at(want, indices, values)
    view = AtomicArray(np.zeros(slots, dtype))
    report = view.add_at(indices, values, method=method, threads=3, explain=True)
    np.testing.assert_array_equal(view.array, want)
    assert 1 <= report.threads <= 3
    assert report.writers == 3


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("threads", [1, 2])
def test_a_bad_index_changes_nothing(method: Any, threads: int) -> None:
    view = AtomicArray(np.zeros(50))
    indices = np.zeros(40_000, int)
    indices[[30_000, 35_000]] = [50, -51]
    with pytest.raises(IndexError, match=r"indices: 50 at position 30000 .* -50\.\.49"):
        view.add_at(indices, 1.0, method=method, threads=threads)
    assert not view.array.any()


# ---- what is explained ---------------------------------------------------------------------


def hot(n: int, slots: int) -> Array:
    """Half of the indices on a hundred slots."""
    rng = np.random.default_rng(3)
    return np.where(rng.random(n) < 0.5, rng.integers(0, 100, n), rng.integers(0, slots, n))


@pytest.mark.thread_unsafe  # others that add change the choice
@pytest.mark.parametrize(
    ("slots", "indices", "method"),
    [
        (1000, np.arange(20_000) % 1000, "private"),
        (100_000, np.random.default_rng(1).integers(0, 100_000, 20_000), "direct"),
        (100_000, hot(20_000, 100_000), "cached"),
        (10_000, hot(10_000, 10_000), "private"),
        (10_000, np.random.default_rng(2).permutation(10_000), "direct"),
        (3, np.array([0, 1, 2, 2]), "direct"),
    ],
)
def test_the_choice_suits_the_indices(slots: int, indices: Array, method: str) -> None:
    report = AtomicArray(np.zeros(slots)).add_at(indices, 1.0, explain=True)
    assert isinstance(report, AddReport)
    assert (report.method, report.threads, report.writers) == (method, 1, 1)
    wanted = {"direct": 0, "private": 8 * slots}.get(method)
    assert report.scratch == wanted or (method == "cached" and 0 < report.scratch < 400_000)


def test_a_sample_tells_how_many_come_again() -> None:
    view = AtomicArray(np.zeros(100_000))
    even = view.add_at(np.random.default_rng(1).permutation(100_000)[:20_000], 1.0, explain=True)
    skewed = view.add_at(hot(20_000, 100_000), 1.0, explain=True)
    small = view.add_at([1, 2], 1.0, explain=True)
    assert even.repeated is not None
    assert even.repeated < 0.01
    assert skewed.repeated is not None
    assert 0.3 < skewed.repeated < 0.6
    assert small.repeated is None


def test_the_other_writers_count() -> None:
    """A call is seen by another one while it lasts: of two that overlap, one begins second. Each
    thread goes on until somebody has seen company."""
    view = AtomicArray(np.zeros(1000))
    indices = np.zeros(200_000, np.int32)
    met = threading.Event()

    def body() -> None:
        for _ in range(20_000):
            if met.is_set():
                return
            if view.add_at(indices, 1.0, method="direct", explain=True).writers == 2:
                met.set()

    threads = [threading.Thread(target=body) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert met.is_set()


def test_without_explain_nothing_is_returned() -> None:
    assert AtomicArray(np.zeros(3)).add_at([0], 1.0) is None


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"method": "fast"}, ValueError, "method: 'fast' given; accepted: auto, direct, private"),
        ({"method": None}, ValueError, "method: None given"),
        ({"threads": 0}, ValueError, "threads: 0 given; accepted: an int, 1 or more"),
        ({"threads": 1.5}, TypeError, "threads: <class 'float'> given; accepted: an int"),
    ],
)
def test_wrong_keywords(keywords: Any, error: type[Exception], message: str) -> None:
    view = AtomicArray(np.zeros(3))
    with pytest.raises(error, match=message):
        view.add_at([0], 1.0, **keywords)
    if "threads" in keywords:
        with pytest.raises(error, match=message):
            view.add(1.0, **keywords)
    assert not view.array.any()


def test_more_threads_than_there_are_is_no_error() -> None:
    view = AtomicArray(np.zeros(3, np.int64))
    view.add_at(np.zeros(50_000, int), 1, threads=10**6)
    view.add(1, threads=2**70)
    assert view.array.tolist() == [50_001, 1, 1]


# ---- nothing is lost -------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["int32", "int64", "float32", "float64"])
def test_writers_of_all_methods_lose_nothing(dtype: str, stampede: Any) -> None:
    """One array; every way of adding to it at once."""
    view = AtomicArray(np.zeros(64, dtype))
    indices = np.arange(640) % 64
    turns = iter(range(6))

    def body() -> None:
        turn = next(turns)
        for _ in range(60):
            if turn < 4:
                view.add_at(indices, 1, method=METHODS[turn])  # type: ignore[call-overload]
            elif turn == 4:
                for _ in range(10):
                    view.add(1)
            else:
                view.fetch_add_at(indices, 1)
                view.fetch_add(3, 1)

    stampede(body, threads=6)
    want = np.full(64, 6 * 60 * 10)
    want[3] += 60
    np.testing.assert_array_equal(view.array, want)


@pytest.mark.parametrize("kind", crews.KINDS)
def test_workers_of_all_methods_lose_nothing(kind: str) -> None:
    with (
        SharedArray.create(500, np.int64) as counts,
        SharedArray.create(500, np.float32) as sums,
    ):
        crews.run(kind, bodies.add_by_method, counts.atomic(), sums.atomic(), workers=4)
        want = np.zeros(500, np.int64)
        np.add.at(want, bodies.spread(), 4 * bodies.BULK_ROUNDS)
        np.testing.assert_array_equal(counts.array, want)
        np.testing.assert_array_equal(sums.array, want)


# ---- add -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("among", ["all", "adds", "locks"])
@pytest.mark.parametrize("threads", [1, 3])
def test_add_is_like_the_twin(dtype: str, among: str, threads: int) -> None:
    rng = np.random.default_rng(7)
    memory = np.zeros(60_003, dtype)
    memory[:] = values_of(dtype, rng, memory.size)
    start = memory[3:]  # not aligned to more than its items
    values = values_of(dtype, rng, start.size)
    locks: Any = AtomicArray(np.zeros(5, np.uint64)) if among == "locks" else among
    view, twin = AtomicArray(start), Twin(start)
    view.add(values, 3, among=locks, threads=threads)
    twin.add(values, 3)
    np.testing.assert_array_equal(view.array, twin.array)
    if among == "locks":
        assert not locks.array.any()


@pytest.mark.parametrize("dtype", ["int8", "int32", "float32", "float64"])
def test_adds_in_stripes_lose_nothing(dtype: str, stampede: Any) -> None:
    """Through views of their own, on a part of the array and on all of it."""
    memory = np.zeros(50_000, dtype)

    def body() -> None:
        whole, part = AtomicArray(memory), AtomicArray(memory[10_000:30_000])
        for k in range(25):
            whole.add(1, among="adds", threads=1 + k % 2)
            part.add(1, among="adds")

    stampede(body, threads=4)
    want = np.full(50_000, 100)
    want[10_000:30_000] += 100
    np.testing.assert_array_equal(memory, want.astype(dtype))


AS_GIVEN: dict[str, Callable[[Array], Any]] = {
    "as it is": lambda values: values,
    "another order in memory": np.asfortranarray,
    "every second one": lambda values: np.repeat(values, 2, axis=1)[:, ::2],
    "misaligned": lambda values: (
        np.frombuffer(b"x" + values.tobytes(), np.uint8, values.nbytes, 1)
        .view(values.dtype)
        .reshape(values.shape)
    ),
    "read-only": lambda values: np.frombuffer(values.tobytes(), values.dtype).reshape(values.shape),
    "another byte order": lambda values: values.astype(values.dtype.newbyteorder()),
    "nested lists": lambda values: values.tolist(),
    "a subclass": lambda values: values.view(np.recarray),
}


@pytest.mark.parametrize("how", AS_GIVEN)
@pytest.mark.parametrize("scale", [1, -2, np.int16(3)])
@pytest.mark.parametrize("dtype", ["int16", "uint64", "float32", "float64"])
def test_values_are_added_however_they_are_given(dtype: str, scale: Any, how: str) -> None:
    """What C takes as it is, and what has to be made ready for it, give the same."""
    if dtype == "uint64" and scale == -2:
        scale = 2**64 - 2  # the same, modulo 2**64
    values = values_of(dtype, np.random.default_rng(5), 12).reshape(3, 4)
    view, twin = AtomicArray(np.ones((3, 4), dtype)), Twin(np.ones((3, 4), dtype))
    view.add(AS_GIVEN[how](values), scale, among="adds")
    twin.add(values, scale)
    np.testing.assert_array_equal(view.array, twin.array)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_adds_of_several_threads_lose_nothing(dtype: str, stampede: Any) -> None:
    """Arrays of which each call's threads have stretches: large enough that several are woken."""
    memory = np.zeros(4_000_003 if dtype == "uint8" else 1_000_003, dtype)
    values = np.ones_like(memory)

    def body() -> None:
        view = AtomicArray(memory)
        for _ in range(10):
            view.add(values, among="adds", threads=3)

    stampede(body, threads=3)
    assert (memory == 30).all()


def test_adds_of_the_array_itself_and_of_its_parts() -> None:
    memory = np.arange(10.0)
    view = AtomicArray(memory[:5])
    view.add(memory[:5], among="adds")
    assert memory.tolist() == [0, 2, 4, 6, 8, 5, 6, 7, 8, 9]
    view.add(memory[3:8], among="adds")  # two elements in common: as they were before
    assert memory.tolist() == [6, 10, 9, 12, 15, 5, 6, 7, 8, 9]
    view.add(memory[5:], among="adds")
    assert memory[:5].tolist() == [11, 16, 16, 20, 24]


@pytest.mark.parametrize(
    ("dtype", "values", "keywords", "error"),
    [
        ("float32", np.ones(3, np.float32), {}, ValueError),
        ("float32", np.ones((1, 2), np.float32), {}, ValueError),
        ("float32", np.ones(2, np.float32), {"scale": 1e39}, OverflowError),
        ("int32", np.ones(2, np.int32), {"scale": 2**31}, OverflowError),
        ("int32", np.ones(2, np.int32), {"scale": 0.5}, TypeError),
        ("int32", np.ones(2, np.int32), {"threads": 0}, ValueError),
        ("int32", np.ones(2, np.int32), {"threads": 1.0}, TypeError),
        ("bool", np.ones(2, bool), {}, TypeError),
    ],
)
def test_adds_that_are_refused_change_nothing(
    dtype: str, values: Array, keywords: Any, error: type[Exception]
) -> None:
    view = AtomicArray(np.zeros(2, dtype))
    with pytest.raises(error):
        view.add(values, among="adds", **keywords)
    assert not view.array.any()


@pytest.mark.parametrize("kind", crews.KINDS)
def test_adds_with_locks_lose_nothing(kind: str) -> None:
    with (
        SharedArray.create(50_000, np.float32) as sums,
        SharedArray.create(8, np.uint64) as locks,
    ):
        crews.run(kind, bodies.add_with_locks, sums.atomic(), locks.atomic(), workers=3)
        assert (sums.array == 3 * 2 * bodies.BULK_ROUNDS).all()
        assert not locks.array.any()


def test_a_death_in_an_add_is_told() -> None:
    """A worker that is killed with a lock held; the values that come next are all added."""
    with (
        SharedArray.create(10, np.float32) as sums,
        SharedArray.create(2, np.int64) as locks,
        SharedArray.create(1, np.int32) as steps,
        SharedArray.create(2, np.int32) as plain,
    ):
        worker = crews.Worker("spawn", bodies.hold_for_ever, locks.mutex(0), steps.atomic(), plain)
        crews.until(steps.atomic(), 1)
        worker.kill()
        with pytest.raises(OwnerDiedError, match="a process died in its add"):
            sums.atomic().add(1, among=locks.atomic())
        assert sums.array.tolist() == [1] * 10
        sums.atomic().add(1, among=locks.atomic())
        assert sums.array.tolist() == [2] * 10


def test_a_lock_that_one_holds_oneself() -> None:
    with SharedArray.create(1, np.int64) as locks:
        view = AtomicArray(np.zeros(4))
        with (
            locks.mutex(),
            pytest.raises(RuntimeError, match="among: this thread holds one of these locks"),
        ):
            view.add(1, among=locks.atomic())
        assert not view.array.any()


@pytest.mark.parametrize(
    ("among", "error", "message"),
    [
        ("everyone", ValueError, 'among: \'everyone\' given; accepted: "all", "adds", or an'),
        (None, TypeError, "among: <class 'NoneType'> given; accepted"),
        (lambda: AtomicArray(np.zeros(4)), TypeError, "among: one of float64 given; accepted"),
    ],
)
def test_what_is_no_among(among: Any, error: type[Exception], message: str) -> None:
    view = AtomicArray(np.zeros(4))
    with pytest.raises(error, match=message):
        view.add(1, among=among() if isinstance(among, Callable) else among)  # type: ignore[arg-type]
    locks = AtomicArray(np.zeros(4, np.int64))
    with pytest.raises(ValueError, match="among: the locks lie in the array itself"):
        locks.add(1, among=locks)
    assert not view.array.any()
