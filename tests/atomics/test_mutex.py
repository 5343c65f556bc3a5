"""Mutex within one process: as threading.Lock, and where it differs."""

import array
import mmap
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from crews import until_someone_waits

from caffe2op.atomics import AtomicArray, Mutex, OwnerDiedError


@pytest.fixture
def word() -> Any:
    return np.zeros(1, np.uint64)


def in_thread(body: Callable[[], Any]) -> Any:
    """The body's result or exception, from a thread of its own that has ended."""
    result: list[Any] = []

    def run() -> None:
        try:
            result.append(body())
        except Exception as error:
            result.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return result[0]


def test_acquire_and_release() -> None:
    mutex = Mutex()
    assert not mutex.locked()
    assert mutex.acquire() is True
    assert mutex.locked()
    mutex.release()
    assert not mutex.locked()
    assert mutex.acquire(False) is True
    mutex.release()
    assert mutex.acquire(True, 1.5) is True
    mutex.release()
    assert mutex.acquire(timeout=0) is True
    mutex.release()
    assert mutex.acquire(blocking=False, timeout=-1) is True
    mutex.release()


def test_with() -> None:
    mutex = Mutex()
    with mutex as entered:
        assert entered is True
        assert mutex.locked()
    assert not mutex.locked()
    with pytest.raises(KeyError), mutex:
        raise KeyError
    assert not mutex.locked()


def test_repr_tells_who_holds_it() -> None:
    mutex = Mutex()
    assert repr(mutex) == "<mutex: unlocked>"
    with mutex:
        assert repr(mutex) == "<mutex: held by this thread>"
        assert in_thread(lambda: repr(mutex)) == "<mutex: locked>"


@pytest.mark.parametrize(
    "make",
    [
        lambda: np.zeros(1, np.uint64),
        lambda: np.zeros((), np.int64),
        lambda: np.zeros((2, 4), np.uint8),
        lambda: np.zeros(3, np.float64)[1:2],
        lambda: bytearray(8),
        lambda: memoryview(bytearray(32))[8:16],
        lambda: array.array("q", [0]),
        lambda: memoryview(mmap.mmap(-1, 64))[16:24],
    ],
)
def test_it_lies_in_the_callers_eight_bytes(make: Callable[[], Any]) -> None:
    memory = make()
    mutex, twin = Mutex(memory), Mutex(memory)
    with mutex:
        assert memoryview(memory).tobytes() != bytes(8)
        assert twin.locked()
        assert twin.acquire(False) is False
    assert memoryview(memory).tobytes() == bytes(8)


def test_it_keeps_the_memory_alive_and_in_place() -> None:
    memory = bytearray(8)
    mutex = Mutex(memory)
    with pytest.raises(BufferError):
        memory.extend(b"more")
    del memory
    with mutex:
        pass


@pytest.mark.parametrize(
    ("memory", "error", "words"),
    [
        (np.zeros(2, np.uint64), ValueError, "16 bytes given"),
        (np.zeros(1, np.uint32), ValueError, "4 bytes given"),
        (bytearray(9), ValueError, "9 bytes given"),
        (bytes(8), ValueError, "read-only"),
        (np.zeros(16, np.uint8)[::2], ValueError, "contiguous"),
        (np.zeros(24, np.uint8)[4:12], ValueError, "misaligned"),
        (np.zeros(12, np.uint8)[4:].view(np.uint64), ValueError, "misaligned"),
        (np.zeros(1, ">u8"), TypeError, "byte-swapped"),
        (np.zeros(1, object), TypeError, "object"),
        (8, TypeError, "no buffer"),
        ("8 bytes.", TypeError, "no buffer"),
    ],
)
def test_memory_that_is_refused(memory: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=f"^buffer: .*{words}"):
        Mutex(memory)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"blocking": False, "timeout": 1}, ValueError),
        ({"blocking": False, "timeout": 0}, ValueError),
        ({"timeout": -0.5}, ValueError),
        ({"timeout": -2}, ValueError),
        ({"timeout": float("nan")}, ValueError),
        ({"timeout": float("-inf")}, ValueError),
        ({"timeout": float("inf")}, OverflowError),
        ({"timeout": 1e10}, OverflowError),
        ({"timeout": 1 << 5000}, OverflowError),
        ({"timeout": None}, TypeError),
        ({"timeout": "1"}, TypeError),
        ({"block": True}, TypeError),
    ],
)
def test_arguments_that_are_refused(arguments: Any, error: type[Exception]) -> None:
    mutex = Mutex()
    with pytest.raises(error):
        mutex.acquire(**arguments)
    assert not mutex.locked()
    with pytest.raises(TypeError):
        mutex.acquire(True, 1, 1)  # type: ignore[call-arg]


