"""Mutex: a lock in 8 bytes of any memory, for threads and processes, that survives its owner."""

from typing import Self

import numpy as np

from caffe2op._core import buffers, dtypes
from caffe2op._core.fast import Array
from caffe2op._core.fast import Mutex as FastMutex

_BYTES = 8


class Mutex(FastMutex):
    """Mutex(buffer=None)

    A lock in the 8 bytes of ``buffer``, shared by all threads and processes that map them:
    anything writable of exactly 8 bytes at an address divisible by 8 (a NumPy uint64,
    ``shm.buf[8:16]``, a bytearray). Bytes that are all zero are an unlocked mutex; a mutex that
    others use already is joined as it stands. Without a buffer it has memory of its own, for
    the threads of this process.

    ``acquire(blocking=True, timeout=-1)``, ``release()``, ``locked()`` and ``with`` are those of
    ``threading.Lock``, except that only the thread that took the mutex may release it, and that
    a thread which would wait for itself gets a RuntimeError. The owner is a thread of the
    operating system; a forked child does not inherit what its parent holds.

    **When an owner dies**, whether its process was killed or its thread ended, the next caller
    of ``acquire`` or ``with`` gets the mutex and is told by :class:`OwnerDiedError`. **That
    caller holds the mutex**: it repairs what the mutex protects, and releases. The body of a
    ``with`` does not run then, and the mutex stays held::

        try:
            with mutex:
                update(table)
        except OwnerDiedError:      # held now: a with whose body never ran releases nothing
            try:
                repair(table)
            finally:
                mutex.release()

    Death is noticed within about 50 ms by those who wait, and about 1 ms after a new one begins
    to wait. A stopped process is alive. Processes are told apart as long as they see the same
    process ids (one pid namespace); an owner in another one is never taken for dead.

    An uncontended ``with`` keeps the GIL; a wait releases it, and signal handlers run
    (KeyboardInterrupt ends a wait without the mutex). No order among those who wait is promised.

    TypeError for what has no buffer, ValueError for memory that is read-only, strided,
    misaligned, released, or not 8 bytes long.
    """

    __slots__ = ("__weakref__",)

    def __new__(cls, buffer: object = None) -> Self:
        word = np.zeros(1, np.uint64) if buffer is None else _word(buffer)
        return super().__new__(cls, Array(word, dtypes.to_code(np.uint64), buffers.pin(word)))


def _word(buffer: object) -> buffers.Array:
    memory = buffers.view(buffer)
    if memory.nbytes != _BYTES:
        raise ValueError(
            f"buffer: {memory.nbytes} bytes given; accepted: exactly {_BYTES}, as in buffer[:8]"
        )
    # The elements may be narrower than the word.
    address = memory.ctypes.data
    if address % _BYTES:
        raise ValueError(
            f"buffer: its memory at {address:#x} is misaligned; accepted: an address divisible "
            f"by {_BYTES}"
        )
    return memory.reshape(-1).view(np.uint64)
