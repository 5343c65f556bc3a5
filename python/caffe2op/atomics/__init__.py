"""Atomic operations on memory that the caller owns: NumPy arrays, shared memory, any buffer."""

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
