"""Gradients of operators that read rows of a table: the rows' gradients, as a GradientSlice.

A table of which a batch reads a few rows gets no gradient of its own size. ScatterWeightedSum and
SparseAdagrad step on just those rows.
"""

from __future__ import annotations

from caffe2op.operators.gradient import GradientRequest, register_gradient
from caffe2op.operators.schema import Schema, register

register(
    Schema(
        "SparseLengthsIndicesInGradientSumGradient",
        (3, 3),
        (1, 1),
        input_names=("dY", "LENGTHS", "INDICES"),
        output_names=("dROWS",),
        doc="For each index the gradient of the row that it selected: that of its segment. "
        "LENGTHS must add up to the number of INDICES.",
    )
)


def _sparse_lengths_sum(r: GradientRequest) -> None:
    indices, values = r.I(1), f"{r.GI(0)}_values"
    r.add("SparseLengthsIndicesInGradientSumGradient", [r.GO(0), r.I(2), indices], [values])
    r.give_slice(0, indices, values)


def _gather(r: GradientRequest) -> None:
    r.give_slice(0, r.I(1), r.GO(0))


register_gradient("SparseLengthsSum", _sparse_lengths_sum)
register_gradient("Gather", _gather)
