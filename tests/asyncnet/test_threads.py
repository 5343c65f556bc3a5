"""threads.py and deadline.py where the system gives no thread, and where a signal's handler raises
between two steps: as many threads are counted as there are, and no run is left to nobody."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

from caffe2op.asyncnet import AsyncNet, deadline, devices
from caffe2op.asyncnet.future import Submission

from .graphs import until

LONG = 60.0  # seconds: more than any of this takes


@contextmanager
def no_threads(allowed: int = 0) -> Iterator[list[str]]:
    """The system gives so many threads and refuses the others; their names."""
    start = threading.Thread.start
    refused: list[str] = []
    left = [None] * allowed

    def refuse(thread: threading.Thread) -> None:
        try:
            left.pop()
        except IndexError:
            refused.append(thread.name)
            raise RuntimeError("can't start new thread") from None
        start(thread)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        yield refused


def net_of(function: Callable[[int], Any], workers: int = 2) -> AsyncNet:
    return AsyncNet.from_functions({"f": function}, [("x", "f")], workers=workers)


def counts(net: AsyncNet) -> tuple[int, int, int]:
    """Threads, those that are coming, and runs that are on."""
    threads = net._flight.threads
    with threads._lock:
        return threads.count, threads._coming, len(threads._running)


def test_no_thread_at_all() -> None:
    """What nobody would do fails, whoever waits for it and how; nothing is left behind."""
    net = net_of(lambda x: x + 1)
    with no_threads() as refused:
        for _ in range(3):  # each asks again
            future = net.submit({"x": 1})
            with pytest.raises(RuntimeError, match="gives no thread"):
                future.result(timeout=LONG)
        assert len(refused) == 3
        assert counts(net) == (0, 0, 0)
    assert not net._flight._pending
    assert [r["f"] for r in net.map([{"x": k} for k in range(9)])] == list(range(1, 10))
    net.close()


def test_one_thread_where_two_are_wanted() -> None:
    net = net_of(lambda x: x + 1)
    with no_threads(allowed=1) as refused:
        futures = [net.submit({"x": k}) for k in range(50)]
        assert [f.result(timeout=LONG)["f"] for f in futures] == list(range(1, 51))
        assert refused
        assert counts(net)[0] == 1
    net.close()


def test_a_thread_that_gets_no_second_one_does_its_run() -> None:
    """It has begun a run when it asks for another thread."""
    go = threading.Event()
    both = threading.Barrier(2)

    def wait(x: int) -> int:
        both.wait(LONG) if x < 2 else go.wait(LONG)
        return x

    net = net_of(wait, workers=3)
    futures = [net.submit({"x": k}) for k in range(2)]
    assert [f.result(timeout=LONG)["f"] for f in futures] == [0, 1]  # two threads, now idle
    with no_threads():
        futures = [net.submit({"x": k}) for k in range(2, 8)]
        go.set()
        assert [f.result(timeout=LONG)["f"] for f in futures] == list(range(2, 8))
        assert counts(net)[0] == 2
    net.close()


def test_who_waits_does_the_run_and_leaves_the_others_to_an_error() -> None:
    """Both slots are taken by threads of the caller's, so no thread was wanted. When the last of
    them is done, nobody is left for what is queued."""
    go, inside = threading.Event(), threading.Semaphore(0)

    def wait(x: int) -> int:
        inside.release()
        assert go.wait(LONG)
        return x

    net = net_of(wait, workers=1)
    threads = net._flight.threads
    with no_threads():
        # A queued run that nobody was asked to do, since one is on already.
        first = Submission(
            lambda f: {"f": wait(0)}, None, threads, lambda f: None, net._flight._parts
        )
        helper = threading.Thread(target=first.future.result)
    helper.start()
    assert inside.acquire(timeout=LONG)
    with no_threads() as refused:
        last = net.submit({"x": 1})
        assert not refused
        go.set()
        with pytest.raises(RuntimeError, match="gives no thread"):
            last.result(timeout=LONG)
        assert refused
    helper.join(LONG)
    assert first.future.result(timeout=LONG) == {"f": 0}
    assert counts(net) == (0, 0, 0)
    net.close()


def test_no_thread_for_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run is not done without its deadline, and later ones have theirs."""
    monkeypatch.setattr(deadline, "clock", deadline.Clock())
    net = net_of(lambda x: x + 1)
    with no_threads() as refused, pytest.raises(RuntimeError, match="can't start new thread"):
        net.submit({"x": 1}, timeout=0)
    assert refused == ["caffe2op-deadlines"]
    assert net.submit({"x": 1}, timeout=LONG).result() == {"f": 2}
    over = threading.Event()
    deadline.clock.at(0, over.set)  # its thread has not been ended by what failed before
    assert over.wait(LONG)
    net.close()


