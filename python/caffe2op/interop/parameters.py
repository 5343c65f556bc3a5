"""SharedParameters: named parameters in one flat buffer, updated by many and losing nothing.

The buffer is the parameters one after the other, each at the beginning of a cache line, so that
two of them never share one. It belongs to this process, or is named shared memory that other
processes attach to when they get the object as an argument.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe2op._core.suggest import suggest
from caffe2op.atomics import AtomicArray, SharedArray

_LINE = 64  # bytes of a cache line, on the processors that we know

Shapes = dict[str, tuple[int, ...]]


class SharedParameters(Mapping[str, AtomicArray]):
    """SharedParameters(values, processes=False)

    A copy of `values`, arrays by name that are all float32 or all float64, in one flat buffer. It
    is a mapping from names to AtomicArrays of the parameters' shapes::

        store = SharedParameters({"weight": w, "bias": b})
        store.add({"weight": dw, "bias": db}, scale=-0.1)   # from any number of workers
        store["bias"].fetch_add(0, 1.0)

    processes: the buffer is shared memory, and the object can be given to other processes; the
    one that made it keeps it until they have it, and closes it at the end.

    TypeError for other dtypes and for several, ValueError for no values, or empty ones.
    """

    def __init__(self, values: Mapping[str, npt.ArrayLike], processes: bool = False) -> None:
        arrays = {str(name): np.asarray(value) for name, value in values.items()}
        dtype = _common_dtype(arrays)
        self._shapes: Shapes = {name: array.shape for name, array in arrays.items()}
        words = sum(_padded(shape, dtype) for shape in self._shapes.values())
        self._shared = SharedArray.create(words, dtype) if processes else None
        self._lay_out(_aligned(words, dtype) if self._shared is None else self._shared.array)
        for name, array in arrays.items():
            self._views[name].array[...] = array

    def _lay_out(self, flat: npt.NDArray[Any]) -> None:
        self._flat = flat
        self._views: dict[str, AtomicArray] = {}
        begin = 0
        for name, shape in self._shapes.items():
            part = flat[begin : begin + _count(shape)].reshape(shape)
            self._views[name] = AtomicArray(part)
            begin += _padded(shape, flat.dtype)

    @property
    def flat(self) -> AtomicArray:
        """The whole buffer, in the order of the names, with the gaps that fill cache lines."""
        return AtomicArray(self._flat)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of all parameters."""
        return self._flat.dtype

    @property
    def shapes(self) -> Shapes:
        """Of each parameter."""
        return dict(self._shapes)

    def __getitem__(self, name: str) -> AtomicArray:
        found = self._views.get(name)
        if found is None:
            raise KeyError(f"no parameter is called {name!r}{suggest(str(name), self._views)}")
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def add(self, values: Mapping[str, npt.ArrayLike], scale: float = 1.0) -> None:
        """Add `scale * values` to the parameters of these names, each element atomically: a step
        of gradient descent is `add(gradients, -rate)`. Nothing is lost, whoever else adds.

        KeyError for an unknown name, ValueError for another shape, TypeError for another dtype
        than the parameters': nothing is changed then. Releases the GIL while it adds.
        """
        given = [(self[name], self._checked(name, value)) for name, value in values.items()]
        for view, value in given:
            view.add(value, scale)

    def copy(self) -> dict[str, npt.NDArray[Any]]:
        """The values now, as arrays of their own. Each element is read whole, all of them not at
        one moment. Releases the GIL."""
        return {
            name: view.gather(np.arange(view.size).reshape(view.shape))
            for name, view in self._views.items()
        }

    def _checked(self, name: str, value: npt.ArrayLike) -> npt.NDArray[Any]:
        array = np.asarray(value)
        if array.dtype != self.dtype:
            raise TypeError(f"values: {name!r} is {array.dtype}; accepted: {self.dtype}")
        if array.shape != self._shapes[name]:
            raise ValueError(
                f"values: {name!r} has shape {array.shape}; accepted: {self._shapes[name]}"
            )
        return np.ascontiguousarray(array).reshape(array.shape)

    def close(self) -> None:
        """Let go of shared memory, and in the process that made it remove its name. Views that
        exist stay good."""
        if self._shared is not None:
            self._shared.close()

    def __enter__(self) -> SharedParameters:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __getstate__(self) -> tuple[SharedArray, Shapes]:
        if self._shared is None:
            raise TypeError(
                "these parameters are memory of this process, and cannot be pickled; make them "
                "with processes=True"
            )
        return self._shared, self._shapes

    def __setstate__(self, state: tuple[SharedArray, Shapes]) -> None:
        self._shared, self._shapes = state
        self._lay_out(self._shared.array)

    def __repr__(self) -> str:
        where = "memory of this process" if self._shared is None else self._shared.name
        return f"<{type(self).__name__}, {len(self)} of {self.dtype}, in {where}>"


def _common_dtype(arrays: Mapping[str, npt.NDArray[Any]]) -> np.dtype[Any]:
    if not arrays:
        raise ValueError("values: none given; accepted: one array or more, by name")
    dtype = next(iter(arrays.values())).dtype
    for name, array in arrays.items():
        if array.dtype.name not in ("float32", "float64") or array.dtype != dtype:
            raise TypeError(
                f"values: {name!r} is {array.dtype}; accepted: float32 or float64, the same for all"
            )
        if not array.size:
            raise ValueError(f"values: {name!r} is empty, its shape is {array.shape}")
    return dtype


def _count(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64))


def _padded(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    words = _LINE // dtype.itemsize
    return -(-_count(shape) // words) * words


def _aligned(words: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Zeros at the beginning of a cache line."""
    memory = np.zeros(words * dtype.itemsize + _LINE, np.uint8)
    begin = -memory.ctypes.data % _LINE
    return memory[begin : begin + words * dtype.itemsize].view(dtype)
