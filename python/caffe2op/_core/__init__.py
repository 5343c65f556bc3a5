"""The only door to C: the cffi extension, and the C types of the scalar fast path.

``lib.*`` calls release the GIL and cost about 0.1 us alone, but tens of microseconds while
another Python thread computes; they are for work that is long or may block. The C types keep
the GIL, for operations of nanoseconds.
"""

from . import fast
from ._native import ffi, lib
from .status import OwnerDiedError

__all__ = ["OwnerDiedError", "fast", "ffi", "lib"]
