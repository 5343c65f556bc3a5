"""Element types as operators' arguments name them.

`DataType` has the names and numbers of Caffe2's enum TensorProto.DataType, for the element types
that blobs here can have; the two that Caffe2 lacks are numbered from 100. `dtype_code` turns
every way of naming one into the code that C knows.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from caffe2op._core import dtypes


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


_CODES: dict[int, int] = {
    t: dtypes.to_code({"FLOAT": "float32", "DOUBLE": "float64"}.get(t.name, t.name.lower()))
    for t in DataType
}
_ACCEPTED = "core.DataType." + ", ".join(t.name for t in DataType) + ", or the NumPy dtype"


def dtype_code(value: Any) -> int:
    """The enum c2_dtype code for a DataType (or its number), a NumPy dtype, a scalar type or a
    dtype's name. TypeError or ValueError for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value not in _CODES:
            raise ValueError(f"no dtype has the number {value}; accepted: {_ACCEPTED}")
        return _CODES[value]
    if value is None or isinstance(value, bool | float | list | tuple | dict):
        raise TypeError(f"not a dtype: {value!r}; accepted: {_ACCEPTED}")
    return dtypes.to_code(value)
