"""What stands between layers: Tanh, Softmax, Dropout, and the gradients of these, of Relu and of
Sigmoid. float32 or float64; none of these blocks.

Gradient operators take the output Y of theirs, so that it may run in place.
"""

from __future__ import annotations

from caffe2op.operators.gradient import GradientRequest, register_gradient
from caffe2op.operators.schema import Arg, Schema, register


def _wrong_axis(value: int) -> str | None:
    return None if 0 <= value <= 8 else "must be from 0 to 8"


CLASSES = Arg("axis", "int", 1, "Dimensions before it are rows, the others classes.", _wrong_axis)

register(
    Schema(
        "Tanh",
        (1, 1),
        (1, 1),
        input_names=("X",),
        output_names=("Y",),
        in_place=((0, 0),),
        doc="The hyperbolic tangent of each element.",
    )
)
register(
    Schema(
        "Softmax",
        (1, 1),
        (1, 1),
        (CLASSES,),
        input_names=("X",),
        output_names=("Y",),
        in_place=((0, 0),),
        doc="exp(X) over the sum of exp(X) in its row; finite for every finite X.",
    )
)


def _gradient(type_: str, *args: Arg) -> None:
    register(
        Schema(
            f"{type_}Gradient",
            (2, 2),
            (1, 1),
            args,
            input_names=("Y", "dY"),
            output_names=("dX",),
            in_place=((1, 0),),
            doc=f"The gradient of {type_}'s input, from its output Y and the gradient of that.",
        )
    )

    def maker(r: GradientRequest) -> None:
        r.add(f"{type_}Gradient", [r.O(0), r.GO(0)], [r.GI(0)], **r.args)

    register_gradient(type_, maker)


for _type in ("Relu", "Sigmoid", "Tanh"):
    _gradient(_type)
_gradient("Softmax", CLASSES)


def _wrong_ratio(value: float) -> str | None:
    return None if 0 <= value < 1 else "must be at least 0 and less than 1"


_DROPOUT = (
    Arg("ratio", "float", 0.5, "How many elements become 0.", _wrong_ratio),
    Arg("is_test", "bool", False, "Every element stays as it is."),
)

register(
    Schema(
        "Dropout",
        (1, 2),
        (2, 2),
        (
            *_DROPOUT,
            Arg("seed", "int", None, "The stream of numbers; without it each run has its own."),
        ),
        input_names=("X", "iter"),
        output_names=("Y", "mask"),
        in_place=((0, 0),),
        doc="Each element is 0 with probability ratio, else X / (1 - ratio). mask (bool) tells "
        "which stayed. With `seed`, runs are alike, unless the second input, an int64 scalar, "
        "says which iteration it is: then each iteration has a mask of its own, the same in every "
        "training.",
    )
)
register(
    Schema(
        "DropoutGrad",
        (2, 2),
        (1, 1),
        _DROPOUT,
        input_names=("dY", "mask"),
        output_names=("dX",),
        in_place=((0, 0),),
        doc="The gradient of Dropout's input.",
    )
)


def _dropout(r: GradientRequest) -> None:
    r.refuse(1)
    args = {k: v for k, v in r.args.items() if k != "seed"}
    r.add("DropoutGrad", [r.GO(0), r.O(1)], [r.GI(0)], **args)


register_gradient("Dropout", _dropout)
