"""Queues whose histories are recorded: the blobs queue, which belongs to one process, and one that
processes share, made of a Mutex, wait and notify in memory of theirs. Beside each stands its broken
twin, which gives an item twice.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress

import fleet
import models
import numpy as np
from subject import Call, Perform, Subject, meet, names, one_operator

from caffe2op import core, workspace
from caffe2op.atomics import AtomicArray, Mutex, OwnerDiedError

# ---- the blobs queue ------------------------------------------------------------------------

CAPACITY = 3
_KINDS = ["put", "take", "close"]


def _script(rng: random.Random, number: int, calls: int) -> Iterator[Call]:
    """The last worker closes; until then half put and half take, so that none waits for ever."""
    for turn in range(calls - 1):
        putter = number % 2 == 0
        call = Call("put", 0, (number + 1) * 100_000 + turn) if putter else Call("take")
        yield call
        if call.result == (models.BUSY if putter else models.CLOSED):
            return
        if number == 0 and turn == calls * 3 // 4:
            yield Call("close")


def _queues(workers: int, again: bool = False) -> list[Perform]:
    queue = f"queue_{next(names)}"
    workspace.RunOperatorOnce(
        core.CreateOperator("CreateBlobsQueue", [], [queue], capacity=CAPACITY, num_blobs=1)
    )
    given_again: list[int] = []

    def worker() -> Perform:
        item, full, taken, empty = (
            f"{name}_{next(names)}" for name in ("item", "full", "taken", "empty")
        )
        workspace.FeedBlob(item, np.int64(0))
        put, _ = one_operator(
            "put", lambda net, _: net.SafeEnqueueBlobs([queue, item], [item, full])
        )
        take, _ = one_operator("take", lambda net, _: net.SafeDequeueBlobs([queue], [taken, empty]))
        close, _ = one_operator("close", lambda net, _: net.CloseBlobsQueue([queue], []))

        def perform(call: Call) -> int:
            if call.kind == "put":
                workspace.FeedBlob(item, np.int64(call.first))
                workspace.RunNet(put)
                return models.BUSY if workspace.FetchBlob(full) else models.OK
            if call.kind == "close":
                workspace.RunNet(close)
                return 0
            if again and given_again:
                return given_again.pop()
            workspace.RunNet(take)
            if workspace.FetchBlob(empty):
                return models.CLOSED
            found = int(workspace.FetchBlob(taken))
            if again and found % 20 == 0:
                given_again.append(found)
            return found

        return perform

    return [worker() for _ in range(workers)]


def _queues_that_give_again(workers: int) -> list[Perform]:
    return _queues(workers, again=True)


# ---- a queue of processes -------------------------------------------------------------------

HEAD, TAIL, CLOSED, CHANGES = range(
    4
)  # its words; items are those from head to tail, round and round


class SharedQueue:
    """Every change is one store, the last thing under the mutex, so whoever inherits the mutex of a
    dead owner has nothing to repair. Who dies before it has notified leaves others asleep, for no
    longer than PATIENCE: then they look once more, and say that it is full, or empty."""

    PATIENCE = 0.002

    def __init__(self, whole: bool = True) -> None:
        self._words, self._items = AtomicArray(fleet.shared(4)), fleet.shared(CAPACITY)
        self._mutex = Mutex(fleet.shared(1, np.uint64))
        self._inside = None if whole else AtomicArray(fleet.shared(1))  # of the broken twin

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with suppress(OwnerDiedError):  # it is ours all the same
            self._mutex.acquire()
        try:
            yield
        finally:
            self._mutex.release()

    def _patiently(self, attempt: Callable[[], int | None], otherwise: int) -> int:
        words, end = self._words, time.monotonic() + self.PATIENCE
        while True:
            seen = words.load(CHANGES)
            with nullcontext() if self._inside else self._locked():
                done = attempt()
            left = end - time.monotonic()
            if done is None and left > 0:
                words.wait(CHANGES, seen, timeout=left)
                continue
            words.fetch_add(CHANGES, 1)
            words.notify(CHANGES)
            return otherwise if done is None else done

    def put(self, item: int) -> int:
        def attempt() -> int | None:
            words = self._words
            head, tail = words.load(HEAD), words.load(TAIL)
            if words.load(CLOSED):
                return models.BUSY
            if tail - head == CAPACITY:
                return None
            self._items[tail % CAPACITY] = item
            words.store(TAIL, tail + 1)
            return models.OK

        return self._patiently(attempt, models.FULL)

    def take(self) -> int:
        def attempt() -> int | None:
            words = self._words
            head, tail = words.load(HEAD), words.load(TAIL)
            if head == tail:
                return models.CLOSED if words.load(CLOSED) else None
            item = int(self._items[head % CAPACITY])
            if self._inside:
                meet(self._inside)
            words.store(HEAD, head + 1)
            return item

        return self._patiently(attempt, models.EMPTY)

    def close(self) -> int:
        def attempt() -> int:
            self._words.store(CLOSED, 1)
            return 0

        return self._patiently(attempt, 0)


def _shared_queues(workers: int, whole: bool = True) -> list[Perform]:
    queue = SharedQueue(whole)

    def perform(call: Call) -> int:
        if call.kind == "put":
            return queue.put(call.first)
        return queue.take() if call.kind == "take" else queue.close()

    return [perform] * workers


def _torn_shared_queues(workers: int) -> list[Perform]:
    return _shared_queues(workers, whole=False)


_MODEL = models.bounded_queue(CAPACITY)
REAL = [
    Subject("blobs queue", _KINDS, _MODEL, _queues, _script, processes=False),
    Subject("queue of Mutex, wait, notify", _KINDS, _MODEL, _shared_queues, _script),
]
BROKEN = [
    Subject(
        "a queue that gives an item twice",
        _KINDS,
        _MODEL,
        _queues_that_give_again,
        _script,
        processes=False,
    ),
    Subject("a shared queue without its mutex", _KINDS, _MODEL, _torn_shared_queues, _script),
]
