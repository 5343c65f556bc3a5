"""Fully connected layers and matrix products, float32 or float64.

The products come from the BLAS of a wheel (_core/blas.py), in one thread for each worker of a net,
without the GIL. ImportError when a net is built and no BLAS is there. None of these blocks.

Shapes: an input of more than two dimensions counts as a matrix, its dimensions before `axis`
being the rows. Errors, when they run: another dtype (TypeError), shapes that do not fit
(ValueError).
"""

from __future__ import annotations

from caffe2op._core import blas
from caffe2op.operators.gradient import GradientRequest, register_gradient
from caffe2op.operators.schema import Arg, Binding, Schema, register


def _axis(value: int) -> str | None:
    return None if 0 <= value <= 8 else "must be from 0 to 8"


_AXES = (
    Arg("axis", "int", 1, "X is a matrix whose rows are the dimensions before this one.", _axis),
    Arg("axis_w", "int", 1, "The same for W.", _axis),
)

register(
    Schema(
        "FC",
        (3, 3),
        (1, 1),
        _AXES,
        input_names=("X", "W", "b"),
        output_names=("Y",),
        doc="Y = X W^T + b: a fully connected layer. X (M, K), W (N, K), b (N,), Y (M, N).",
    ),
    Binding("FC", prepare=blas.load),
)
register(
    Schema(
        "FCGradient",
        (3, 3),
        (2, 3),
        _AXES,
        input_names=("X", "W", "dY"),
        output_names=("dW", "db", "dX"),
        doc="The gradients of FC's inputs; dX is left out where it is not asked for.",
    ),
    Binding("FCGradient", prepare=blas.load),
)
register(
    Schema(
        "MatMul",
        (2, 2),
        (1, 1),
        (
            Arg("trans_a", "bool", False, "A is transposed."),
            Arg("trans_b", "bool", False, "B is transposed."),
        ),
        input_names=("A", "B"),
        output_names=("Y",),
        doc="Y = A B, of two dimensions each.",
    ),
    Binding("MatMul", prepare=blas.load),
)


def _fc(r: GradientRequest) -> None:
    outputs = [r.GI(1), r.GI(2)]
    if r.wanted[0]:
        outputs.append(r.GI(0))
    r.add("FCGradient", [r.I(0), r.I(1), r.GO(0)], outputs, **r.args)


def _matmul(r: GradientRequest) -> None:
    a, b, dy = r.I(0), r.I(1), r.GO(0)
    ta, tb = bool(r.args.get("trans_a")), bool(r.args.get("trans_b"))
    if r.wanted[0]:
        first, second = (b, dy) if ta else (dy, b)
        r.add("MatMul", [first, second], [r.GI(0)], trans_a=ta and tb, trans_b=ta or not tb)
    if r.wanted[1]:
        first, second = (dy, a) if tb else (a, dy)
        r.add("MatMul", [first, second], [r.GI(1)], trans_a=tb or not ta, trans_b=ta and tb)


register_gradient("FC", _fc)
register_gradient("MatMul", _matmul)
