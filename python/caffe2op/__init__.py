"""Atomic operations, locks and an asynchronous net executor on NumPy memory.

`caffe2op.atomics` has the atomic operations and locks; `caffe2op.core` and `caffe2op.workspace`
have nets of operators under the names that Caffe2's users know; `caffe2op.asyncnet` runs nets and
graphs of functions in dependency order; `caffe2op.model_helper`, `caffe2op.brew` and
`caffe2op.optimizer` build networks and train them; `caffe2op.linear_model` trains linear models;
`caffe2op.interop` puts parameters of PyTorch, TensorFlow and JAX into memory that many workers
update. Each is imported when it is first asked for.
"""

from __future__ import annotations

import importlib
import sys
from importlib import metadata
from typing import Any

__all__ = [
    "__version__",
    "asyncnet",
    "atomics",
    "brew",
    "core",
    "interop",
    "linear_model",
    "model_helper",
    "optimizer",
    "workspace",
]


def _refuse_subinterpreters() -> None:
    """ImportError in a subinterpreter, before anything is made or loaded. The C types are made once
    for a process and know Python's objects by their addresses, and NumPy and cffi do as much: two
    interpreters in one process would find each other's objects."""
    if sys.implementation.name != "cpython":
        return
    try:
        import ctypes

        # Of the stable ABI. PYFUNCTYPE keeps the GIL: without it no interpreter is the current one.
        current = ctypes.PYFUNCTYPE(ctypes.c_void_p)(("PyInterpreterState_Get", ctypes.pythonapi))
        number = ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(
            ("PyInterpreterState_GetID", ctypes.pythonapi)
        )
        is_main = number(current()) == 0
    except ImportError:  # before 3.13 ctypes itself refuses interpreters that have their own GIL
        is_main = False
    if not is_main:
        raise ImportError(
            "caffe2op works in a process's main interpreter only, and this is a subinterpreter; "
            "use threads, or processes with caffe2op.atomics.SharedArray"
        )


_refuse_subinterpreters()


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return metadata.version("caffe2op")
    if name in __all__ or name == "operators":  # which is there for the package itself
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
