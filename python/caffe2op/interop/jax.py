"""JAX: a pytree of parameters by way of shared memory, functions as operators.

JAX's arrays never change, so `tree` gives new ones from the store, and `push` adds a worker's
gradients to it, each element atomically, none lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from caffe2op.interop.conversion import array_operator
from caffe2op.interop.parameters import SharedParameters
from caffe2op.operators.schema import PythonFunction

__all__ = ["as_operator", "push", "share", "tree"]


def __dir__() -> list[str]:
    return sorted(__all__)


def _by_name(pytree: Any) -> dict[str, Any]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(pytree)
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


def share(pytree: Any, processes: bool = False) -> SharedParameters:
    """A store with copies of the leaves, under the names of their paths in the tree ("['w']").
    TypeError for dtypes that a store refuses."""
    return SharedParameters(
        {name: np.asarray(leaf) for name, leaf in _by_name(pytree).items()}, processes
    )


def tree(store: SharedParameters, like: Any) -> Any:
    """The store's values now, as JAX arrays in a tree of the structure of `like`. KeyError for a
    path that the store does not have."""
    for name in _by_name(like):
        store[name]
    values = store.copy()
    _, structure = jax.tree_util.tree_flatten(like)
    leaves = [jax.numpy.asarray(values[name]) for name in _by_name(like)]
    return jax.tree_util.tree_unflatten(structure, leaves)


def push(store: SharedParameters, gradients: Any, scale: float) -> None:
    """Add `scale` (minus the rate) times the gradients, a tree of the parameters' structure.
    Errors as those of SharedParameters.add."""
    store.add({name: np.asarray(leaf) for name, leaf in _by_name(gradients).items()}, scale)


def as_operator(function: Callable[..., Any]) -> PythonFunction:
    """A function of JAX arrays as the function of a Python operator:
    `net.Python(as_operator(jax.jit(f)))(["x"], ["y"])`, or for `core.register_operator`.

    What it returns, an array or several, is copied into the outputs. ValueError when it returns
    another number than there are outputs. While JAX computes, the GIL is free.
    """
    return array_operator(lambda *arrays: function(*map(jax.numpy.asarray, arrays)))
