"""Atomic operations on memory that the caller owns: NumPy arrays, shared memory, any buffer.

Any number of threads and processes may call anything at any time. What touches one element keeps
the GIL and never waits (tens of nanoseconds); what touches many releases it; `wait` and
`Mutex.acquire` release it only to sleep, and Ctrl-C ends them.

Errors: TypeError for a value or memory of the wrong kind, OverflowError for a value that the dtype
does not hold, IndexError for an index out of range, ValueError for an unknown order and the like.
Nothing has changed then.
"""

from caffe2op._core import OwnerDiedError
from caffe2op._core.fast import Cell

from .array import AtomicArray
from .boolean import AtomicBool
from .explain import AddReport
from .mutex import Mutex
from .shared import SharedArray

__all__ = [
    "AddReport",
    "AtomicArray",
    "AtomicBool",
    "Cell",
    "Mutex",
    "OwnerDiedError",
    "SharedArray",
]


def __dir__() -> list[str]:
    return sorted(__all__)
