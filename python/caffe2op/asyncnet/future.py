"""A submitted run, and its future, which submit returns.

The future is a concurrent.futures.Future that can be awaited, and whose `cancel` works while the
run goes on, too. Whatever else there is to a run is its Submission's, which threads queue and do. A
Submission has its future; the future knows the Submission only while somebody else has it.

| state    | cancel()                                  | result()                              |
|----------|-------------------------------------------|---------------------------------------|
| queued   | True; it never runs                       | may do the run, on this thread        |
| running  | True; the run stops after the operators   | waits for the thread that has it      |
|          | that are running                          |                                       |
| done     | False (True when cancelled before)        | the outputs, or raises                |

A thread that waits for a queued run without a timeout does it itself where threads.py lets it; an
operator always may, so it can submit runs and wait for them: it never waits for a thread that
waits for it.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable, Generator
from concurrent.futures import CancelledError, Future
from typing import Any, NoReturn, Protocol

from caffe2op._core import ffi, lib
from caffe2op._core.pickling import not_pickled
from caffe2op.asyncnet import deadline

Result = dict[str, Any]


class Parts(Protocol):
    """Who knows the net's operators."""

    @property
    def count(self) -> int: ...
    def after(self, operator: str) -> list[int]:
        """Those of this name, and all that come after them in the graph; last first."""


class Keeper(Protocol):
    """Who has the queued runs."""

    def remove(self, submission: Submission) -> None: ...
    def help(self, submission: Submission) -> None: ...


