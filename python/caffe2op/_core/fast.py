"""The C types of ``csrc/fast``, made once at import and published here under their names."""

from typing import Any

from ._native import ffi, lib
from .status import OwnerDiedError

# C takes from this dict the exceptions that it raises, and puts its types into it.
_namespace: dict[str, Any] = {"OwnerDiedError": OwnerDiedError}
if lib.c2_register_fast(ffi.cast("void *", id(_namespace))) != 0:
    raise ImportError("caffe2op: the C types of the fast path could not be made")
