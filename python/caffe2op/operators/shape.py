"""The same elements in another arrangement: Reshape, Concat, Split, StopGradient. Every dtype;
none of these blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from caffe2op.operators.gradient import GradientRequest, register_constant, register_gradient
from caffe2op.operators.schema import Arg, Schema, register

if TYPE_CHECKING:
    from caffe2op.core.defs import OperatorDef


def _wrong_shape(shape: Sequence[int]) -> str | None:
    if len(shape) > 8 or any(size < -1 for size in shape) or list(shape).count(-1) > 1:
        return "must have at most 8 dimensions, one of which may be -1"
    return None


def _check_reshape(op: OperatorDef) -> str | None:
    given = any(a.name == "shape" for a in op.arg)
    if given == (len(op.input) == 2):
        return "the shape is given once, by argument 'shape' or by input 1"
    return None


register(
    Schema(
        "Reshape",
        (1, 2),
        (2, 2),
        (
            Arg(
                "shape",
                "ints",
                (),
                "The new shape: 0 keeps the dimension, one -1 is what is left.",
                _wrong_shape,
            ),
        ),
        input_names=("data", "new_shape"),
        output_names=("reshaped", "old_shape"),
        in_place=((0, 0),),
        check=_check_reshape,
        doc="The elements in another shape, given by the argument or by an int64 input. old_shape "
        "(int64) is the one before.",
    )
)
register(
    Schema(
        "StopGradient",
        (1, 1),
        (1, 1),
        input_names=("X",),
        output_names=("Y",),
        in_place=((0, 0),),
        doc="X as it is. No gradient goes back through it.",
    )
)


def _wrong_axis(value: int) -> str | None:
    return None if -8 <= value <= 7 else "must be from -8 to 7"


_AXIS = Arg(
    "axis", "int", 1, "The dimension to join along; a negative one from the end.", _wrong_axis
)

register(
    Schema(
        "Concat",
        (1, None),
        (2, 2),
        (_AXIS,),
        input_names=("X_0", "X_1"),
        output_names=("concat_result", "split_info"),
        doc="Tensors of one dtype, one after the other along a dimension; the others are equal. "
        "split_info (int32) is how much each takes.",
    )
)
register(
    Schema(
        "Split",
        (1, 2),
        (1, None),
        (_AXIS,),
        input_names=("X", "split"),
        output_names=("X_0", "X_1"),
        doc="The opposite of Concat: parts as long as `split` (int32) says, or of equal length.",
    )
)


def _reshape(r: GradientRequest) -> None:
    r.refuse(1)
    gradient = r.GI(0)
    r.add("Reshape", [r.GO(0), r.O(1)], [gradient, f"{gradient}_old_shape"])


def _concat(r: GradientRequest) -> None:
    r.refuse(1)
    gradients = [r.GI(k) for k in range(len(r.op.input))]
    r.add("Split", [r.GO(0), r.O(1)], gradients, **r.args)


def _split(r: GradientRequest) -> None:
    gradient = r.GI(0)
    parts = [r.GO(k) for k in range(len(r.op.output))]
    r.add("Concat", parts, [gradient, f"{gradient}_split_info"], **r.args)


register_gradient("Reshape", _reshape)
register_gradient("Concat", _concat)
register_gradient("Split", _split)
register_constant("StopGradient")
