"""An owner is a thread of a process, and not whoever has its numbers later.

An owner's name (csrc/platform_linux.c) has, beside the numbers of its process and thread, a hash of
the namespaces that they count in and the thread's start time modulo 10.23 s. Names are forged here
from the name of a process that lives.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import fleet
import numpy as np

from caffe2op.atomics import Mutex, OwnerDiedError

# Where the parts of a name begin, and their bits.
PID, SPACE, TID, START = (0, 22), (22, 9), (32, 22), (54, 10)
LAST_PID = "/proc/sys/kernel/ns_last_pid"
NOT_TAKEN, TAKEN, TOLD = range(3)


def part(name: int, where: tuple[int, int]) -> int:
    begin, bits = where
    return name >> begin & (1 << bits) - 1


def with_part(name: int, where: tuple[int, int], value: int) -> int:
    begin, bits = where
    return name & ~(((1 << bits) - 1) << begin) | value << begin


def another(value: int, where: tuple[int, int]) -> int:
    """A value of this part that is not 0, which stands for "unknown", and not `value`."""
    return value % ((1 << where[1]) - 1) + 1


def try_to_take(name: int, seconds: float = 0.1) -> int:
    """What becomes of a waiter for a mutex that `name` holds, within some looks at its owner."""
    mutex = Mutex(np.array([name], np.uint64))
    try:
        return TAKEN if mutex.acquire(timeout=seconds) else NOT_TAKEN
    except OwnerDiedError:
        mutex.release()
        return TOLD


@contextmanager
def owner() -> Iterator[tuple[int, int]]:
    """(pid, name) of another process, which holds a mutex until the end of the block."""
    word = fleet.shared(1, np.uint64)

    def hold() -> None:
        Mutex(word).acquire()
        signal.pause()

    pid = fleet.fork(hold)
    try:
        fleet.await_("the owner", lambda: bool(word[0]))
        yield pid, int(word[0])
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def fork_with_pid(wanted: int) -> int | None:
    """A process that has the number of one that is gone; None where the system does not allow that
    to be asked for, or somebody else was faster every time."""
    for _ in range(50):
        with suppress(OSError), open(LAST_PID, "w") as last:
            last.write(str(wanted - 1))
        pid = fleet.fork(signal.pause)
        if pid == wanted:
            return pid
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        if not os.access(LAST_PID, os.W_OK):
            return None
    return None
