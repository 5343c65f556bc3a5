"""Threads that do submitted runs, at most so many at the same time. None exists before the first
run; an idle one sleeps, and ends after ten seconds, or within half a second after the net is gone
whose threads they are: it looks, since a finalizer of the net would be Python code that runs at any
moment of the program, and what a signal's handler raised in there (Ctrl-C) would be lost.

A thread that waits for a queued run does it itself where one more may be done now, and always
inside an operator: so an operator may submit runs and wait for them. Beyond that number it waits:
another run at the same time would only take a processor from those that are on. Should none of
these end for a second, they may be waiting for this very run (in ways that nobody can see): then
it is done all the same.

Where the system gives no more threads, those that there are do the runs; where there is none at
all, nor anybody who waits for a run and does one, the runs that are queued fail.

What a signal's handler raises may come between any two steps on the main thread: then as many
threads are counted as there are, and nobody waits for a run that nobody will do.

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
from collections import deque
from collections.abc import Callable

from caffe2op._core import lib
from caffe2op._core.living import Living
from caffe2op.asyncnet.future import Submission
from caffe2op.workspace.executors import processors

LINGER = 10.0  # seconds
EXIT_PATIENCE = 5.0  # seconds
LOOK = 0.5  # seconds, between looks whether the net is gone
PATIENCE = 1.0  # seconds without the end of any run

_everyone: Living[Threads] = Living()
_shared: list[Threads] = []  # one, from the first net on


class Threads:
    """Up to `most` threads and the runs that are queued for them.

    | field    | meaning                                                                  |
    |----------|--------------------------------------------------------------------------|
    | _queue   | runs that nobody has begun                                               |
    | _running | runs that are done, and the thread that does each: of these here, or one |
    |          | that waits for the run                                                   |
    | _coming  | threads that were started or woken and have not looked at the queue yet  |
    | _idle    | the locks on which threads sleep; who wakes one takes its lock out       |
    | _ended   | runs that have ended                                                     |

    All change under _lock. `owner` gives the net whose threads they are, None when it is gone;
    without it they are everybody's.
    """

    def __init__(self, most: int, owner: Callable[[], object] | None = None) -> None:
        self.most = most
        self._owner = owner
        self._over = False
        self._start_over()
        _everyone.add(self)

    def _start_over(self) -> None:
        self._lock = threading.Lock()
        self._queue: deque[Submission] = deque()
        self._running: dict[Submission, int] = {}
        self._idle: list[threading.Lock] = []
        self._count = self._coming = self._ended = 0
        self._closing = False

    @property
    def count(self) -> int:
        """How many threads there are."""
        return self._count

    def alone(self) -> bool:
        """Whether at most one run is running and none is queued: a hint."""
        return len(self._running) <= 1 and not self._queue

    # ---- from outside ----------------------------------------------------------------------

    def put(self, submission: Submission) -> None:
        """Queue a run; starts or wakes a thread where one more run may be done now."""
        with self._lock:
            if self._closing:
                raise RuntimeError("the interpreter is about to exit: no more runs")
            self._queue.append(submission)
            self._call_one()
            left = self._left_alone()
        give_up(left)

    def remove(self, submission: Submission) -> None:
        """Forget a queued run, if it is still there."""
        with self._lock:
            if submission in self._queue:
                self._queue.remove(submission)

    def help(self, submission: Submission) -> None:
        """Before waiting for a run: do it here, if it is queued and may be done now. Returns when
        somebody has begun it."""
        me = threading.get_ident()
        at_once = bool(lib.c2_inside())
        try:
            while submission.queued:
                with self._lock:
                    ended = self._ended
                    free = len(self._running) + self._coming < self.most
                    if (at_once or free) and submission.queued and submission not in self._running:
                        self._begin(submission, me)
                if self._running.get(submission) == me:
                    submission.execute()
                    return
                if not submission.wait(PATIENCE):
                    at_once = self._ended == ended
        finally:  # whatever a signal's handler raises, and wherever
            if self._running.get(submission) == me:
                try:
                    self._leave(submission)
                except BaseException:
                    self._leave(submission)
                    raise

    def _leave(self, submission: Submission) -> None:
        """The thread that waited has done the run. Once more does no harm."""
        with self._lock:
            if submission in self._running:
                self._forget(submission)
            self._call_one()
            left = self._left_alone()
        give_up(left)

    def _left_alone(self) -> list[Submission]:
        """The runs, taken out of the queue, that nobody will do. Under the lock."""
        if self._count or self._running:
            return []
        left = list(self._queue)
        self._queue.clear()
        return left

    # ---- a thread --------------------------------------------------------------------------

    def _begin(self, submission: Submission, thread: int) -> None:
        """Under the lock."""
        self._running[submission] = thread
        if submission in self._queue:
            self._queue.remove(submission)

    def _forget(self, submission: Submission) -> None:
        """A run has ended. Under the lock."""
        del self._running[submission]
        self._ended += 1

    def _call_one(self) -> None:
        """Have a thread look at the queue, where that is of use. Under the lock."""
        if len(self._running) + self._coming >= self.most or len(self._queue) <= self._coming:
            return
        if self._idle:
            bell = self._idle[-1]
            del self._idle[-1]  # like what follows, nothing that runs a signal's handler
            self._coming += 1
            bell.release()
        elif self._count < self.most:
            self._start_one()

    def _start_one(self) -> None:
        # Where a signal's handler raises in `start`, nobody knows whether the thread exists. So it
        # needs a ticket: one that finds it taken back, when it gets the lock, ends at once.
        ticket = [None]
        name = f"caffe2op-run-{self._count + 1}"
        try:
            threading.Thread(target=self._work, args=(ticket,), name=name, daemon=True).start()
        except RuntimeError:
            return  # the system gives none
        except BaseException:
            ticket.clear()
            raise
        self._coming += 1
        self._count += 1

    def _call_all(self) -> None:
        """Wake who sleeps. Under the lock."""
        self._coming += len(self._idle)
        for bell in self._idle:
            bell.release()
        self._idle.clear()

    def _work(self, ticket: list[None]) -> None:
        bell = threading.Lock()
        bell.acquire()
        came = True  # it was called; it is counted in _coming until it has looked
        submission = None
        with self._lock:
            if not ticket:
                return
        while True:
            with self._lock:
                self._coming -= came
                came = False
                if submission is not None:
                    self._forget(submission)
                    submission = None  # its result is not ours to keep
                if self._queue and len(self._running) < self.most:
                    submission = self._queue[0]
                    self._begin(submission, threading.get_ident())
                    self._call_one()
                elif self._closing or self._gone():
                    self._count -= 1
                    return
                else:
                    self._idle.append(bell)
            if submission is not None:
                submission.execute()
                continue
            came = self._sleep(bell)
            if not came:
                with self._lock:
                    if bell in self._idle:
                        self._idle.remove(bell)
                        self._count -= 1
                        return
                came = bell.acquire()  # it was called while it gave up

    def _sleep(self, bell: threading.Lock) -> bool:
        """Until the bell rings, which is True, or this thread is not needed any more."""
        until = time.monotonic() + LINGER
        while (left := until - time.monotonic()) > 0 and not self._gone():
            if bell.acquire(timeout=left if self._owner is None else min(left, LOOK)):
                return True
        return False

    def _gone(self) -> bool:
        return self._over or (self._owner is not None and self._owner() is None)

    def end(self) -> None:
        """No more runs will come: threads end as soon as nothing is queued. Does not wait."""
        with self._lock:
            self._over = True
            self._call_all()

    def exit(self) -> None:
        """Drop what is queued, stop what runs, and wait for that for a while."""
        error = RuntimeError("the interpreter exits: the run was stopped")
        with self._lock:
            self._closing = True
            submissions = [*self._queue, *self._running]
            self._queue.clear()
            self._call_all()
        for submission in submissions:
            submission.abandon(error)
        until = time.monotonic() + EXIT_PATIENCE
        while self._running and time.monotonic() < until:
            time.sleep(0.001)

    def after_fork(self) -> None:
        """In the child: nobody is running, and nobody holds a lock."""
        submissions = [*self._queue, *self._running]
        self._start_over()
        for submission in submissions:
            submission.forked()


def shared_threads() -> Threads:
    """The threads of all nets that do not want their own."""
    if not _shared:
        _shared.append(Threads(processors()))
    return _shared[0]


def give_up(runs: list[Submission]) -> None:
    """End these runs, which nobody will do."""
    for submission in runs:
        submission.abandon(RuntimeError("the system gives no thread that would do the run"))


def _exit() -> None:
    for threads in _everyone:
        threads.exit()


def _after_fork() -> None:
    for threads in _everyone:
        threads.after_fork()


atexit.register(_exit)
os.register_at_fork(after_in_child=_after_fork)
