"""AtomicBool: a flag that threads and processes set, clear and look at."""

from typing import Self

import numpy as np

from caffe2op._core import buffers, dtypes
from caffe2op._core.fast import Array, Bool


class AtomicBool(Bool):
    """AtomicBool(buffer=None)

    A flag in one byte of ``buffer``: a NumPy bool array of one element, or one writable byte of
    anything (``shm.buf[:1]``). A byte that is not zero is true. Without a buffer it has memory
    of its own and starts false. The truth value of the object is the flag's, read "seq_cst".

    ``test_and_set()`` returns the value before; ``set_if(condition)`` never clears, and returns
    whether this very call set the flag: of many callers, one sees True.

    TypeError and ValueError as for AtomicArray, and ValueError for more than one element. Any
    number of threads and processes may call anything at any time; nothing but ``wait`` blocks.
    """

    __slots__ = ("__weakref__",)

    def __new__(cls, buffer: object = None) -> Self:
        array = np.zeros(1, np.bool_) if buffer is None else buffers.view(buffer, np.bool_)
        return super().__new__(cls, Array(array, dtypes.to_code(np.bool_), buffers.pin(array)))
