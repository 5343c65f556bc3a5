"""The table of element types, both ways, against what C says."""

from typing import Any

import numpy as np
import pytest

from caffe2op._core import dtypes, ffi, lib


def test_the_table_is_the_abis() -> None:
    assert len(dtypes.NAMES) == lib.C2_DTYPES
    for code, name in ffi.typeof("enum c2_dtype").elements.items():
        if name != "C2_DTYPES":
            dtype = dtypes.from_code(code)
            assert name == f"C2_{dtype.name.upper()}"
            assert lib.c2_itemsize(code) == dtype.itemsize
            assert dtypes.to_code(dtype) == code


@pytest.mark.parametrize(
    ("dtype", "name"), [(int, "int64"), ("f4", "float32"), (np.longlong, "int64"), (bool, "bool")]
)
def test_anything_that_numpy_reads(dtype: Any, name: str) -> None:
    assert dtypes.from_code(dtypes.to_code(dtype)).name == name


@pytest.mark.parametrize("dtype", ["float16", ">f8", complex, object, "S3", [("a", "i4")], "no"])
def test_what_is_refused(dtype: Any) -> None:
    with pytest.raises(TypeError, match=r"^to: .* accepted: bool, int8"):
        dtypes.to_code(dtype, "to")
