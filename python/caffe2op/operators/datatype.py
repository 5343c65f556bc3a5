"""Element types as operators' arguments name them.

`DataType` has the names and numbers of Caffe2's enum TensorProto.DataType, for the element types
that blobs here can have; the two that Caffe2 lacks are numbered from 100. `dtype_code` turns
every way of naming one into the code that C knows.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np

from caffe2op._core._native import lib


class DataType(IntEnum):
    """Caffe2's numbers for element types (caffe2/proto/caffe2.proto)."""

    FLOAT = 1
    INT32 = 2
    BOOL = 5
    UINT8 = 6
    INT8 = 7
    UINT16 = 8
    INT16 = 9
    INT64 = 10
    DOUBLE = 13
    UINT32 = 100
    UINT64 = 101


_NAMES = {
    DataType.FLOAT: "float32",
    DataType.INT32: "int32",
    DataType.BOOL: "bool",
    DataType.UINT8: "uint8",
    DataType.INT8: "int8",
    DataType.UINT16: "uint16",
    DataType.INT16: "int16",
    DataType.INT64: "int64",
    DataType.DOUBLE: "float64",
    DataType.UINT32: "uint32",
    DataType.UINT64: "uint64",
}
_CODES: dict[str, int] = {name: getattr(lib, f"C2_{name.upper()}") for name in _NAMES.values()}
ACCEPTED = "core.DataType." + ", ".join(t.name for t in DataType) + ", or the NumPy dtype"


def dtype_code(value: Any) -> int:
    """The enum c2_dtype code for a DataType (or its number), a NumPy dtype, a scalar type or a
    dtype's name. ValueError for anything else."""
    if isinstance(value, bool):
        raise ValueError(f"not a dtype: {value!r}")
    if isinstance(value, int):
        if value not in _NAMES:
            raise ValueError(f"no dtype has the number {value}; accepted: {ACCEPTED}")
        return _CODES[_NAMES[DataType(value)]]
    try:
        if value is None:
            raise TypeError
        dtype = np.dtype(value)
    except TypeError:
        raise ValueError(f"not a dtype: {value!r}; accepted: {ACCEPTED}") from None
    if dtype.name not in _CODES or not dtype.isnative:
        raise ValueError(f"blobs do not hold dtype {dtype!s}; accepted: {ACCEPTED}")
    return _CODES[dtype.name]
