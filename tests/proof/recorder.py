"""Histories of real objects: workers call, and write down when each call began, when it ended, and
what it gave, in memory that survives them.

A record is begun before the call and ended after it, so what a killed worker left without an end is
a pending operation. The clock is CLOCK_MONOTONIC, one for all processes of a machine. Records are
plain int64 words: the one who reads them does so after the writer has ended, which the system
orders.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import fleet
from linearizability import NEVER, Operation
from subject import Call, Subject

_BEGAN, _KIND, _OBJECT, _FIRST, _SECOND, _RESULT, _ENDED = range(7)


@dataclass
class Recording:
    """What was recorded: a history for each object of the subject."""

    histories: list[list[Operation]]
    kills: int = 0
    operations: int = field(init=False)
    pending: int = field(init=False)

    def __post_init__(self) -> None:
        self.operations = sum(map(len, self.histories))
        self.pending = sum(op.pending for one in self.histories for op in one)


def record(subject: Subject, way: str, seed: int, workers: int = 4, calls: int = 100) -> Recording:
    """Run so many workers, each making so many calls, and return what happened. `way`: "threads",
    "processes", or "killed": processes, all but one of which are killed before they are done."""
    logs = fleet.shared((workers, calls, 7))
    reached = fleet.shared(workers)
    places = subject.make(workers)

    def work(number: int) -> None:
        rng = random.Random(seed * 1000 + number)
        script = subject.script(rng, number, calls)
        stretch = random.Random(~seed * 1000 - number)
        rally = partial(_rally, number, reached)
        _write_down(logs[number], script, places[number], subject.kinds, stretch, rally)

    if way == "threads":
        _run_threads(work, workers)
        deaths = {}
    else:
        deaths = _run_processes(work, workers, logs, seed if way == "killed" else None)
    histories: list[list[Operation]] = [[] for _ in range(subject.objects)]
    for number, log in enumerate(logs):
        for row in log[log[:, _BEGAN] > 0].tolist():
            histories[row[_OBJECT]].append(
                Operation(
                    number,
                    subject.kinds[row[_KIND]],
                    (row[_FIRST], row[_SECOND]),
                    row[_RESULT],
                    row[_BEGAN],
                    row[_ENDED] or NEVER,
                )
            )
    if subject.told_of_deaths:
        for number, (before, after) in deaths.items():
            for history in histories:
                history.append(Operation(number, "die", (0, 0), 0, before, after))
    return Recording(histories, len(deaths))


_STRETCH = 10  # calls between two rallies
_PATIENCE = 0.005  # seconds that one waits for the others there: they may be blocked, or dead


def _rally(number: int, reached: fleet.Array) -> None:
    """Wait for the others, so that workers overlap although each needs microseconds and the system
    starts them milliseconds apart."""
    reached[number] += 1
    end = time.monotonic() + (_PATIENCE if reached[number] > 1 else 1)
    while (reached < reached[number]).any() and time.monotonic() < end:
        os.sched_yield()


def _write_down(
    log: fleet.Array,
    script: Iterator[Call],
    perform: Callable[[Call], int],
    kinds: list[str],
    rng: random.Random,
    rally: Callable[[], None],
) -> None:
    clock = time.monotonic_ns
    for turn, row in enumerate(log):
        if turn % _STRETCH == 0:
            rally()
        call = next(script, None)
        if call is None:
            return
        row[_KIND], row[_OBJECT] = kinds.index(call.kind), call.object
        row[_FIRST], row[_SECOND] = call.first, call.second
        stretched = rng.random()
        row[_BEGAN] = clock()
        if stretched < 0.1:  # a longer interval: more overlaps, more deaths within
            fleet.pause(rng, 1e-4)
        result = perform(call)
        if stretched > 0.9:
            fleet.pause(rng, 1e-4)
        ended = clock()
        row[_RESULT] = result
        row[_ENDED] = ended
        call.result = result


@contextmanager
def _switching_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _run_threads(work: fleet.Body, workers: int) -> None:
    errors: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(k,), daemon=True) for k in range(workers)]
    with _switching_often():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]


def _has_ended(pid: int) -> bool:
    """Whether the fork waits to be waited for."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _run_processes(
    work: fleet.Body, workers: int, logs: fleet.Array, seed: int | None
) -> dict[int, tuple[int, int]]:
    """When each of the killed ones died: between these two moments."""
    pids = [fleet.fork(lambda number=number: work(number)) for number in range(workers)]
    deaths: dict[int, tuple[int, int]] = {}
    try:
        if seed is not None:
            rng = random.Random(seed)
            for number in rng.sample(range(workers), workers - 1):
                half = rng.randrange(len(logs[number]) // 2)
                # In the midst of its work; a queue that was closed meanwhile may end it sooner.
                while not logs[number, half, _ENDED] and not _has_ended(pids[number]):
                    os.sched_yield()
                fleet.pause(rng, 2e-4)
                before = time.monotonic_ns()
                os.kill(pids[number], signal.SIGKILL)
                _, status = os.waitpid(pids[number], 0)
                if os.waitstatus_to_exitcode(status) == -signal.SIGKILL:  # else it was done
                    deaths[number] = before, time.monotonic_ns()
                else:
                    assert status == 0, "a worker failed; its traceback is on stderr"
                pids[number] = 0
        for number, pid in enumerate(pids):
            if pid:
                pids[number] = 0
                fleet.join(pid)
    finally:
        for pid in filter(None, pids):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return deaths
