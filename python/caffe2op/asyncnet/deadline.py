"""Deadlines: one thread that sets the stop flag of each run whose time is over.

The thread exists only while there are deadlines, and for a while after the last one. A run looks
at its flag between operators; an operator that is running is waited for.

Locks are taken by themselves, not by a Condition's `with`: that is a Python function, and a
signal's handler that raises at its end leaves the lock taken for ever.
"""

from __future__ import annotations

import heapq
import itertools
import os
import threading
import time
from collections.abc import Callable

LINGER = 10.0  # seconds


class Deadline:
    """One deadline, to be called off or to call `act` on the clock's thread."""

    __slots__ = ("act",)

    def __init__(self, act: Callable[[], None]) -> None:
        self.act: Callable[[], None] | None = act

    def call_off(self) -> None:
        """Never act, unless it is just happening."""
        self.act = None


class Clock:
    """Deadlines in order of time, and the thread that waits for the first of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._heap: list[tuple[float, int, Deadline]] = []
        self._numbers = itertools.count()
        self._running = False

    def at(self, when: float, act: Callable[[], None]) -> Deadline:
        """Call `act`, which must not block, at the monotonic time `when`: perhaps before this
        returns. RuntimeError when the system gives no thread."""
        deadline = Deadline(act)
        try:
            with self._lock:
                heapq.heappush(self._heap, (when, next(self._numbers), deadline))
                if not self._running:  # nor is it when the last one did not start
                    threading.Thread(
                        target=self._run, name="caffe2op-deadlines", daemon=True
                    ).start()
                    self._running = True
                elif self._heap[0][2] is deadline:
                    self._changed.notify()
        except BaseException:  # nobody gets it
            deadline.call_off()
            raise
        return deadline

    def _run(self) -> None:
        while True:
            with self._lock:
                while self._heap and self._heap[0][2].act is None:
                    heapq.heappop(self._heap)
                if not self._heap:
                    if not self._changed.wait(LINGER) and not self._heap:
                        self._running = False
                        return
                    continue
                left = self._heap[0][0] - time.monotonic()
                if left > 0:
                    self._changed.wait(left)
                    continue
                act = heapq.heappop(self._heap)[2].act
            if act is not None:
                act()


clock = Clock()


def _after_fork() -> None:
    global clock
    clock = Clock()  # the parent's thread is not here


os.register_at_fork(after_in_child=_after_fork)


def check_timeout(timeout: float | None) -> float | None:
    """The monotonic time at which `timeout` seconds from now are over; None for None."""
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout >= 0:
        raise ValueError(
            f"timeout must be a number of seconds, 0 or more, or None; got {timeout!r}"
        )
    return time.monotonic() + min(timeout, threading.TIMEOUT_MAX / 2)


def remaining(until: float | None) -> float | None:
    """Seconds from now to a time of check_timeout, 0 when it is over; None for None."""
    return None if until is None else max(0.0, until - time.monotonic())
