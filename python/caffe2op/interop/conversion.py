"""A function of another library's arrays as the function of a Python operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from caffe2op.operators.schema import PythonFunction


def array_operator(
    function: Callable[..., Any], to_numpy: Callable[[Any], Any] = np.asarray
) -> PythonFunction:
    """`function` takes the inputs' NumPy arrays, and returns one result or a tuple or list of
    them, which `to_numpy` turns into what the outputs are fed."""

    def run(inputs: list[Any], outputs: list[Any]) -> None:
        made = function(*(view.data for view in inputs))
        several = tuple(made) if isinstance(made, tuple | list) else (made,)
        if len(several) != len(outputs):
            raise ValueError(
                f"the function returned {len(several)} arrays for {len(outputs)} outputs"
            )
        for output, one in zip(outputs, several, strict=True):
            output.feed(to_numpy(one))

    return run
