"""Atomic operations, locks and an asynchronous net executor on NumPy memory.

`caffe2op.atomics` has the atomic operations and locks; `caffe2op.core` and `caffe2op.workspace`
have nets of operators under the names that Caffe2's users know; `caffe2op.asyncnet` runs nets and
graphs of functions in dependency order; `caffe2op.interop` puts parameters of PyTorch,
TensorFlow and JAX into memory that many workers update. Each is imported when it is first asked
for.
"""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import Any

_MODULES = ("asyncnet", "atomics", "core", "interop", "operators", "workspace")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name == "__version__":
        return metadata.version("caffe2op")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES, "__version__"])
