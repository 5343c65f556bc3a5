"""TensorFlow and Keras: a model's variables by way of shared memory, models as operators.

TensorFlow owns its variables' memory, so they are copies: `pull` refreshes them from the store,
`push` adds a worker's gradients to it, each element atomically, none lost. A worker's model is as
old as its last `pull`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from caffe2op.interop.conversion import array_operator
from caffe2op.interop.parameters import SharedParameters
from caffe2op.operators.schema import PythonFunction

__all__ = ["as_operator", "pull", "push", "share"]


def __dir__() -> list[str]:
    return sorted(__all__)


def _names(variables: Sequence[Any]) -> list[str]:
    # The place makes the name unique, and is the same in every process that builds the model.
    return [f"{k}/{getattr(v, 'path', v.name)}" for k, v in enumerate(variables)]


def share(variables: Iterable[Any], processes: bool = False) -> SharedParameters:
    """A store with copies of variables (`model.trainable_variables`), in their order. Names are
    the place in that order and the variable's path. TypeError for dtypes that a store refuses."""
    several = list(variables)
    arrays = [np.asarray(v) for v in several]
    return SharedParameters(dict(zip(_names(several), arrays, strict=True)), processes)


def _checked(store: SharedParameters, values: Iterable[Any], what: str) -> list[Any]:
    several = list(values)
    if len(several) != len(store):
        raise ValueError(
            f"{what}: {len(several)} given; accepted: {len(store)}, one for each parameter"
        )
    return several


def pull(store: SharedParameters, variables: Iterable[Any]) -> None:
    """Assign the store's values to variables in the order that `share` had. ValueError for
    another number of them, or another shape."""
    several = _checked(store, variables, "variables")
    for variable, value in zip(several, store.copy().values(), strict=True):
        variable.assign(value)


def push(store: SharedParameters, gradients: Iterable[Any], scale: float) -> None:
    """Add `scale` (minus the rate) times the gradients, in the order that `share` had; None for a
    variable leaves it alone. tf.IndexedSlices go in as what they are: each row's elements
    atomically, rows that come twice twice."""
    several = _checked(store, gradients, "gradients")
    dense = {}
    for name, gradient in zip(store, several, strict=True):
        if isinstance(gradient, tf.IndexedSlices):
            _push_rows(store, name, gradient, scale)
        elif gradient is not None:
            dense[name] = np.asarray(gradient)
    store.add(dense, scale)


def _push_rows(store: SharedParameters, name: str, gradient: Any, scale: float) -> None:
    view = store[name]
    rows = np.asarray(gradient.indices, np.int64)
    values = np.asarray(gradient.values)
    width = view.size // view.shape[0]
    places = rows[:, None] * width + np.arange(width)
    view.add_at(places, (values.reshape(places.shape) * scale).astype(view.dtype))


def as_operator(function: Callable[..., Any]) -> PythonFunction:
    """A Keras model, or a function of tensors, as the function of a Python operator:
    `net.Python(as_operator(model))(["x"], ["y"])`, or for `core.register_operator`.

    Inputs are constant tensors made from the blobs; what it returns, a tensor or several, is
    copied into the outputs. ValueError when it returns another number than there are outputs.
    While TensorFlow computes, the GIL is free.
    """
    return array_operator(lambda *arrays: function(*map(tf.convert_to_tensor, arrays)))
