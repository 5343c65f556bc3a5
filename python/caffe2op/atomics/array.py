"""AtomicArray: atomic operations on the elements of memory that the caller owns.

Operations on one element are C methods that keep the GIL: they cost tens of nanoseconds, and
no more than twice that while another thread computes. Operations on many elements are one call
into C that releases it. Both work on the same memory with the same atomic instructions, so
threads, processes and any mixture of the two kinds never lose an update.

Plain reads and writes through :attr:`AtomicArray.array` are not atomic with respect to these
operations: use them while nobody else works on the memory.
"""

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from caffe2op._core import buffers, dtypes, ffi, lib, status
from caffe2op._core.fast import Array

from .conversion import as_indices, as_values


class AtomicArray(Array):
    """AtomicArray(buffer, dtype=None)

    A view, never a copy, of ``buffer``: a writable, aligned, C-contiguous NumPy array, or
    anything with a writable buffer (``multiprocessing.shared_memory``, ``mmap``,
    ``array.array``, ``bytearray``, a CPU torch tensor's ``.numpy()``). ``dtype`` says what plain
    bytes hold. Elements are bool, int8..int64, uint8..uint64, float32 or float64. The memory is
    kept alive, and where its owner counts views also in place, as long as this object lives.

    An index is an int (negative counts from the end, C order over all elements) or a tuple with
    one int for each dimension. Integer elements give and take Python ints, and adds wrap around
    on their width as C's unsigned arithmetic does; float elements give floats; bool elements
    give bools and only load, store, exchange, compare_exchange and wait. Every operation on one
    element takes ``order=``, by default "seq_cst".

    TypeError for other dtypes, ValueError for memory that is read-only, misaligned, strided,
    empty, released or closed. Any number of threads and processes may call anything at any time.
    """

    __slots__ = ("__weakref__",)

    def __new__(cls, buffer: object, dtype: npt.DTypeLike | None = None) -> Self:
        array = buffers.view(buffer, dtype)
        return super().__new__(cls, array, dtypes.to_code(array.dtype), buffers.pin(array))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The elements' dtype."""
        return self._whole.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape."""
        return self._whole.shape

    def __len__(self) -> int:
        """The first dimension; TypeError for a 0-D array."""
        return len(self._whole)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.dtype}, shape {self.shape}>"

    def add_at(self, indices: npt.ArrayLike, values: npt.ArrayLike) -> None:
        """Add ``values[k]`` to element ``indices[k]`` for every k: each add atomic, the order
        among them free, nothing lost when an index comes more than once.

        ``indices``: integers of any shape, in C order over all elements, negative ones from the
        end. ``values``: of the same shape, or one number for all. Integers wrap around.

        IndexError for an index out of range, TypeError or OverflowError for values that do not
        fit the dtype, ValueError for another shape: nothing is changed then. (Indices that
        another thread changes during the call may end it half-way.) Indices and values that
        overlap the array are copied first. Releases the GIL; never blocks; relaxed order.
        """
        self._scatter(indices, values, None)

    def fetch_add_at(self, indices: npt.ArrayLike, values: npt.ArrayLike) -> npt.NDArray[Any]:
        """:meth:`add_at` that returns the value which each add found, in the indices' shape."""
        given = as_indices(indices)
        before = np.empty(given.shape, self.dtype)
        self._scatter(given, values, before)
        return before

    def add(self, values: npt.ArrayLike, scale: Any = 1) -> None:
        """Add ``scale * values`` to the whole array, each element atomically.

        ``values``: of the array's shape, or one number. The product is computed in the array's
        dtype (integers wrap around). Errors as in :meth:`add_at`; values that overlap the array
        are copied first. Releases the GIL; never blocks; relaxed order.
        """
        self._check_numeric("add")
        given = self._unshared(as_values(values, self.dtype))
        if given.ndim == 0:
            given = np.full(self.shape, given)
        if given.shape != self.shape:
            raise ValueError(
                f"values: shape {given.shape} given; accepted: {self.shape} as the array, or one "
                f"number"
            )
        factor = as_values(scale, self.dtype, "scale")
        if factor.size != 1:
            raise ValueError(f"scale: shape {factor.shape} given; accepted: one number")
        result = lib.c2_dense_add(
            dtypes.to_code(self.dtype),
            ffi.from_buffer(self._whole),
            ffi.from_buffer(given),
            ffi.from_buffer(factor),
            self.size,
        )
        status.check(result, "add: the core refused")

    def gather(self, indices: npt.ArrayLike) -> npt.NDArray[Any]:
        """The elements at ``indices`` as a new array of the indices' shape; each is read
        atomically, all of them not at one moment.

        Indices and IndexError as in :meth:`add_at`. Releases the GIL; never blocks; relaxed.
        """
        given = self._unshared(as_indices(indices))
        out = np.empty(given.shape, self.dtype)
        bad = ffi.new("int64_t *")
        result = lib.c2_gather(
            dtypes.to_code(self.dtype),
            ffi.from_buffer(self._whole),
            self.size,
            ffi.from_buffer(given),
            dtypes.to_code(given.dtype),
            given.size,
            ffi.from_buffer(out),
            bad,
        )
        self._check_indices(result, given, bad[0])
        return out

    def _scatter(
        self, indices: npt.ArrayLike, values: npt.ArrayLike, before: npt.NDArray[Any] | None
    ) -> None:
        self._check_numeric("add_at")
        slots = self._unshared(as_indices(indices))
        given = self._unshared(as_values(values, self.dtype))
        if given.ndim and given.shape != slots.shape:
            raise ValueError(
                f"values: shape {given.shape} given; accepted: {slots.shape} as the indices, or "
                f"one number"
            )
        bad = ffi.new("int64_t *")
        result = lib.c2_scatter_add(
            dtypes.to_code(self.dtype),
            ffi.from_buffer(self._whole),
            self.size,
            ffi.from_buffer(slots),
            dtypes.to_code(slots.dtype),
            ffi.from_buffer(given),
            1 if given.ndim else 0,
            slots.size,
            ffi.NULL if before is None else ffi.from_buffer(before),
            bad,
        )
        self._check_indices(result, slots, bad[0])

    def _check_numeric(self, operation: str) -> None:
        if self.dtype.kind == "b":
            raise TypeError(f"{operation}: these elements are bool; accepted: numbers")

    def _unshared(self, given: npt.NDArray[Any]) -> npt.NDArray[Any]:
        # What is read must not change under the adds of the same call.
        return given.copy() if np.may_share_memory(given, self._whole) else given

    def _check_indices(self, result: int, indices: npt.NDArray[Any], bad: int) -> None:
        message = ""
        if result == lib.C2_INDEX:
            message = (
                f"indices: {indices.flat[bad]} at position {bad} is out of range; "
                f"accepted: {-self.size}..{self.size - 1}"
            )
        status.check(result, message)
