"""One run of a net or a plan: the c2_run that C fills, and the exception that follows a failure.

A run's c2_run has its address as its identity: what Python operators raise during it is kept under
that address until the caller, who alone waits for the run's end, takes it.

Signals: on the main thread a run polls about every 50 ms; the poll is Python code, so handlers
run in it, and what one raises (KeyboardInterrupt) ends the run and is raised by the caller.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, NamedTuple

from caffe2op._core import fast, ffi, lib, status
from caffe2op.workspace.blob import Blob

# An operator of a net, as messages name it: type, name, inputs, outputs.
OperatorInfo = tuple[str, str, list[Blob], list[Blob]]


class NetInfo(NamedTuple):
    """What messages say about a net, and its c2_net, by which C names it. `inner` are the nets that
    its operators run, and `within` says of such a one whose it is."""

    name: str
    ops: Sequence[OperatorInfo]
    c: Any
    inner: Sequence[NetInfo] = ()
    within: str = ""

    def where(self, index: int) -> str:
        """Net, index, type and name of an operator."""
        type_, name = self.ops[index][:2]
        where = f"{self.within}net {self.name!r}, operator {index}: {type_}"
        return where + (f" {name!r}" if name else "")

    def find(self, c: Any) -> NetInfo | None:
        """This net or one within it, by its c2_net."""
        if self.c == c:
            return self
        return next((found for net in self.inner if (found := net.find(c))), None)

    def inputs(self, index: int) -> str:
        """Names, dtypes and shapes of an operator's inputs, as they are now."""
        return ", ".join(blob.describe() for blob in self.ops[index][2]) or "none"


class Raised(NamedTuple):
    """An exception of a Python operator, and where it came from."""

    net: NetInfo
    op: int
    exception: BaseException


_raised: dict[int, list[Raised]] = {}
_signalled: list[BaseException] = []  # raised by signal handlers in polls, on the main thread


def address(pointer: Any) -> int:
    """A C pointer as a number."""
    return int(ffi.cast("uintptr_t", pointer))


def keep_raised(run: int, net: NetInfo, op: int, exception: BaseException, given: str) -> None:
    """Store what a Python operator raised until its run, at this address, ends; noted with where
    that was, and what the operator was given."""
    if exception.__traceback__ is None:  # before the operator's first bytecode: a signal handler's
        keep_signalled(exception)
        return
    exception.add_note(f"raised in {net.where(op)}; inputs: {given}")
    _raised.setdefault(run, []).append(Raised(net, op, exception))


def keep_signalled(exception: BaseException) -> None:
    """Store what a signal handler raised on the main thread until the run there ends."""
    _signalled.append(exception)


def signalled() -> BaseException | None:
    """What a signal handler raised during the run that has ended on this thread, and nothing else
    of it: the next run is not to end by it."""
    if not _signalled or not on_main_thread():
        return None
    first = _signalled[0]
    _signalled.clear()
    return first


def _poll_raised(kind: Any, exception: BaseException | None, trace: TracebackType | None) -> None:
    if exception is not None:
        keep_signalled(exception)


@ffi.def_extern(error=lib.C2_INTERRUPTED, onerror=_poll_raised)  # type: ignore[untyped-decorator]
def c2_python_poll() -> int:
    """Runs pending signal handlers: the interpreter looks for them between bytecodes, here at the
    jumps of the loop. What they raise goes to _poll_raised."""
    for _ in range(2):
        pass
    return 0


def new_run(polls: bool) -> Any:
    """A zeroed c2_run."""
    run = ffi.new("c2_run *")
    if polls:
        run.poll = lib.c2_python_poll
    return run


def on_main_thread() -> bool:
    """Whether this thread is the one that runs signal handlers."""
    return threading.get_ident() == threading.main_thread().ident


Explain = Callable[[str], str]


def as_it_is(message: str) -> str:
    return message


def failure(run: Any, nets: Iterable[NetInfo], explain: Explain = as_it_is) -> BaseException:
    """The exception for a run of these nets that failed on this thread: what a signal handler
    raised, or else the failure. `explain` completes the message of a failure that is no
    operator's."""
    raised = _raised.pop(address(run), [])
    if (by_signal := signalled()) is not None:
        return by_signal
    net = next((found for net in nets if (found := net.find(run.net))), None)
    if run.status == lib.C2_PYTHON and raised:
        for one in raised:
            if one.net is net and one.op == run.op:
                return one.exception
        return raised[0].exception
    text = ffi.string(run.message).decode(errors="replace")
    if net is not None and 0 <= run.op < len(net.ops):
        text = with_names(text, net.ops[run.op]) or "reported failure"
        text = f"{net.where(run.op)}: {text}"
    elif text:
        text = explain(text)
    error = status.error(run.status, text)
    if net is not None and 0 <= run.op < len(net.ops):
        error.add_note(f"inputs: {net.inputs(run.op)}")
    return error


_BLOB = re.compile(r"\b(input|output) (\d+)\b")


def with_names(message: str, op: OperatorInfo) -> str:
    """The message of C with the blobs' names behind "input 1" and "output 0"."""

    def named(match: re.Match[str]) -> str:
        blobs = op[2] if match[1] == "input" else op[3]
        index = int(match[2])
        return f"{match[0]} ({blobs[index].name!r})" if index < len(blobs) else match[0]

    return _BLOB.sub(named, message)


Execute = Callable[[Any], int]


class Runner:
    """Runs one compiled thing again and again: keeps c2_runs for reuse, one for each thread that
    is inside at the same time. `keep` is whatever C points to meanwhile."""

    __slots__ = ("_execute", "_explain", "_free", "_free_polling", "_keep", "_nets")

    def __init__(
        self, execute: Execute, nets: Iterable[NetInfo], keep: object, explain: Explain = as_it_is
    ) -> None:
        self._keep = keep
        self._explain = explain
        self._execute = execute
        self._nets = nets
        self._free: list[Any] = []
        self._free_polling: list[Any] = []

    def __call__(self, allow_fail: bool) -> bool:
        """Run once; blocks, without the GIL. True; False for an operator's failure with
        allow_fail; raises otherwise."""
        polls = on_main_thread()
        free = self._free_polling if polls else self._free
        try:
            run = free.pop()
        except IndexError:
            run = new_run(polls)
        result = self._execute(run)
        if result == 0:
            free.append(run)  # as good as zeroed
            return True
        return self.failed(run, result, allow_fail)

    def failed(self, run: Any, result: int, allow_fail: bool) -> bool:
        """What a run comes to that ended with this status on this thread."""
        by_signal = signalled()
        error = failure(run, self._nets, self._explain)
        if by_signal is not None:
            raise by_signal
        if allow_fail and result == lib.C2_FAILED:
            return False
        raise error


def direct(runner: Runner, net: Any, one: Any, native: bool) -> Callable[..., bool]:
    """What the runner does, in about 0.2 us where the run itself is that short: net is the c2_net,
    and one its c2_async, or NULL for program order. native: the operators are all of C and never
    wait, so that a short run may keep the GIL."""
    run = new_run(False)
    return fast.NetRun(
        address(net), address(one), address(run), address(lib.c2_python_poll), native, run, runner
    ).call
