"""The C types of ``csrc/fast``, made once at import and published here under their names."""

from typing import Any

import numpy as np

from ._native import ffi, lib
from .status import OwnerDiedError

# C takes from this dict the Python types that it must know, and puts its own into it.
_namespace: dict[str, Any] = {"OwnerDiedError": OwnerDiedError, "numpy_bool": np.bool_}
if lib.c2_register_fast(ffi.cast("void *", id(_namespace))) != 0:
    raise ImportError("caffe2op: the C types of the fast path could not be made")

Array = _namespace["Array"]
Bool = _namespace["Bool"]
Cell = _namespace["Cell"]
Mutex = _namespace["Mutex"]
