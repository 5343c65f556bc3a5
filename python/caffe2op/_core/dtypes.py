"""Element types: ``enum c2_dtype`` <-> NumPy dtypes, one table read both ways.

Types are looked up by kind and size, so that the several C names of one width (``long`` and
``long long``) are the same element type.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ._native import lib

_CODES: Final[dict[str, int]] = {
    "bool": lib.C2_BOOL,
    "int8": lib.C2_INT8,
    "int16": lib.C2_INT16,
    "int32": lib.C2_INT32,
    "int64": lib.C2_INT64,
    "uint8": lib.C2_UINT8,
    "uint16": lib.C2_UINT16,
    "uint32": lib.C2_UINT32,
    "uint64": lib.C2_UINT64,
    "float32": lib.C2_FLOAT32,
    "float64": lib.C2_FLOAT64,
}

NAMES: Final[tuple[str, ...]] = tuple(_CODES)
"""The names of the element types, as NumPy spells them."""

_FROM_CODE: Final[dict[int, np.dtype[Any]]] = {code: np.dtype(n) for n, code in _CODES.items()}
_TO_CODE: Final[dict[tuple[str, int], int]] = {
    (dtype.kind, dtype.itemsize): code for code, dtype in _FROM_CODE.items()
}


def from_code(code: int) -> np.dtype[Any]:
    """The NumPy dtype of a c2_dtype code; KeyError for one that is none."""
    return _FROM_CODE[code]


def to_code(dtype: npt.DTypeLike, argument: str = "dtype") -> int:
    """The c2_dtype code of anything that NumPy reads as a dtype.

    ``argument`` is what errors call it. TypeError for a dtype that is not one of
    :data:`NAMES` in native byte order.
    """
    if dtype is None:  # float64 to NumPy
        raise TypeError(f"{argument}: None given; accepted: {_accepted()}")
    try:
        given = np.dtype(dtype)
    except TypeError:
        raise TypeError(f"{argument}: {dtype!r} is not a dtype; accepted: {_accepted()}") from None
    if not given.isnative:
        raise TypeError(
            f"{argument}: {given} is byte-swapped; accepted: {_accepted()} in native byte order"
        )
    code = _TO_CODE.get((given.kind, given.itemsize)) if given.names is None else None
    if code is None:
        raise TypeError(f"{argument}: dtype {given} is not accepted; accepted: {_accepted()}")
    return code


def _accepted() -> str:
    return ", ".join(NAMES)
