"""The caller's memory: anything with a writable buffer, checked and seen as a NumPy array.

A view, never a copy: what the atomic operations change is the caller's own memory. The view
keeps that memory alive and, where the owner counts exports (bytearray, mmap, array.array,
shared_memory), keeps it from being resized or closed.

Everything is checked here, before C sees an address: C11 atomics on memory that is misaligned,
strided or read-only are undefined, and no later layer looks again.
"""

import weakref
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.ma import MaskedArray

from . import dtypes

Array = npt.NDArray[Any]

# The struct module's codes of single numbers. Whether the element type is accepted is another
# question, for dtypes.
_NUMBERS = frozenset("?bBhHiIlLqQefd")

# How buffers say that they hold plain bytes; ctypes adds the byte order.
_BYTES = frozenset({"B", "b", "c", "<B", "<b", "<c"})

_ACCEPTED = (
    "accepted: a writable, aligned, C-contiguous NumPy array, or any object with a writable "
    "buffer (memoryview, bytearray, mmap, array.array, SharedMemory.buf)"
)


def view(buffer: object, dtype: npt.DTypeLike | None = None, argument: str = "buffer") -> Array:
    """``buffer``'s own memory as a plain ndarray of at least one element, C-contiguous,
    writable and aligned to its element size.

    ``dtype`` says what plain bytes hold (a bytearray, an mmap, a SharedMemory.buf: they become
    one-dimensional); memory that has an element type keeps it, and ``dtype`` must agree.

    TypeError: no buffer, or elements that are none of :data:`dtypes.NAMES` in native byte
    order. ValueError: read-only, released, closed, empty, strided or misaligned memory, or
    bytes that are not a whole number of elements.
    """
    if dtype is not None:
        dtypes.to_code(dtype)
    array = _of_ndarray(buffer, argument) if isinstance(buffer, np.ndarray) else None
    if array is None:
        array = _of_buffer(buffer, dtype, argument)
    dtypes.to_code(array.dtype, argument)
    if dtype is not None and array.dtype != np.dtype(dtype):
        raise TypeError(
            f"{argument}: its elements are {array.dtype}, but dtype says {np.dtype(dtype)}; "
            f"leave dtype out, or give a view of that dtype"
        )
    _check_layout(array, argument)
    return array


def pin(array: Array) -> object:
    """What keeps the memory of ``array`` in place for as long as the caller holds it.

    An ndarray counts no exports: ``resize(refcheck=False)`` would free its memory under a view.
    It refuses where a weak reference to it exists, so here is one to the array that owns it.
    """
    owner: object = array
    while True:
        below: object
        if isinstance(owner, np.ndarray):
            below = owner.base
        elif isinstance(owner, memoryview):
            below = owner.obj
        else:
            return None  # it counts exports itself, or cannot be resized
        if below is None:
            return weakref.ref(owner)
        owner = below


def _of_ndarray(array: Array, argument: str) -> Array:
    if isinstance(array, MaskedArray):
        raise TypeError(f"{argument}: a masked array, whose mask would be ignored; give its .data")
    # A subclass could answer questions about its layout otherwise than the memory would.
    return array.view(np.ndarray)


def _of_buffer(buffer: object, dtype: npt.DTypeLike | None, argument: str) -> Array:
    kind = type(buffer).__name__
    try:
        memory = memoryview(buffer)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{argument}: a {kind} has no buffer; {_ACCEPTED}") from None
    except ValueError as reason:  # released, closed
        raise ValueError(f"{argument}: this {kind} is gone ({reason}); {_ACCEPTED}") from None
    _refuse(memory.readonly, argument, f"this {kind} is read-only")
    _refuse(memory.nbytes == 0, argument, f"this {kind} is empty; at least one element is needed")
    _refuse(not memory.c_contiguous, argument, f"this {kind} is not C-contiguous (strided)")
    if (
        dtype is not None
        and memory.ndim == 1
        and memory.format in ("B", "b", "c", "<B", "<b", "<c")
    ):
        wanted = np.dtype(dtype)
        _refuse(
            memory.nbytes % wanted.itemsize != 0,
            argument,
            f"{memory.nbytes} bytes are not a whole number of {wanted} elements "
            f"({wanted.itemsize} bytes each)",
        )
        return np.frombuffer(memory, wanted)
    # A struct, a pointer: NumPy would guess, or warn, before it gave up.
    if memory.format.lstrip("@=<>!") not in _NUMBERS:
        raise TypeError(
            f"{argument}: elements of format {memory.format!r} are not accepted; "
            f"accepted: {', '.join(dtypes.NAMES)}"
        )
    return np.asarray(memory)


def _check_layout(array: Array, argument: str) -> None:
    _refuse(not array.flags.writeable, argument, "this array is read-only")
    _refuse(
        array.size == 0,
        argument,
        f"this array of shape {array.shape} is empty; at least one element is needed",
    )
    _refuse(
        not array.flags.c_contiguous,
        argument,
        f"this array of shape {array.shape} with strides {array.strides} is not C-contiguous",
    )
    # Not flags.aligned: some ABIs call 4 bytes enough for an 8-byte element; atomics do not.
    _refuse(
        array.ctypes.data % array.itemsize != 0,
        argument,
        f"its memory at {array.ctypes.data:#x} is misaligned for {array.dtype} "
        f"({array.itemsize} bytes each)",
    )


def _refuse(wrong: bool, argument: str, what: str) -> None:
    if wrong:
        raise ValueError(f"{argument}: {what}; {_ACCEPTED}")
