"""Parameters of other libraries' models in memory where many workers update them and lose nothing.

`SharedParameters` holds named parameters in one flat buffer, of which each is an AtomicArray.
`interop.torch`, `interop.tensorflow` and `interop.jax` put a model's parameters there, and turn a
module or a function into an operator of a net. Each imports its library when it is first asked
for; nothing else of this package does.

Nothing here waits for others. What moves values releases the GIL while it does. Parameters of
another dtype, shape or name than the store's are a TypeError, ValueError or KeyError, with nothing
changed.
"""

from __future__ import annotations

import importlib
from typing import Any

from caffe2op.interop.parameters import SharedParameters

_LIBRARIES = ("jax", "tensorflow", "torch")

__all__ = ["SharedParameters"]


def __getattr__(name: str) -> Any:
    if name in _LIBRARIES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_LIBRARIES])