class RunFuture(Future[Result]):
    """A run that is queued, running or done: a concurrent.futures.Future, which any asyncio loop
    can await, and which can be cancelled while it runs. AsyncNet.submit makes them."""

    def __init__(self, submission: Submission, parts: Parts) -> None:
        super().__init__()
        self._submission = weakref.ref(submission)  # nobody has it any more when it is done
        self._parts = parts
        self._stopped = False  # by cancel, while it ran

    def __reduce__(self) -> NoReturn:
        raise not_pickled(self, "send what result() gives")

    def cancel(self, operator: str | None = None) -> bool:
        """Take the run back, or stop it after the operators that are running. False when it is
        done. Does not wait; waiting then raises CancelledError.

        With `operator`, the name of one or of its output: only that operator and all that must
        come after it are skipped, as far as they have not begun. The run goes on with the rest,
        and its result is without the outputs of those. ValueError for a name that is unknown."""
        found = None if operator is None else self._parts.after(operator)
        run = self._submission()
        if found is not None:
            return run is not None and run.skip(found)
        if super().cancel():
            if run is not None:
                run.taken_back()
            return True
        return (run is not None and run.stop(CancelledError())) or self.cancelled()

    def cancelled(self) -> bool:
        """Whether `cancel` had an effect, once it is done."""
        return super().cancelled() or (self._stopped and self.done())

    def result(self, timeout: float | None = None) -> Result:
        """The outputs by name. Raises what the run raised, CancelledError, or TimeoutError when
        `timeout` seconds are over (the run goes on)."""
        self._before_waiting(timeout)
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the run raised, or None."""
        self._before_waiting(timeout)
        return super().exception(timeout)

    def __await__(self) -> Generator[Any, None, Result]:
        return asyncio.wrap_future(self).__await__()

    def _before_waiting(self, timeout: float | None) -> None:
        run = self._submission() if timeout is None else None
        if run is not None:
            run.help()


class Submission:
    """What is to be done once, by whoever comes first, and whose outcome is the future's."""

    __slots__ = (
        "__weakref__",
        "_claims",
        "_deadline",
        "_ended",
        "_finished",
        "_flags",
        "_keeper",
        "_lock",
        "_over",
        "_parts",
        "_run",
        "_skipped",
        "_work",
        "future",
    )

    def __init__(
        self,
        work: Callable[[Submission], Result],
        until: float | None,
        keeper: Keeper,
        ended: Callable[[Submission], object],
        parts: Parts,
    ) -> None:
        self.future = RunFuture(self, parts)
        self._work: Callable[[Submission], Result] | None = work
        self._keeper = keeper
        self._ended = ended  # called when it is done
        self._claims = [None]  # list.pop is atomic: whoever gets the item does the run
        self._lock = threading.Lock()  # of what follows
        self._run: Any = None  # its c2_run, while it runs
        self._parts = parts
        self._flags: Any = None  # of the operators to skip, where there are any
        self._skipped: list[int] = []
        self._over: BaseException | None = None  # why it is stopped from outside
        self._finished = False
        self._deadline: deadline.Deadline | None = None
        if until is not None:  # which may be over: then _expire comes before `at` returns
            self._deadline = deadline.clock.at(until, self._expire)

    # ---- from outside ----------------------------------------------------------------------

    @property
    def queued(self) -> bool:
        """Whether nobody has begun it."""
        return bool(self._claims)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it is done, or so long at the most; whether it is done."""
        try:
            Future.exception(self.future, seconds)  # not the future's own, which would help
        except (TimeoutError, CancelledError):
            return self.future.done()
        return True

    def help(self) -> None:
        """Before waiting for it without end: do it here, where that may be."""
        self._keeper.help(self)

    def taken_back(self) -> None:
        """The future was cancelled before anybody had begun it."""
        self._call_off()
        self._keeper.remove(self)
        self._ended(self)

    def stop(self, why: BaseException) -> bool:
        """End it after the operators that are running, if nothing else has. Whether it ends for
        such a reason: not when it is done."""
        with self._lock:
            if self._finished:
                return False
            if self._over is None:
                self._over = why
                if self._run is not None:
                    lib.c2_run_stop(self._run)
            return isinstance(self._over, type(why))

    def skip(self, operators: list[int]) -> bool:
        """Leave these out, last first, as far as they have not begun; False when it is done."""
        with self._lock:
            if self._finished or self.future.done():
                return False
            if self._flags is None:
                self._flags = ffi.new("uint8_t[]", self._parts.count)
            self._skipped += operators
            if self._run is not None:
                lib.c2_run_skip(self._run, self._flags, operators, len(operators))
        return True

    def abandon(self, error: BaseException) -> None:
        """Stop it, or end it if it is queued: nobody will do it any more."""
        self.stop(error)
        self.execute()

    def _expire(self) -> None:
        """At the deadline: a run that is still queued ends now."""
        self.abandon(TimeoutError("the run's deadline passed"))

    def _call_off(self) -> None:
        if self._deadline is not None:
            self._deadline.call_off()

    # ---- from the thread that does it --------------------------------------------------------

    def execute(self) -> bool:
        """Do it here, unless somebody has it or it was cancelled. True when it was done."""
        try:
            try:
                self._claims.pop()
            except IndexError:
                return False
            return self._execute()
        except BaseException as raised:  # by a signal's handler, between two steps of ours
            if not self.future.done():  # and nobody else would end it
                self.future.set_exception(raised)
            self._ended(self)
            raise

    def _execute(self) -> bool:
        if not self.future.set_running_or_notify_cancel():
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
        self._call_off()
        if error is not None:
            self.future._stopped = isinstance(self._over, CancelledError)
            self.future.set_exception(error)
        else:
            assert result is not None
            self.future.set_result(result)
        self._ended(self)
        return True

    def begin(self, run: Any) -> None:
        """The work is about to start, with this c2_run; it was stopped before, perhaps."""
        with self._lock:
            self._run = run
            if self._skipped:
                lib.c2_run_skip(run, self._flags, self._skipped, len(self._skipped))
            if self._over is not None:
                lib.c2_run_stop(run)

    def left_out(self, operator: int) -> bool:
        """Whether the operator was skipped; after the run."""
        return self._flags is not None and self._flags[operator] == lib.C2_SKIPPED

    # ---- in a forked child -------------------------------------------------------------------

    def forked(self) -> None:
        """The run goes on in the parent only. Its locks may have been held by threads that are
        not here."""
        self._lock = threading.Lock()
        self.future._condition = threading.Condition()
        self._claims.clear()
        self._run = None
        if not self.future.done():
            self.future.set_exception(
                RuntimeError("the run is the parent process's; submit it again")
            )
