"""Runs one operator of any number of outputs on NumPy arrays, through a workspace of its own.

apply("FC", [x, w, b])                        -> [y]
apply("SGD", [p, g, lr], in_place={0: 0})     -> [p after]     output 0 is the blob of input 0
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from caffe2op import core, workspace
from caffe2op.examples.own_workspace import own_workspace
from caffe2op.operators import schema

Array = np.ndarray[Any, Any]


def apply(
    type_: str,
    inputs: Sequence[Any],
    outputs: int | None = None,
    in_place: Mapping[int, int] | None = None,
    **args: Any,
) -> list[Array]:
    """The outputs of one run. `in_place`: output -> the input whose blob it is."""
    count = schema.lookup(type_).outputs[0] if outputs is None else outputs
    names = [f"x{k}" for k in range(len(inputs))]
    same = in_place or {}
    out = [names[same[k]] if k in same else f"y{k}" for k in range(count)]
    with own_workspace("run_operator"):
        for name, value in zip(names, inputs, strict=True):
            workspace.FeedBlob(name, value)
        workspace.RunOperatorOnce(core.CreateOperator(type_, names, out, **args))
        return workspace.FetchBlobs(out)


def close(got: Array, want: Any, scale: float = 1.0) -> None:
    """Equal in dtype and shape, and up to the rounding of the dtype."""
    want = np.asarray(want)
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    if want.dtype.kind == "f":
        tolerance = 64 * scale * float(np.finfo(want.dtype).eps)
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)
    else:
        np.testing.assert_array_equal(got, want)
