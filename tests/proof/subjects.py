"""The objects whose histories are recorded: how a worker uses each, and what model it must follow.

Next to each real object stands its broken twin: an update that is not atomic, a lock that admits
two. The checker has to refuse the twins' histories; where it
does not, it would not have found the fault in the real ones. Queues are in queues.py.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import fleet
import models
import numpy as np
import queues
from subject import Call, Perform, Subject, meet, names, one_operator

from caffe2op import core, workspace
from caffe2op.atomics import AtomicArray, AtomicBool, Mutex, OwnerDiedError

# ---- words ----------------------------------------------------------------------------------

WORDS = 2
_WORD_KINDS = ["load", "store", "exchange", "fetch_add", "compare_exchange"]


def _word_script(rng: random.Random, number: int, calls: int) -> Iterator[Call]:
    seen = [0] * WORDS
    for turn in range(1, calls + 1):
        k, unique = rng.randrange(WORDS), (number + 1) * 100_000 + turn
        match rng.choice(_WORD_KINDS):
            case "compare_exchange":
                call = Call("compare_exchange", k, seen[k], unique)
            case "fetch_add":
                call = Call("fetch_add", k, rng.choice([1, 2, -1]))
            case kind:
                call = Call(kind, k, 0 if kind == "load" else unique)
        yield call
        seen[k] = call.first if call.kind == "store" else call.result


def _perform_on_words(words: AtomicArray, fetch_add: Callable[[int, int], int]) -> Perform:
    def perform(call: Call) -> int:
        match call.kind:
            case "load":
                return words.load(call.object)
            case "store":
                words.store(call.object, call.first)
                return 0
            case "exchange":
                return words.exchange(call.object, call.first)
            case "fetch_add":
                return fetch_add(call.object, call.first)
            case _:
                return words.compare_exchange(call.object, call.first, call.second)[1]

    return perform


def _words(workers: int) -> list[Perform]:
    words = AtomicArray(fleet.shared(WORDS))
    return [_perform_on_words(words, words.fetch_add)] * workers


def _torn_words(workers: int) -> list[Perform]:
    words, inside = AtomicArray(fleet.shared(WORDS)), AtomicArray(fleet.shared(1))

    def fetch_add(index: int, value: int) -> int:
        before = words.load(index)
        meet(inside)
        words.store(index, before + value)
        return before

    return [_perform_on_words(words, fetch_add)] * workers


def _bulk_words(workers: int) -> list[Perform]:
    """The same words through the bulk operations: each element of a call is an operation."""
    words = AtomicArray(fleet.shared(WORDS))
    one = np.ones(1, np.int64)

    def fetch_add(index: int, value: int) -> int:
        return int(words.fetch_add_at([index], value * one)[0])

    perform = _perform_on_words(words, fetch_add)

    def with_gather(call: Call) -> int:
        return int(words.gather([call.object])[0]) if call.kind == "load" else perform(call)

    return [with_gather] * workers


# ---- flags ----------------------------------------------------------------------------------

_FLAG_KINDS = ["load", "store", "test_and_set", "set_if"]


def _flag_script(rng: random.Random, number: int, calls: int) -> Iterator[Call]:
    for _ in range(calls):
        yield Call(rng.choice(_FLAG_KINDS), 0, rng.random() < 0.4)


def _claim_script(rng: random.Random, number: int, calls: int) -> Iterator[Call]:
    """One clears, the others claim."""
    for _ in range(calls):
        yield Call("set_if", 0, 1) if number else Call("store", 0, 0)


def _perform_on_flag(flag: AtomicBool, set_if: Callable[[int], bool]) -> Perform:
    def perform(call: Call) -> int:
        match call.kind:
            case "load":
                return flag.load()
            case "store":
                flag.store(bool(call.first))
                return 0
            case "test_and_set":
                return flag.test_and_set()
            case _:
                return set_if(call.first)

    return perform


def _flags(workers: int) -> list[Perform]:
    flag = AtomicBool(fleet.shared(1, np.bool_))
    return [_perform_on_flag(flag, flag.set_if)] * workers


def _torn_flags(workers: int) -> list[Perform]:
    flag = AtomicBool(fleet.shared(1, np.bool_))
    inside = AtomicArray(fleet.shared(1))

    def set_if(condition: int) -> bool:
        was = flag.load()
        meet(inside)
        if condition:
            flag.store(True)
        return bool(condition) and not was

    return [_perform_on_flag(flag, set_if)] * workers


# ---- locks ----------------------------------------------------------------------------------

_LOCK_KINDS = ["acquire", "try", "release"]


def _lock_script(rng: random.Random, number: int, calls: int) -> Iterator[Call]:
    for _ in range(calls // 2):  # whoever comes to the end holds nothing
        call = Call(rng.choice(["acquire", "acquire", "try"]), 0, rng.choice([0, 0, 1]))
        yield call
        if call.result != models.BUSY:
            fleet.pause(rng, 1e-4)  # for others to come and wait, or to be there too
            yield Call("release")


def _perform_on_lock(mutex: Any) -> Perform:
    def perform(call: Call) -> int:
        if call.kind == "release":
            mutex.release()
            return 0
        try:
            if call.kind == "acquire":
                return int(mutex.acquire())
            return int(mutex.acquire(timeout=1e-4) if call.first else mutex.acquire(False))
        except OwnerDiedError:
            return models.TOLD

    return perform


def _locks(workers: int) -> list[Perform]:
    return [_perform_on_lock(Mutex(fleet.shared(1, np.uint64)))] * workers


class _LockForTwo:
    def __init__(self) -> None:
        self._held = AtomicArray(fleet.shared(1))
        self._inside = AtomicArray(fleet.shared(1))

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        while True:
            if self._held.fetch_add(0, 1) < 2:
                meet(self._inside)
                return True
            self._held.fetch_sub(0, 1)
            if not blocking or timeout >= 0:
                return False
            os.sched_yield()

    def release(self) -> None:
        self._held.fetch_sub(0, 1)


def _locks_for_two(workers: int) -> list[Perform]:
    return [_perform_on_lock(_LockForTwo())] * workers


# ---- operators ------------------------------------------------------------------------------

_COUNTER_KINDS = ["fetch_add", "load", "exchange"]


def _counter_script(rng: random.Random, number: int, calls: int) -> Iterator[Call]:
    for turn in range(calls):
        kind = rng.choice(_COUNTER_KINDS)
        yield Call(kind, 0, 1 if kind == "fetch_add" else (number + 1) * 100_000 + turn)


def _counters(workers: int) -> list[Perform]:
    """CountUp is fetch_add(1), RetrieveCount load, ResetCounter exchange."""
    blob = f"counter_{next(names)}"
    workspace.RunOperatorOnce(core.CreateOperator("CreateCounter", [], [blob], init_count=0))

    def worker() -> Perform:
        up = one_operator("up", lambda net, out: net.CountUp(blob, out))
        count = one_operator("count", lambda net, out: net.RetrieveCount(blob, out))
        resets: dict[int, tuple[str, str]] = {}

        def perform(call: Call) -> int:
            if call.kind == "exchange":  # the value is an argument of the operator: a net for each
                name, out = resets.setdefault(
                    call.first,
                    one_operator(
                        "reset", lambda net, out: net.ResetCounter(blob, out, init_count=call.first)
                    ),
                )
            else:
                name, out = up if call.kind == "fetch_add" else count
            workspace.RunNet(name)
            return int(workspace.FetchBlob(out))

        return perform

    return [worker() for _ in range(workers)]


def _fetch_add_operators(workers: int) -> list[Perform]:
    """AtomicFetchAdd64 under its mutex, on memory that processes share."""
    total = fleet.shared(1)
    blob, mutex, one = (f"{name}_{next(names)}" for name in ("total", "mutex", "one"))
    workspace.ShareBlob(blob, total)
    workspace.FeedBlob(one, np.int64(1))
    workspace.RunOperatorOnce(core.CreateOperator("CreateMutex", [], [mutex]))

    def worker(number: int) -> Perform:
        with_mutex = [mutex] if number % 2 else []
        add = one_operator(
            "add", lambda net, out: net.AtomicFetchAdd64([*with_mutex, blob, one], [blob, out])
        )
        words = AtomicArray(total)

        def perform(call: Call) -> int:
            if call.kind == "load":
                return words.load(0)
            workspace.RunNet(add[0])
            return int(workspace.FetchBlob(add[1]).reshape(()))

        return perform

    return [worker(number) for number in range(workers)]


def _add_script(rng: random.Random, number: int, calls: int) -> Iterator[Call]:
    for _ in range(calls):
        yield Call(rng.choice(["fetch_add", "load"]), 0, 1)


REAL = [
    Subject("AtomicArray", _WORD_KINDS, models.word, _words, _word_script, WORDS),
    Subject("AtomicArray, bulk", _WORD_KINDS, models.word, _bulk_words, _word_script, WORDS),
    Subject("AtomicBool", _FLAG_KINDS, models.flag, _flags, _flag_script),
    Subject("Mutex", _LOCK_KINDS, models.lock, _locks, _lock_script, told_of_deaths=True),
    Subject("AtomicFetchAdd64", _WORD_KINDS, models.word, _fetch_add_operators, _add_script),
    Subject(
        "counter operators",
        _COUNTER_KINDS,
        models.word,
        _counters,
        _counter_script,
        processes=False,
    ),
    *queues.REAL,
]

BROKEN = [
    Subject("a fetch_add of two steps", _WORD_KINDS, models.word, _torn_words, _word_script, WORDS),
    Subject("a set_if of two steps", _FLAG_KINDS, models.flag, _torn_flags, _claim_script),
    Subject("a lock that admits two", _LOCK_KINDS, models.lock, _locks_for_two, _lock_script),
    *queues.BROKEN,
]