def test_a_deadline_that_is_over_before_the_run_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """`at` may return after it has called `act`."""

    class Quick(deadline.Clock):
        def at(self, when: float, act: Callable[[], None]) -> deadline.Deadline:
            act()
            return deadline.Deadline(act)

    monkeypatch.setattr(deadline, "clock", Quick())
    net = net_of(lambda x: x + 1)
    with pytest.raises(TimeoutError, match="deadline passed"):
        net.submit({"x": 1}, timeout=LONG).result(timeout=LONG)
    assert not net._flight._pending
    net.close()


def test_no_thread_for_a_device() -> None:
    """Who asks next gets one, and does not wait for a thread that never started."""
    named = devices.NamedThread("named")
    with no_threads() as refused, pytest.raises(RuntimeError, match="can't start new thread"):
        named.call(lambda: 1)
    assert refused == ["named"]
    assert named.call(threading.current_thread).name == "named"


class Interrupt(BaseException):
    """What a signal's handler raises."""


def interrupted_at(step: int, what: Callable[[], Any], files: tuple[str, ...]) -> bool:
    """Calls `what`, and raises Interrupt for the so manieth time that CPython looks for signals in
    these files, on this thread: where a function begins, and where one of C's has returned. (It
    also looks where a loop jumps.) Whether it came so far."""
    left = [step]

    def look(frame: FrameType, event: str, arg: object) -> None:
        if event in ("call", "c_return") and frame.f_code.co_filename.endswith(files):
            left[0] -= 1
            if left[0] == 0:
                raise Interrupt

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        what()
    except Interrupt:
        return True
    finally:
        sys.setprofile(before)
    return False


FILES = (
    "asyncnet/threads.py",
    "asyncnet/future.py",
    "asyncnet/flight.py",
    "asyncnet/deadline.py",
    "asyncnet/devices.py",
)


@pytest.mark.parametrize("start", ["submit", "with a deadline", "result"])
def test_an_interrupt_at_any_step(start: str) -> None:
    """Whatever was interrupted, afterwards runs are done, by as many threads as before, and the
    net closes."""
    step = 0
    while True:
        step += 1
        net = net_of(lambda x: x + 1, workers=1)

        def what(net: AsyncNet = net) -> None:
            future = net.submit({"x": 1}, timeout=LONG if start == "with a deadline" else None)
            if start == "result":
                future.result()

        happened = interrupted_at(step, what, FILES)
        assert net.submit({"x": 1}).result(timeout=LONG) == {"f": 2}, step
        net.close(cancel=True)
        until(lambda net=net: counts(net) == (0, 0, 0) and not net._flight._pending)
        if not happened:
            break
    assert step > 10


def test_an_interrupt_at_any_step_of_a_call_on_a_device() -> None:
    step, happened = 0, True
    while happened:
        step += 1
        named = devices.NamedThread("named")
        happened = interrupted_at(step, lambda named=named: named.call(int), FILES)
        used = {named.call(threading.current_thread) for _ in range(3)}
        assert len(used) == 1, step
    assert step > 5
