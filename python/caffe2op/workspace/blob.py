"""A blob: the owner of one c2_blob, and the ways in and out of it for Python.

What goes in is copied, but for `share`; what comes out is a copy. Feeding and fetching may happen
while a net runs on the blob: a reader gets the old tensor or the new one, whole, though elements
that an operator is writing in place may be old and new mixed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from operator import is_
from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt
from numpy.ma import MaskedArray

from caffe2op._core import buffers, dtypes, ffi, lib, locks, status
from caffe2op._core.pickling import not_pickled

Array = npt.NDArray[Any]

MAX_DIMS = 8
MOST_EXTENT = 2**63 - 1

_tokens = itertools.count()


class _Kept(NamedTuple):
    """An object that a blob holds, and the token that C keeps of it. C never copies a token to
    another blob, so the Blob that stored an object has it. It goes with the Blob and nothing of
    Python's runs then: what a signal's handler raised in there would be lost."""

    token: int
    value: Any


# Arrays that blobs shared once: C may still read their memory until nobody is inside a guard.
_retired: list[tuple[Array, object]] = []

# Held while a blob gets an object or the caller's memory, so that what C has of a blob and what
# Python keeps for it change together. Reentrant: a finalizer may run anywhere.
_lock = locks.lock()


class Blob:
    """Owns a c2_blob and whatever Python memory it points to. Freed with its last reference: a
    net keeps its blobs, and a run keeps its net."""

    __slots__ = ("_kept", "_pin", "_shared", "c", "name")

    def __reduce__(self) -> NoReturn:
        raise not_pickled(self, "send what FetchBlob gives")

    def __init__(self, name: str) -> None:
        blob = lib.c2_blob_new()
        if not blob:
            raise MemoryError(f"no memory for blob {name!r}")
        self.c: Any = ffi.gc(blob, lib.c2_blob_free)
        self.name = name
        self._shared: Array | None = None
        self._pin: object = None
        self._kept: _Kept | None = None

    # ---- in ------------------------------------------------------------------------------------

    def feed(self, value: Any) -> None:
        """Make the blob a copy of a NumPy array, another library's array that has DLPack, a
        number, or a list of numbers; anything else (a string, say) is kept as the Python object it
        is. Where the blob is shared memory, the array is written into that, and must have its dtype
        and shape (ValueError)."""
        if isinstance(value, np.ndarray | np.generic | bool | int | float | list | tuple):
            self._feed_array(self._as_array(value))
        elif hasattr(value, "__dlpack__"):
            self._feed_array(self._from_dlpack(value))
        else:
            self._feed_object(value)

    def _as_array(self, value: Any) -> Array:
        if isinstance(value, MaskedArray):
            raise TypeError(
                f"blob {self.name!r}: value: a masked array, whose mask would be "
                "ignored; give its .data"
            )
        try:
            return np.asarray(value)
        except ValueError as reason:  # lists of several lengths
            raise ValueError(
                f"blob {self.name!r}: value: NumPy makes no array of this "
                f"{type(value).__name__} ({reason}); accepted: numbers, or an array "
                "or nested lists of them"
            ) from None

    def _from_dlpack(self, value: Any) -> Array:
        """A tensor of PyTorch, say, as an array on its memory; TypeError for one that is not plain
        memory of the CPU, in the words of its library."""
        try:
            return np.from_dlpack(value)
        except Exception as reason:  # each library has errors of its own
            kind = f"{type(value).__module__}.{type(value).__qualname__}"
            raise TypeError(
                f"blob {self.name!r}: value: a {kind} that gives no NumPy array ({reason}); "
                "accepted: dense arrays of the CPU without gradients (of PyTorch: "
                "tensor.detach().cpu())"
            ) from reason

    def _feed_array(self, array: Array) -> None:
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
        code = dtypes.to_code(array.dtype, f"blob {self.name!r}: value")
        check_dims(self.name, array.shape)
        array = np.asarray(array, order="C")
        data = ffi.from_buffer(array) if array.size else ffi.NULL
        result = lib.c2_blob_feed(self.c, code, array.ndim, array.shape, data)
        if result:
            raise self._misfit(result, array.dtype, array.shape)
        if self._kept is not None:
            self._forget_object()

    def _misfit(self, result: int, dtype: np.dtype[Any], shape: Sequence[int]) -> Exception:
        if result == lib.C2_SHAPE and self._shared is not None:
            return status.error(
                result,
                f"blob {self.name!r} is shared memory, "
                f"{self._shared.dtype} {self._shared.shape}; "
                f"got {dtype} {tuple(shape)}",
            )
        return status.error(result, f"blob {self.name!r}: no memory for {dtype} {tuple(shape)}")

    def _feed_object(self, value: Any) -> None:
        with _lock:
            kept = _Kept(next(_tokens), value)
            result = lib.c2_blob_object(self.c, kept.token)
            if result:
                raise status.error(result, f"blob {self.name!r}: no memory for an object")
            self._kept = kept
            self._retire_array()

    def share(self, array: Any) -> None:
        """Make the blob the caller's memory itself: a writable, aligned, C-contiguous array."""
        view = buffers.view(array, argument=f"blob {self.name!r}: array")
        check_dims(self.name, view.shape)
        data = ffi.from_buffer(view, require_writable=True)
        code = dtypes.to_code(view.dtype)
        with _lock:
            status.check(
                lib.c2_blob_share(self.c, code, view.ndim, view.shape, data),
                f"blob {self.name!r}: no memory to share {view.dtype} {view.shape}",
            )
            self._forget_object()
            self._retire_array()
            self._shared = view
            self._pin = buffers.pin(view)

    def make(self, shape: Sequence[int], code: int) -> None:
        """Make the blob a tensor of zeros, unless it has that shape and dtype already."""
        check_dims(self.name, shape)
        lib.c2_guard_enter()
        try:
            tensor = lib.c2_blob_tensor(self.c)
            if (
                tensor != ffi.NULL
                and tensor.dtype == code
                and ffi.unpack(tensor.shape, tensor.ndim) == list(shape)
            ):
                return
            result = lib.c2_blob_feed(self.c, code, len(shape), list(shape), ffi.NULL)
        finally:
            lib.c2_guard_leave()
        if result:
            raise self._misfit(result, dtypes.from_code(code), shape)
        if self._kept is not None:
            self._forget_object()

    def _forget_object(self) -> None:
        with _lock:
            if self._kept is not None and self._kept.token != lib.c2_blob_token(self.c):
                self._kept = None

    def _retire_array(self) -> None:
        if self._shared is not None:
            _retired.append((self._shared, self._pin))
            self._shared = self._pin = None
            if lib.c2_idle():  # every array in the list was replaced before this look
                _retired.clear()

    # ---- out -----------------------------------------------------------------------------------

    def fetch(self) -> Any:
        """A copy of a tensor (0-D for a scalar of that shape); the object that was fed; a bool for
        an atomic bool; an int for a counter; for a mutex and a queue a string that says what it
        is. ValueError for an empty blob."""
        lib.c2_guard_enter()
        try:
            tensor = lib.c2_blob_tensor(self.c)
            if tensor != ffi.NULL:
                return view_of(tensor).copy()
        finally:
            lib.c2_guard_leave()
        return self._peek()

    def _peek(self) -> Any:
        kind = lib.c2_blob_kind(self.c)
        if kind == lib.C2_OBJECT:
            with _lock:
                if self._kept is not None and self._kept.token == lib.c2_blob_token(self.c):
                    return self._kept.value
        if kind in (lib.C2_OBJECT, lib.C2_TENSOR):  # fed since the last look
            return self.fetch()
        value = ffi.new("int64_t *")
        if kind in (lib.C2_ATOMIC_BOOL, lib.C2_COUNTER, lib.C2_MUTEX):
            lib.c2_blob_peek(self.c, value)
        if kind == lib.C2_ATOMIC_BOOL:
            return bool(value[0])
        if kind == lib.C2_COUNTER:
            return int(value[0])
        if kind == lib.C2_MUTEX:
            return f"{self.name}, a mutex"
        if kind == lib.C2_QUEUE:
            return f"{self.name}, a queue"
        raise ValueError(
            f"blob {self.name!r} is empty: nothing was fed to it, and no operator has written it"
        )

    def lasting_view(self, keep: Callable[[int, Array], object]) -> Array | None:
        """A tensor's elements as an array, not copied, that keeps its memory; None for a blob of
        another kind. Inside a guard: what the blob's memory is then. `keep` is called with the
        address of the c2_tensor and an array of all of it, which is not the one that is given."""
        memory = ffi.new("void **")
        shared = self._shared
        tensor = lib.c2_blob_keep(self.c, memory)
        if tensor == ffi.NULL:
            return None
        kept = memory[0]
        # Nothing of Python's runs when the view goes: what a signal handler raised in there, at any
        # moment of a loop over runs, would be lost with a warning.
        if kept == ffi.NULL:  # the array of share(), which retired arrays join meanwhile
            array = view_of(tensor, partial(is_, shared))  # only holds it
        else:
            array = view_of(tensor, partial(lib.c2_memory_let_go_with, kept))
        keep(int(ffi.cast("uintptr_t", tensor)), array)
        return array.view()

    def holds_a_bool(self) -> bool:
        """Whether it is a tensor of one bool."""
        lib.c2_guard_enter()
        try:
            tensor = lib.c2_blob_tensor(self.c)
            return bool(tensor != ffi.NULL and tensor.dtype == lib.C2_BOOL and tensor.size == 1)
        finally:
            lib.c2_guard_leave()

    def describe(self) -> str:
        """Name, dtype and shape, or kind: for messages."""
        lib.c2_guard_enter()
        try:
            tensor = lib.c2_blob_tensor(self.c)
            if tensor != ffi.NULL:
                shape = tuple(ffi.unpack(tensor.shape, tensor.ndim))
                return f"{self.name} {dtypes.from_code(tensor.dtype)} {shape}"
        finally:
            lib.c2_guard_leave()
        return f"{self.name} ({KINDS[lib.c2_blob_kind(self.c)]})"


