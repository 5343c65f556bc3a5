"""SharedArray: a NumPy array in named shared memory, whose views travel to other processes.

One array, one file in ``/dev/shm`` (see segment.py for names and files). Other processes attach
by name, or get the array or one of its views as an argument: pickled, each is no more than the
name, and nothing that is in shared memory is ever unpickled.

Why not ``multiprocessing.shared_memory``: before Python 3.13 its resource tracker removes a
segment when any process that attached to it ends.
"""

import operator
import os
import weakref
from collections.abc import Iterable
from typing import Any, Self, SupportsIndex

import numpy.typing as npt

from caffe2op._core import dtypes

from . import segment
from .array import AtomicArray
from .boolean import AtomicBool
from .mutex import Mutex


class SharedArray:
    """A NumPy array in named shared memory. Made by :meth:`create` or :meth:`attach`.

    Pickled, it is its name: a process that gets it as an argument attaches. So are the views
    that :meth:`atomic`, :meth:`mutex` and :meth:`boolean` give; each keeps its array open::

        counts = SharedArray.create(1000, np.int64)
        worker = multiprocessing.get_context("spawn").Process(
            target=count, args=(counts.atomic(),))

    The process that created it has to keep it until the others have attached. Memory stays
    mapped in a process as long as a view of it lives there, closed or not, and exists until the
    last process has let it go. Nothing here blocks.
    """

    def __init__(self, opened: segment.Segment, created: bool) -> None:
        """Not for users: :meth:`create` and :meth:`attach` call it."""
        self._array: npt.NDArray[Any] | None = opened.array
        self._name = opened.name
        # Runs at close(), when this object is collected, or when the interpreter ends.
        self._cleanup = (
            weakref.finalize(self, _remove_own, opened.name, opened.identity, os.getpid())
            if created
            else None
        )

    @classmethod
    def create(
        cls,
        shape: SupportsIndex | Iterable[SupportsIndex],
        dtype: npt.DTypeLike,
        name: str | None = None,
    ) -> Self:
        """A new array of zeros that other processes can attach to.

        ``shape``: an int, or at most 8 of them; at least one element. ``dtype``: bool,
        int8..int64, uint8..uint64, float32 or float64. ``name``: 1 to 200 ASCII letters, digits,
        ``_``, ``-`` or ``.``, the first neither ``-`` nor ``.``; without it one is made up.

        FileExistsError when the name is taken; TypeError or ValueError for another name, shape
        or dtype; OSError when there is not enough shared memory: all of it is reserved here, in
        time proportional to its size.
        """
        layout = segment.Layout(dtypes.to_code(dtype), _checked_shape(shape))
        return cls(segment.create(layout, name), created=True)

    @classmethod
    def attach(cls, name: str) -> Self:
        """The array that another process, or this one, made under ``name``: the same memory.

        FileNotFoundError when there is none, PermissionError for another user's or one that others
        than its user may open, ValueError for a file that is not a whole, sound array of this
        version, and for what is no name.
        """
        return cls(segment.attach(name), created=False)

    @property
    def name(self) -> str:
        """What :meth:`attach` takes."""
        return self._name

    @property
    def array(self) -> npt.NDArray[Any]:
        """The elements: a NumPy array on the shared memory. ValueError after :meth:`close`."""
        if self._array is None:
            raise ValueError(f"the shared array {self._name!r} is closed")
        return self._array

    def atomic(self) -> AtomicArray:
        """An AtomicArray of all elements that can be pickled."""
        return _SharedAtomicArray(self)

    def mutex(self, index: SupportsIndex = 0) -> Mutex:
        """The Mutex in one element of an int64 or uint64 array; it can be pickled.

        ``index`` counts in C order, negative ones from the end. TypeError for an array of
        another dtype, IndexError out of range.
        """
        return _SharedMutex(self, index)

    def boolean(self, index: SupportsIndex = 0) -> AtomicBool:
        """The AtomicBool in one element of a bool array; it can be pickled.

        ``index`` counts in C order, negative ones from the end. TypeError for an array of
        another dtype, IndexError out of range.
        """
        return _SharedAtomicBool(self, index)

    def close(self) -> None:
        """Let go of the memory, and in the process that created it remove the name. Views that
        exist stay good. May be called again."""
        self._array = None
        if self._cleanup:
            self._cleanup()

    def unlink(self) -> None:
        """Remove the name now, from any process: those who are attached stay so, and nobody new
        can attach. Nothing happens when it is gone."""
        segment.remove(self._name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        if self._array is None:
            raise ValueError(f"the shared array {self._name!r} is closed, and cannot be pickled")
        return type(self).attach, (self._name,)

    def __repr__(self) -> str:
        if self._array is None:
            return f"<{type(self).__name__} {self._name!r}, closed>"
        return (
            f"<{type(self).__name__} {self._name!r} of {self._array.dtype}, "
            f"shape {self._array.shape}>"
        )


def _checked_shape(shape: SupportsIndex | Iterable[SupportsIndex]) -> tuple[int, ...]:
    accepted = f"accepted: an int, or up to {segment.MOST_DIMENSIONS} of them, each at least 1"
    try:
        given = tuple(shape) if isinstance(shape, Iterable) else (shape,)
        checked = tuple(operator.index(extent) for extent in given)
    except TypeError:
        raise TypeError(f"shape: {shape!r} given; {accepted}") from None
    if len(checked) > segment.MOST_DIMENSIONS or any(extent < 1 for extent in checked):
        raise ValueError(f"shape: {shape!r} given; {accepted}")
    return checked


def _remove_own(name: str, identity: tuple[int, int], creator: int) -> None:
    # A forked child has a copy of the object, and must not take the name from its parent.
    if os.getpid() == creator:
        segment.remove(name, identity)


# ---- views that travel ----------------------------------------------------------------------


class _SharedAtomicArray(AtomicArray):
    __slots__ = ("_shared",)
    _shared: SharedArray

    def __new__(cls, shared: SharedArray) -> Self:
        self = super().__new__(cls, shared.array)
        self._shared = shared
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._shared,)


class _SharedMutex(Mutex):
    __slots__ = ("_index", "_shared")
    _shared: SharedArray
    _index: int

    def __new__(cls, shared: SharedArray, index: SupportsIndex) -> Self:
        place, element = _element(shared, index, ("int64", "uint64"), "mutex")
        self = super().__new__(cls, element)
        self._shared, self._index = shared, place
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._shared, self._index)


class _SharedAtomicBool(AtomicBool):
    __slots__ = ("_index", "_shared")
    _shared: SharedArray
    _index: int

    def __new__(cls, shared: SharedArray, index: SupportsIndex) -> Self:
        place, element = _element(shared, index, ("bool",), "boolean")
        self = super().__new__(cls, element)
        self._shared, self._index = shared, place
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._shared, self._index)


def _element(
    shared: SharedArray, index: SupportsIndex, accepted: tuple[str, ...], operation: str
) -> tuple[int, npt.NDArray[Any]]:
    """The place of an element in C order, and an array of one element on its memory."""
    array = shared.array
    if array.dtype.name not in accepted:
        raise TypeError(
            f"{operation}: this array is of {array.dtype}; accepted: {' or '.join(accepted)}"
        )
    try:
        given = operator.index(index)
    except TypeError:
        raise TypeError(f"index: {type(index).__name__} given; accepted: an int") from None
    place = given + array.size if given < 0 else given
    if not 0 <= place < array.size:
        raise IndexError(
            f"index: {given} is out of range; accepted: {-array.size}..{array.size - 1}"
        )
    return place, array.reshape(-1)[place : place + 1]
