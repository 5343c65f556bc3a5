"""Threads that do submitted runs. None exists before the first; an idle one sleeps, and ends
after ten seconds.

They are daemon threads, since waiting for them at the interpreter's exit could take for ever:
there the queued runs are dropped, those in flight are stopped and waited for for a while.
After a fork the child has none of them: runs that were in flight go on in the parent, and their
futures raise in the child.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections import deque

from caffe2op.asyncnet.future import RunFuture

LINGER = 10.0  # seconds
EXIT_PATIENCE = 5.0  # seconds

_everyone: weakref.WeakSet[Threads] = weakref.WeakSet()


class Threads:
    """Up to `most` threads and the runs that are queued for them."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._start_over()
        _everyone.add(self)

    def _start_over(self) -> None:
        self._changed = threading.Condition()
        self._queue: deque[RunFuture] = deque()
        self._running: set[RunFuture] = set()
        self._count = self._idle = 0
        self._closing = False

    @property
    def count(self) -> int:
        """How many threads there are."""
        return self._count

    def alone(self) -> bool:
        """Whether at most one run is running and none is queued: a hint."""
        return len(self._running) <= 1 and not self._queue

    def put(self, future: RunFuture) -> None:
        """Queue a run; starts a thread where none is idle."""
        with self._changed:
            if self._closing:
                raise RuntimeError("the interpreter is about to exit: no more runs")
            self._queue.append(future)
            if self._idle >= len(self._queue):
                self._changed.notify()
            elif self._count < self.most:
                self._count += 1
                name = f"caffe2op-run-{self._count}"
                threading.Thread(target=self._work, name=name, daemon=True).start()

    def remove(self, future: RunFuture) -> None:
        """Forget a queued run, if it is still there."""
        with self._changed:
            if future in self._queue:
                self._queue.remove(future)

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._queue:
                    self._idle += 1
                    woken = self._changed.wait(LINGER)
                    self._idle -= 1
                    if not self._queue and (self._closing or not woken):
                        self._count -= 1
                        return
                future = self._queue.popleft()
                self._running.add(future)
            future.execute()
            with self._changed:
                self._running.discard(future)
            del future  # its result is not ours to keep

    def exit(self) -> None:
        """Drop what is queued, stop what runs, and wait for that for a while."""
        error = RuntimeError("the interpreter exits: the run was stopped")
        with self._changed:
            self._closing = True
            futures = [*self._queue, *self._running]
            self._queue.clear()
            self._changed.notify_all()
        for future in futures:
            future.abandon(error)
        until = time.monotonic() + EXIT_PATIENCE
        while self._running and time.monotonic() < until:
            time.sleep(0.001)

    def after_fork(self) -> None:
        """In the child: nobody is running, and nobody holds a lock."""
        futures = [*self._queue, *self._running]
        self._start_over()
        for future in futures:
            future.forked()


def _exit() -> None:
    for threads in list(_everyone):
        threads.exit()


def _after_fork() -> None:
    for threads in list(_everyone):
        threads.after_fork()


atexit.register(_exit)
os.register_at_fork(after_in_child=_after_fork)
