"""The slow, obvious twin of AtomicArray: the same operations on a NumPy array, one after the
other. Results are NumPy scalars' ``item()``, as the real ones are Python numbers.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
FLOATS = ("float32", "float64")
NUMBERS = INTEGERS + FLOATS
DTYPES = ("bool", *NUMBERS)

FETCHES = ("fetch_add", "fetch_sub", "fetch_min", "fetch_max")
BIT_FETCHES = ("fetch_and", "fetch_or", "fetch_xor")

ORDERS = ("relaxed", "acquire", "release", "acq_rel", "seq_cst")
LOAD_ORDERS = ("relaxed", "acquire", "seq_cst")
STORE_ORDERS = ("relaxed", "release", "seq_cst")

_NEXT: dict[str, Callable[[Any, Any], Any]] = {
    "fetch_add": lambda old, v: old + v,
    "fetch_sub": lambda old, v: old - v,
    "fetch_and": lambda old, v: old & v,
    "fetch_or": lambda old, v: old | v,
    "fetch_xor": lambda old, v: old ^ v,
    # Not np.minimum: which zero or which NaN it gives is its own affair.
    "fetch_min": lambda old, v: old if old != old or old < v else v,
    "fetch_max": lambda old, v: old if old != old or old > v else v,
    "exchange": lambda old, v: v,
}


class Twin:
    def __init__(self, array: np.ndarray) -> None:
        self.array = array.copy()

    def _where(self, index: Any) -> tuple[np.ndarray, Any]:
        return (self.array, index) if isinstance(index, tuple) else (self.array.reshape(-1), index)

    def load(self, index: Any) -> Any:
        array, i = self._where(index)
        return array[i].item()

    def store(self, index: Any, value: Any) -> None:
        array, i = self._where(index)
        array[i] = value

    def fetch(self, name: str, index: Any, value: Any) -> Any:
        array, i = self._where(index)
        old = array[i]
        with np.errstate(over="ignore"):  # scalar integers warn when they wrap
            array[i] = _NEXT[name](old, array.dtype.type(value))
        return old.item()

    def compare_exchange(self, index: Any, expected: Any, desired: Any) -> tuple[bool, Any]:
        array, i = self._where(index)
        old = array[i]
        swapped = old.tobytes() == array.dtype.type(expected).tobytes()
        if swapped:
            array[i] = desired
        return swapped, old.item()

    def fetch_add_at(self, indices: np.ndarray, values: Any) -> np.ndarray:
        before = np.empty(indices.shape, self.array.dtype)
        flat = self.array.reshape(-1)
        spread = np.broadcast_to(np.asarray(values, self.array.dtype), indices.shape)
        with np.errstate(over="ignore"):
            for k in np.ndindex(indices.shape):
                before[k] = flat[indices[k]]
                flat[indices[k]] += spread[k]
        return before

    def add(self, values: Any, scale: Any) -> None:
        dtype = self.array.dtype.type
        with np.errstate(over="ignore"):
            self.array += dtype(scale) * np.asarray(values, dtype)


def bounds(dtype: str) -> tuple[int, int]:
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)


class Index:
    """Not an int, but an index."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value
