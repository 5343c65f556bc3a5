"""AtomicArray: atomic operations on the elements of memory that the caller owns.

Operations on one element are C methods that keep the GIL: they cost tens of nanoseconds, and
no more than twice that while another thread computes. Operations on many elements are one call
into C that releases it. Both work on the same memory with the same atomic instructions, so
threads, processes and any mixture of the two kinds never lose an update.

Plain reads and writes through :attr:`AtomicArray.array` are not atomic with respect to these
operations: use them while nobody else works on the memory.
"""

import operator
from typing import Any, Literal, Self, SupportsIndex, overload

import numpy as np
import numpy.typing as npt

from caffe2op._core import buffers, dtypes, ffi, lib, status
from caffe2op._core.fast import Array

from .conversion import as_indices, as_values
from .explain import CODES, AddReport, Method


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

    @overload
    def add_at(
        self,
        indices: npt.ArrayLike,
        values: npt.ArrayLike,
        *,
        method: Method = "auto",
        threads: SupportsIndex = 1,
        explain: Literal[False] = False,
    ) -> None: ...
    @overload
    def add_at(
        self,
        indices: npt.ArrayLike,
        values: npt.ArrayLike,
        *,
        method: Method = "auto",
        threads: SupportsIndex = 1,
        explain: Literal[True],
    ) -> AddReport: ...
    def add_at(
        self,
        indices: npt.ArrayLike,
        values: npt.ArrayLike,
        *,
        method: Method = "auto",
        threads: SupportsIndex = 1,
        explain: bool = False,
    ) -> AddReport | None:
        """Add ``values[k]`` to element ``indices[k]`` for every k, in any order: nothing is lost,
        when an index comes more than once, nor towards any other operation on the memory, in any
        thread or process.

        ``indices``: integers of any shape, in C order over all elements, negative ones from the
        end. ``values``: of the same shape, or one number for all. Integers wrap around. Floats
        may be summed among themselves before they are added, so the last digits depend on the
        method, and on which thread took what.

        ``method``: "direct" adds each value with one atomic instruction; "private" sums into a
        zeroed copy of the array, one for each thread, and adds that (best when there are more
        values than elements); "cached" does so for the hot elements alone, which it finds in a
        sample (best when many values fall on few elements of a large array). "auto" chooses by
        the sizes, by that sample, and by how many threads are in such calls now; a copy never
        takes more than 16 MB, all of them together 64 MB. ``threads``: at most so many threads
        share the work, the caller's among them; none is woken for less than 8192 values.
        ``explain=True`` returns an :class:`AddReport` of what was done.

        IndexError for an index out of range, TypeError or OverflowError for values that do not
        fit the dtype, ValueError for another shape, method or number of threads, MemoryError
        where a forced method finds no memory: nothing is changed then. (Indices that another
        thread changes during the call may end it half-way.) Indices and values that overlap the
        array are copied first. Releases the GIL; never blocks on others; relaxed order.
        """
        slots, given = self._pairs(indices, values)
        if method not in CODES:
            raise ValueError(f"method: {method!r} given; accepted: {', '.join(CODES)}")
        if method == "cached" and self.size >= 2**32 - 1:
            raise ValueError(
                f"method: 'cached' given for {self.size} elements; accepted: fewer than {2**32 - 1}"
            )
        bad = ffi.new("int64_t *")
        report = ffi.new("c2_add_report *")
        result = lib.c2_add_at(
            dtypes.to_code(self.dtype),
            ffi.from_buffer(self._whole),
            self.size,
            ffi.from_buffer(slots),
            dtypes.to_code(slots.dtype),
            ffi.from_buffer(given),
            1 if given.ndim else 0,
            slots.size,
            CODES[method],
            _as_threads(threads),
            report,
            bad,
        )
        self._check_indices(result, slots, bad[0])
        return AddReport._of(report) if explain else None

    def fetch_add_at(self, indices: npt.ArrayLike, values: npt.ArrayLike) -> npt.NDArray[Any]:
        """Add ``values[k]`` to element ``indices[k]``, for every k in order, and return the value
        which each add found, in the indices' shape. Arguments and errors as in :meth:`add_at`;
        each add is one atomic instruction. Releases the GIL; never blocks; relaxed order.
        """
        slots, given = self._pairs(indices, values)
        before = np.empty(slots.shape, self.dtype)
        bad = ffi.new("int64_t *")
        result = lib.c2_fetch_add_at(
            dtypes.to_code(self.dtype),
            ffi.from_buffer(self._whole),
            self.size,
            ffi.from_buffer(slots),
            dtypes.to_code(slots.dtype),
            ffi.from_buffer(given),
            1 if given.ndim else 0,
            slots.size,
            ffi.from_buffer(before),
            bad,
        )
        self._check_indices(result, slots, bad[0])
        return before

    def add(
        self,
        values: npt.ArrayLike,
        scale: Any = 1,
        *,
        among: "Literal['all', 'adds'] | AtomicArray" = "all",
        threads: SupportsIndex = 1,
    ) -> None:
        """Add ``scale * values`` to the whole array.

        ``values``: of the array's shape, or one number. The product is computed in the array's
        dtype (integers wrap around). ``threads``: at most so many threads share the work, the
        caller's among them; none is woken for less than 8192 values, and unless ``among`` is
        "all" for less than 1 MB. ``among`` says towards whom nothing is lost:

        - "all": every operation of this package on the same memory, in any thread or process.
          5 ns for each 8 bytes, which is many times what NumPy's ``+=`` takes: there is no
          faster instruction that is atomic.
        - "adds": other calls of ``add(..., among="adds")`` in this process, on the same
          addresses, through this view or any other. As fast as ``+=``: plain adds, under a lock
          for each 64 KB; calls at the same time go through the array each from another place.
          **Not** fetch_add, add_at, add(among="all"), operators or other processes: at the same
          moment on the same elements, one of the two may be lost.
        - an AtomicArray of int64 or uint64, zero at first and used for nothing else: other calls
          with the same locks, of any process, when all of them are on the same whole array. As
          fast. 64 elements are plenty.

        Errors as in :meth:`add_at`, and TypeError or ValueError for another ``among``; also
        OwnerDiedError, with locks, when a process has died in its add: some of its values may be
        missing, these have all been added. RuntimeError when this thread holds one of the locks.
        Values that overlap the array are copied first. Releases the GIL; with "all" never
        blocks, else for the others' adds to 256 KB; relaxed order.
        """
        if (
            among == "adds"
            and type(values) is np.ndarray
            and values.dtype is self._whole.dtype
            and type(scale) in _PLAIN
            and type(threads) is int
        ):
            result = self._add_now(values, scale, threads)
            if result == 0:
                return
            if result > 0:
                status.check(result, "add: the core refused")
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
        locks = self._check_among(among)
        arguments = (
            dtypes.to_code(self.dtype),
            ffi.from_buffer(self._whole),
            ffi.from_buffer(given),
            ffi.from_buffer(factor),
            self.size,
            _as_threads(threads),
        )
        if among == "all":
            status.check(lib.c2_dense_add(*arguments), "add: the core refused")
            return
        result = lib.c2_dense_add_striped(
            *arguments,
            ffi.NULL if locks is None else ffi.from_buffer(locks._whole),
            0 if locks is None else locks.size,
        )
        message = "add: the core refused"
        if result == lib.C2_OWNER_DIED:
            message = "add: a process died in its add; some of its values may be missing"
        elif result == lib.C2_DEADLOCK:
            message = "among: this thread holds one of these locks and would wait for ever"
        status.check(result, message)

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

    def _pairs(
        self, indices: npt.ArrayLike, values: npt.ArrayLike
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        self._check_numeric("add_at")
        slots = self._unshared(as_indices(indices))
        given = self._unshared(as_values(values, self.dtype))
        if given.ndim and given.shape != slots.shape:
            raise ValueError(
                f"values: shape {given.shape} given; accepted: {slots.shape} as the indices, or "
                f"one number"
            )
        return slots, given

    def _check_among(self, among: object) -> "AtomicArray | None":
        """The locks, where among is some."""
        accepted = '"all", "adds", or an AtomicArray of int64 or uint64'
        if isinstance(among, str):
            if among not in ("all", "adds"):
                raise ValueError(f"among: {among!r} given; accepted: {accepted}")
            return None
        if not isinstance(among, AtomicArray) or among.dtype not in (np.int64, np.uint64):
            kind = f"one of {among.dtype}" if isinstance(among, AtomicArray) else type(among)
            raise TypeError(f"among: {kind} given; accepted: {accepted}")
        if np.may_share_memory(among._whole, self._whole):
            raise ValueError("among: the locks lie in the array itself")
        return among

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


_PLAIN = (int, float)


def _as_threads(threads: SupportsIndex) -> int:
    try:
        given = operator.index(threads)
    except TypeError:
        raise TypeError(f"threads: {type(threads)} given; accepted: an int, 1 or more") from None
    if given < 1:
        raise ValueError(f"threads: {given} given; accepted: an int, 1 or more")
    return min(given, 1024)  # C takes no more than 64
