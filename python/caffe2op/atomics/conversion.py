"""What the bulk operations take as indices and values, made ready for C.

C gets contiguous arrays in native byte order: indices of int32 or int64, values of exactly the
array's dtype. An array that is so already is passed as it is; anything else is converted here,
where every value is checked, before anything is changed. Nothing is lost silently: a float
never becomes an int, and an int that does not fit is refused; only the rounding from one float
width to another, or from an int to a float, is as NumPy does it.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.ma import MaskedArray

NDArray = npt.NDArray[Any]


def as_indices(indices: npt.ArrayLike, argument: str = "indices") -> NDArray:
    """Integers of any width as a contiguous array of int32 or int64.

    TypeError for anything that is not integers; IndexError for an unsigned value beyond int64.
    """
    given = _array(indices, argument)
    if _holds_ints_only(given):
        for value in given.flat:
            if not -(2**63) <= value < 2**63:
                text = value if 0 < value < 2**64 else "an int beyond 64 bits"
                raise IndexError(f"{argument}: {text} given, which is beyond int64")
    if given.size == 0 and not hasattr(indices, "dtype"):  # [] has no type of its own
        given = given.astype(np.int64)
    if given.dtype.kind not in "iu":
        raise TypeError(f"{argument}: {_kind(given)} given; accepted: integers")
    if given.dtype.kind == "u" and given.itemsize == 8:
        beyond = np.flatnonzero(given > np.iinfo(np.int64).max)
        if beyond.size:
            raise IndexError(
                f"{argument}: {given.flat[beyond[0]]} at position {beyond[0]} is beyond int64"
            )
    wanted = np.int32 if given.dtype.kind == "i" and given.itemsize == 4 else np.int64
    return _contiguous(given, np.dtype(wanted))


def as_values(values: npt.ArrayLike, dtype: np.dtype[Any], argument: str = "values") -> NDArray:
    """Numbers as a contiguous array of ``dtype`` with the shape that they have.

    TypeError for floats where ``dtype`` is an integer, and for what is no number; OverflowError
    for an int that does not fit, or a finite float that would become infinite.
    """
    given = _array(values, argument)
    if given.dtype == dtype:
        return _contiguous(given, dtype)
    if given.size == 0 and not hasattr(values, "dtype"):
        return given.astype(dtype)
    if _holds_ints_only(given):
        if dtype.kind in "iu":
            _refuse_beyond(given.flat, dtype, argument)
        try:
            given = given.astype(np.float64 if dtype.kind == "f" else dtype)
        except OverflowError:
            raise OverflowError(f"{argument}: an int beyond 64 bits does not fit {dtype}") from None
    if given.dtype.kind not in "biuf" or given.itemsize > 8:
        raise TypeError(f"{argument}: {_kind(given)} given; accepted: numbers that fit {dtype}")
    if dtype.kind in "iu":
        if given.dtype.kind == "f":
            raise TypeError(
                f"{argument}: {_kind(given)} given; accepted: integers, as the elements are {dtype}"
            )
        _check_integers(given, dtype, argument)
        return _contiguous(given, dtype)
    with np.errstate(over="ignore", invalid="ignore"):  # a signalling NaN becomes a quiet one
        converted = _contiguous(given, dtype)
    lost = np.isinf(converted) & np.isfinite(given)
    if lost.any():
        bad = given.reshape(-1)[np.flatnonzero(lost)[0]]
        raise OverflowError(f"{argument}: {bad} does not fit {dtype}")
    return converted


def _check_integers(given: NDArray, dtype: np.dtype[Any], argument: str) -> None:
    if given.size == 0 or np.can_cast(given.dtype, dtype):
        return
    _refuse_beyond((int(given.min()), int(given.max())), dtype, argument)


def _refuse_beyond(values: Iterable[int], dtype: np.dtype[Any], argument: str) -> None:
    accepted = np.iinfo(dtype)
    for value in values:
        if not accepted.min <= value <= accepted.max:
            text = value if -(2**63) <= value < 2**64 else "an int beyond 64 bits"
            raise OverflowError(
                f"{argument}: {text} does not fit {dtype}; accepted: {accepted.min}..{accepted.max}"
            )


def _array(given: npt.ArrayLike, argument: str) -> NDArray:
    if isinstance(given, MaskedArray):
        raise TypeError(f"{argument}: a masked array, whose mask would be ignored; give its .data")
    try:
        array = np.asarray(given)
        if array.dtype.kind == "f" and isinstance(given, list | tuple):
            # NumPy makes floats of ints that no integer dtype has both of, as -1 and 2**63.
            as_given = np.asarray(given, dtype=object)
            return as_given if _holds_ints_only(as_given) else array
        return array
    except ValueError as reason:  # lists of several lengths
        raise ValueError(
            f"{argument}: NumPy makes no array of this {type(given).__name__} ({reason}); "
            f"accepted: numbers, or an array or nested lists of them"
        ) from None


def _holds_ints_only(given: NDArray) -> bool:
    """Whether these are Python ints that no integer dtype has all of."""
    if given.dtype.kind != "O" or given.size == 0:
        return False
    return all(isinstance(value, int) for value in given.flat)


def _contiguous(given: NDArray, dtype: np.dtype[Any]) -> NDArray:
    # Not ascontiguousarray, which would turn a 0-D array into one of one dimension.
    array = np.asarray(given, dtype=dtype, order="C")
    return array if array.flags.aligned else array.copy()


def _kind(array: NDArray) -> str:
    return f"an array of {array.dtype}" if array.ndim else f"a scalar of {array.dtype}"
