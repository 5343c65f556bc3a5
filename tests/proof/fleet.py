"""Processes that are made cheaply and die at random moments.

A worker is a fork that runs one function and never comes back into the caller's code. The system
kills it when its parent ends, however that ends, so nothing is left behind. Memory that all of them
share is mapped without a name before the forks, and goes with the last of them. Linux only.
"""

from __future__ import annotations

import ctypes
import gc
import mmap
import os
import random
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Body = Callable[[int], None]

_FAILED = 70
_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def shared(shape: int | tuple[int, ...], dtype: npt.DTypeLike = np.int64) -> Array:
    """Zeros that the forks of this process share with it."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer(mmap.mmap(-1, size), dtype).reshape(shape)


def fork(body: Callable[[], None]) -> int:
    """Its process id. An exception in `body` is printed, and ends it with another status than 0."""
    with warnings.catch_warnings():
        # Python warns of forks in a process with threads: pytest-timeout has one.
        warnings.simplefilter("ignore", DeprecationWarning)
        parent = os.getpid()
        pid = os.fork()
    if pid:
        return pid
    status = _FAILED
    try:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(_FAILED)  # it ended before it could be told
        gc.disable()  # it would only copy the parent's pages
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        body()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def join(pid: int) -> None:
    """Wait for a fork that is to end well."""
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status == 0, f"process {pid} ended with {status}; its traceback is on stderr"


class Fleet:
    """`size` workers, each running body(number) for ever, to be killed and replaced."""

    def __init__(self, size: int, body: Body) -> None:
        self._body = body
        self.pids = [0] * size

    def __enter__(self) -> Fleet:
        gc.collect()
        gc.freeze()  # what is here already is not to be copied, fork after fork
        for number in range(len(self.pids)):
            self.start(number)
        return self

    def __exit__(self, *error: object) -> None:
        for pid in self.pids:
            if pid:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        gc.unfreeze()

    def start(self, number: int) -> None:
        self.pids[number] = fork(lambda: self._body(number))

    def kill(self, number: int) -> None:
        """SIGKILL, and wait until it is gone. It must have been alive and well before."""
        pid = self.pids[number]
        os.kill(pid, signal.SIGKILL)
        self.pids[number] = 0
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert status == -signal.SIGKILL, f"worker {number} had ended by itself with {status}"


def killings(
    size: int, body: Body, times: int, seed: int, progress: Callable[[int], int], most: float
) -> Iterator[tuple[Fleet, int]]:
    """The fleet, and who is to be killed now, so often. Every worker gets as far as one step of
    `progress` before its turn comes, and up to `most` seconds of random time more; the caller
    kills it, and finds another one in its place the next time."""
    rng = random.Random(seed)
    with Fleet(size, body) as workers:
        at_start = [progress(number) for number in range(size)]
        for turn in range(times):
            number = turn % size
            await_("a new worker's first step", partial(_beyond, progress, number, at_start))
            pause(rng, most)
            yield workers, number
            at_start[number] = progress(number)
            workers.start(number)


def _beyond(progress: Callable[[int], int], number: int, before: list[int]) -> bool:
    return progress(number) > before[number]


def pause(rng: random.Random, most: float) -> None:
    """A random time up to `most` seconds, without sleeping to the system's ticks."""
    end = time.perf_counter() + rng.uniform(0, most)
    while time.perf_counter() < end:
        os.sched_yield()


def await_(what: str, holds: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until `holds()`; AssertionError when it does not come to that."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.0002)
