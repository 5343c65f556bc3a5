"""Parameters of other libraries' models in memory where many workers update them and lose nothing.

`SharedParameters` holds named parameters in one flat buffer, of which each is an AtomicArray.
`interop.torch`, `interop.tensorflow` and `interop.jax` put a model's parameters there, and turn a
module or a function into an operator of a net. Each imports its library when it is first asked
for; nothing else of this package does.
"""

from __future__ import annotations

import importlib
from typing import Any

from caffe2op.interop.memory import keep_freed_memory
from caffe2op.interop.parameters import SharedParameters

__all__ = ["SharedParameters", "keep_freed_memory"]

_LIBRARIES = ("jax", "tensorflow", "torch")


def __getattr__(name: str) -> Any:
    if name in _LIBRARIES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LIBRARIES])
