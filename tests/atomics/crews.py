"""The same body in several threads, forked processes or spawned processes.

Bodies are functions of a module; what they share comes as arguments: SharedArray and its views.
They step through a scene together on a shared integer, and never sleep to wait for each other.
"""

import multiprocessing
import threading
import time
import warnings
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any

from caffe2op.atomics import AtomicArray

KINDS = ("thread", "fork", "spawn")
Body = Callable[..., None]


class Worker:
    """One running body; ``join`` fails the test when the body failed."""

    def __init__(self, kind: str, body: Body, *args: Any) -> None:
        self._errors: list[BaseException] = []
        if kind == "thread":
            self._thread = threading.Thread(target=self._guarded, args=(body, args), daemon=True)
            self._thread.start()
        else:
            context: Any = multiprocessing.get_context(kind)
            self.process: BaseProcess = context.Process(target=body, args=args, daemon=True)
            with warnings.catch_warnings():
                # Python warns of forks in a process with threads: pytest-timeout has one.
                warnings.filterwarnings("ignore", ".*fork.*", DeprecationWarning)
                self.process.start()
        self._kind = kind

    def _guarded(self, body: Body, args: tuple[Any, ...]) -> None:
        try:
            body(*args)
        except BaseException as error:
            self._errors.append(error)

    def join(self) -> None:
        if self._kind == "thread":
            self._thread.join()
            if self._errors:
                raise self._errors[0]
        else:
            self.process.join()
            assert self.process.exitcode == 0, "the traceback is on stderr"

    def kill(self) -> None:
        """Of a process: SIGKILL, and wait until it is gone."""
        self.process.kill()
        self.process.join()


def run(kind: str, body: Body, *args: Any, workers: int = 2) -> None:
    """``body(number, *args)`` in so many workers at once."""
    crew = [Worker(kind, body, number, *args) for number in range(workers)]
    for worker in crew:
        worker.join()


def reach(steps: AtomicArray, step: int) -> None:
    """Say that the scene has come to ``step``."""
    steps.store(0, step)
    steps.notify(0, 1000)


def until(steps: AtomicArray, step: int) -> None:
    """Wait until the scene has come to ``step``."""
    while (now := steps.load(0)) < step:
        steps.wait(0, now)


def until_someone_waits(word: AtomicArray) -> None:
    """Wait until the mutex in element 0 has a waiter (bit 31, csrc/mutex.h)."""
    while not word.load(0) >> 31 & 1:
        time.sleep(1e-4)  # on a busy machine a yield would put us behind everybody