class Fetch:
    """Copies of the same blobs again and again, by one thread at a time. Few calls of C for all,
    since each gives the GIL up and then waits for whoever took it; and while the blobs stay where
    they are, so do the arrays that view them (which are looked at inside a guard only)."""

    __slots__ = ("_blobs", "_c", "_tensors", "_views")

    def __init__(self, blobs: Sequence[Blob]) -> None:
        self._blobs = blobs
        self._c = ffi.new("c2_blob *[]", [blob.c for blob in blobs])
        self._tensors = ffi.new("c2_tensor[]", len(blobs))
        self._views: list[Array | None] = []

    def __call__(self) -> list[Any]:
        """What `fetch` of each gives."""
        lib.c2_guard_enter()
        try:
            same = lib.c2_blob_tensors(self._c, len(self._blobs), self._tensors)
            if not same or not self._views:
                self._views = [view_of(t) if t.ndim >= 0 else None for t in self._tensors]
            found = [None if view is None else view.copy() for view in self._views]
        finally:
            lib.c2_guard_leave()
        return [
            blob.fetch() if value is None else value
            for blob, value in zip(self._blobs, found, strict=True)
        ]


KINDS = {
    lib.C2_EMPTY: "empty",
    lib.C2_TENSOR: "tensor",
    lib.C2_MUTEX: "mutex",
    lib.C2_ATOMIC_BOOL: "atomic bool",
    lib.C2_COUNTER: "counter",
    lib.C2_QUEUE: "queue",
    lib.C2_OBJECT: "Python object",
}


def check_dims(name: str, shape: Sequence[int]) -> None:
    """ValueError for a shape that no blob can have."""
    if any(size < 0 or size > MOST_EXTENT for size in shape):
        raise ValueError(
            f"blob {name!r}: shape {tuple(shape)} given; accepted: at most {MAX_DIMS} "
            f"dimensions, each from 0 to {MOST_EXTENT}"
        )
    if len(shape) > MAX_DIMS:
        raise ValueError(
            f"blob {name!r}: {len(shape)} dimensions given, at most {MAX_DIMS} accepted"
        )


def view_of(tensor: Any, let_go: Callable[[Any], object] | None = None) -> Array:
    """A c2_tensor's elements as an array, not copied: valid inside the guard it came from, or
    until nothing refers to it, when `let_go` is called."""
    shape = ffi.unpack(tensor.shape, tensor.ndim)
    dtype = dtypes.from_code(tensor.dtype)
    data = tensor.data if let_go is None else ffi.gc(tensor.data, let_go)
    if tensor.size == 0:
        return np.empty(shape, dtype)
    buffer = ffi.buffer(data, tensor.size * dtype.itemsize)
    return np.frombuffer(buffer, dtype).reshape(shape)