def test_nobody_but_the_owner_releases() -> None:
    mutex = Mutex()
    with pytest.raises(RuntimeError, match="not locked"):
        mutex.release()
    with mutex:
        error = in_thread(mutex.release)
        assert isinstance(error, RuntimeError)
        assert "another thread" in str(error)
        assert mutex.locked()


def test_the_owner_does_not_wait_for_itself() -> None:
    mutex = Mutex()
    with mutex:
        with pytest.raises(RuntimeError, match="holds the mutex already"):
            mutex.acquire()
        with pytest.raises(RuntimeError), mutex:
            pass
        assert mutex.acquire(False) is False
        assert mutex.acquire(timeout=0.01) is False
        assert mutex.locked()
    assert not mutex.locked()


@pytest.mark.parametrize("timeout", [0, 1e-9, 0.03, 0.15])
def test_a_timeout_is_never_early(timeout: float) -> None:
    mutex = Mutex()
    with mutex:

        def wait() -> float:
            start = time.monotonic()
            assert mutex.acquire(timeout=timeout) is False
            return time.monotonic() - start

        waited = in_thread(wait)
    assert timeout <= waited < timeout + 5


@pytest.mark.thread_unsafe
def test_a_waiter_gets_it_and_the_gil_is_free_meanwhile(word: Any) -> None:
    mutex = Mutex(word)
    got: list[bool] = []
    mutex.acquire()

    def wait() -> None:
        got.append(mutex.acquire())
        mutex.release()

    thread = threading.Thread(target=wait)
    thread.start()
    until_someone_waits(AtomicArray(word))  # runs, so the waiter gave the GIL away
    assert not got
    mutex.release()
    thread.join()
    assert got == [True]
    assert not word.any()


def test_nothing_is_lost(stampede: Callable[..., None]) -> None:
    mutex, count = Mutex(), [0, 0]

    def body() -> None:
        for turn in range(300):
            if turn % 3 == 0:
                mutex.acquire()
            elif turn % 3 == 1:
                while not mutex.acquire(False):
                    time.sleep(0)  # lets another thread run
            else:
                while not mutex.acquire(timeout=1e-4):
                    pass
            assert count[0] == count[1]
            count[0] += 1
            count[1] += 1
            mutex.release()

    stampede(body, 4)
    assert count == [1200, 1200]
    assert not mutex.locked()


@pytest.mark.parametrize("arguments", [(), (False,), (True, 5), (True, 1e-4)])
def test_a_thread_that_ends_as_the_owner(arguments: tuple[Any, ...]) -> None:
    mutex = Mutex()
    assert in_thread(mutex.acquire) is True
    assert mutex.locked()

    def acquire() -> None:
        while mutex.acquire(*arguments) is False:  # those that do not wait come again
            pass

    with pytest.raises(OwnerDiedError, match=r"NOW HELD.*release\(\)"):
        acquire()
    assert repr(mutex) == "<mutex: held by this thread>"
    mutex.release()
    with mutex:  # told once
        pass


def test_with_raises_before_its_body_and_leaves_the_mutex_held() -> None:
    mutex = Mutex()
    in_thread(mutex.acquire)
    ran = False
    try:
        with mutex:
            ran = True
    except OwnerDiedError:
        assert repr(mutex) == "<mutex: held by this thread>"
        mutex.release()
    assert not ran
    assert not mutex.locked()


def test_it_is_not_pickled() -> None:
    with pytest.raises(TypeError, match="named shared memory"):
        pickle.dumps(Mutex())


def test_a_subclass_keeps_its_own_methods() -> None:
    class Counting(Mutex):
        __slots__ = ("count",)

        def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
            self.count = getattr(self, "count", 0) + 1
            return super().acquire(blocking, timeout)

    mutex = Counting()
    assert mutex.acquire(timeout=1)
    mutex.release()
    assert mutex.count == 1


SIGNALLED = """
import os, signal, sys, threading
import numpy as np
from caffe2op.atomics import AtomicArray, Mutex

word = np.zeros(1, np.uint64)
mutex = Mutex(word)
held, end = threading.Event(), threading.Event()

def hold():
    with mutex:
        held.set()
        end.wait()

def interrupt():
    while not AtomicArray(word).load(0) >> 31 & 1:  # until main waits
        pass
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=hold).start()
held.wait()
threading.Thread(target=interrupt).start()
try:
    {wait}
    print("no interrupt")
except KeyboardInterrupt:
    print("interrupted", "held" in repr(mutex))
end.set()
"""


@pytest.mark.parametrize(
    "wait", ["mutex.acquire()", "mutex.acquire(timeout=60)", "mutex.__enter__()"]
)
def test_ctrl_c_ends_a_wait(wait: str) -> None:
    script = SIGNALLED.replace("{wait}", wait)
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stdout == "interrupted False\n", ended.stderr
