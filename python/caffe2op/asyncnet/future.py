"""The future of one run: what submit returns.

A concurrent.futures.Future that can be awaited, and whose `cancel` works while it runs too.

| state    | cancel()                                  | result()                              |
|----------|-------------------------------------------|---------------------------------------|
| queued   | True; it never runs                       | does the run itself, on this thread   |
| running  | True; the run stops after the operators   | waits for the thread that has it      |
|          | that are running                          |                                       |
| done     | False (True when cancelled before)        | the outputs, or raises                |

A thread that waits for a queued run without a timeout does it itself, so an operator may submit
runs and wait for them: it never waits for a thread that waits for it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator
from concurrent.futures import CancelledError, Future
from typing import Any, NoReturn

from caffe2op._core import lib
from caffe2op._core.pickling import not_pickled
from caffe2op.asyncnet import deadline

Result = dict[str, Any]


class RunFuture(Future[Result]):
    """A run that is queued, running or done. Also to be awaited, in any asyncio loop."""

    def __init__(
        self,
        work: Callable[[RunFuture], Result],
        until: float | None,
        taken_back: Callable[[RunFuture], None],
    ) -> None:
        super().__init__()
        self._work: Callable[[RunFuture], Result] | None = work
        self._taken_back = taken_back
        self._claims = [None]  # list.pop is atomic: whoever gets the item does the run
        self._lock = threading.Lock()  # of what follows
        self._run: Any = None  # its c2_run, while it runs
        self._over: BaseException | None = None  # why it is stopped from outside
        self._finished = False
        self._deadline = None if until is None else deadline.clock.at(until, self._expire)

    def __reduce__(self) -> NoReturn:
        raise not_pickled(self, "send what result() gives")

    # ---- from outside ----------------------------------------------------------------------

    def cancel(self) -> bool:
        """Take the run back, or stop it after the operators that are running. False when it is
        done. Does not wait; waiting then raises CancelledError."""
        if super().cancel():
            self._done()
            self._taken_back(self)
            return True
        return self._stop(CancelledError()) or self.cancelled()

    def cancelled(self) -> bool:
        """Whether `cancel` had an effect, once it is done."""
        return super().cancelled() or (self.done() and isinstance(self._over, CancelledError))

    def result(self, timeout: float | None = None) -> Result:
        """The outputs by name. Raises what the run raised, CancelledError, or TimeoutError when
        `timeout` seconds are over (the run goes on)."""
        if timeout is None:
            self.execute()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the run raised, or None."""
        if timeout is None:
            self.execute()
        return super().exception(timeout)

    def __await__(self) -> Generator[Any, None, Result]:
        return asyncio.wrap_future(self).__await__()

    # ---- from the thread that does it --------------------------------------------------------

    def execute(self) -> bool:
        """Do the run here, unless somebody has it or it was cancelled. True when it was done."""
        try:
            self._claims.pop()
        except IndexError:
            return False
        if not self.set_running_or_notify_cancel():
            return False
        work, self._work = self._work, None
        assert work is not None
        result: Result | None = None
        error: BaseException | None = None
        if self._over is None:
            try:
                result = work(self)
            except BaseException as raised:  # whoever waits gets it
                error = raised
        with self._lock:
            self._finished = True
            self._run = None
            error = self._over or error
        self._done()
        if error is not None:
            self.set_exception(error)
        else:
            assert result is not None
            self.set_result(result)
        return True

    def begin(self, run: Any) -> None:
        """The work is about to start, with this c2_run; it was stopped before, perhaps."""
        with self._lock:
            self._run = run
            if self._over is not None:
                lib.c2_run_stop(run)

    def abandon(self, error: BaseException) -> None:
        """Stop it, or end it if it is queued: nobody will do it any more."""
        self._stop(error)
        self.execute()

    def forked(self) -> None:
        """In the child of a fork: the run goes on in the parent only. Its locks may have been
        held by threads that are not here."""
        self._lock = threading.Lock()
        self._condition = threading.Condition()
        self._claims.clear()
        self._run = None
        if not self.done():
            self.set_exception(RuntimeError("the run is the parent process's; submit it again"))

    def _stop(self, why: BaseException) -> bool:
        with self._lock:
            if self._finished or self._over is not None:
                return False
            self._over = why
            if self._run is not None:
                lib.c2_run_stop(self._run)
        return True

    def _expire(self) -> None:
        """At the deadline: a run that is still queued ends now."""
        self.abandon(TimeoutError("the run's deadline passed"))

    def _done(self) -> None:
        if self._deadline is not None:
            self._deadline.call_off()
