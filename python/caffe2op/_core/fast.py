"""The C types of ``csrc/fast``, made once at import and published here under their names."""

import os
import threading
from typing import Any

import numpy as np

from ._native import ffi, lib
from .status import OwnerDiedError

# C takes from this dict the Python types that it must know, and puts its own into it.
_namespace: dict[str, Any] = {
    "OwnerDiedError": OwnerDiedError,
    "numpy_bool": np.bool_,
    "numpy_real": (np.floating, np.integer),
}
if lib.c2_register_fast(ffi.cast("void *", id(_namespace))) != 0:
    raise ImportError("caffe2op: the C types of the fast path could not be made")

Array = _namespace["Array"]
Bool = _namespace["Bool"]
Cell = _namespace["Cell"]
Mutex = _namespace["Mutex"]
NetRun = _namespace["NetRun"]
Operator = _namespace["Operator"]
View = _namespace["View"]

NetRun.set_main_thread(threading.main_thread().ident)
os.register_at_fork(after_in_child=lambda: NetRun.set_main_thread(threading.get_ident()))
