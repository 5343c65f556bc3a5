"""Operators that compute element by element: arithmetic, comparisons, logic.

Add, Sub, Mul and the comparisons broadcast as NumPy does. Caffe2's older way is there too: with
`broadcast=1`, B is laid against the dimensions of A that begin at `axis` (-1: the last ones), and
the output has A's shape. Both inputs have one dtype; nothing is converted. Integers wrap.

The loops are plain and vectorized: two operators that write one blob at the same time are safe
for memory, and may lose values. Where none may be lost, use AtomicFetchAdd, ScatterWeightedSum, or
WeightedSum with `atomic`.
None of these blocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caffe2op.operators.schema import ANY_PAIR, Arg, Schema, argument_values, lookup, register

if TYPE_CHECKING:
    from caffe2op.core.defs import OperatorDef

    from .schema import Pairs

EITHER_INPUT: Pairs = ((0, 0), (1, 0))


def _wrong_axis(axis: int) -> str | None:
    return "must be a dimension of input 0, or -1 for the last ones" if axis < -1 else None


BROADCAST = (
    Arg("broadcast", "bool", False, "Caffe2's older broadcasting: the output has A's shape."),
    Arg("axis", "int", -1, "With broadcast=1: where in A's dimensions B begins.", _wrong_axis),
)


def _check_broadcast(op: OperatorDef) -> str | None:
    values = argument_values(op, lookup(op.type))
    if values["axis"] != -1 and not values["broadcast"]:
        return f"argument 'axis' needs broadcast=1, got axis={values['axis']} without it"
    return None


def _binary(type_: str, in_place: Pairs, doc: str) -> None:
    register(
        Schema(
            type_,
            (2, 2),
            (1, 1),
            BROADCAST,
            input_names=("A", "B"),
            output_names=("C",),
            in_place=in_place,
            check=_check_broadcast,
            doc=doc,
        )
    )


for _type, _word in (("Add", "A + B"), ("Sub", "A - B"), ("Mul", "A * B")):
    _binary(
        _type,
        EITHER_INPUT,
        f"{_word}: int32, int64, float32 or float64. In place where that "
        "input has the output's shape.",
    )
for _type, _word in (
    ("LT", "A < B"),
    ("LE", "A <= B"),
    ("GT", "A > B"),
    ("GE", "A >= B"),
    ("EQ", "A == B"),
    ("NE", "A != B"),
):
    _binary(_type, (), f"{_word}, as bool: every dtype. A NaN is unequal to everything.")
for _type, _word in (("And", "A & B"), ("Or", "A | B"), ("Xor", "A ^ B")):
    _binary(_type, EITHER_INPUT, f"{_word}: bool.")


def _unary(type_: str, *args: Arg, doc: str) -> None:
    register(
        Schema(
            type_,
            (1, 1),
            (1, 1),
            args,
            input_names=("X",),
            output_names=("Y",),
            in_place=((0, 0),),
            doc=doc,
        )
    )


_unary("Not", doc="The other bool.")
_unary("Copy", doc="The same elements in another blob: every dtype.")
_unary("Relu", doc="The larger of X and 0; a NaN stays one. float32 or float64.")
_unary("Sigmoid", doc="1 / (1 + exp(-X)). float32 or float64.")
_unary("Scale", Arg("scale", "float", 1.0, "The factor."), doc="X * scale. float32 or float64.")

register(
    Schema(
        "Sum",
        (1, None),
        (1, 1),
        input_names=("data_0",),
        output_names=("sum",),
        in_place=ANY_PAIR,
        doc="The sum of tensors of one shape and dtype: int32, int64, float32 or float64.",
    )
)


def _check_pairs(op: OperatorDef) -> str | None:
    if len(op.input) % 2:
        return f"inputs come in pairs (X_i, weight_i), got {len(op.input)}"
    return None


register(
    Schema(
        "WeightedSum",
        (2, None),
        (1, 1),
        args=(
            Arg(
                "atomic",
                "bool",
                False,
                "In place on X_0, and weight_0 is 1: the rest is added to X_0, atomically for each "
                "element.",
            ),
        ),
        input_names=("X_0", "weight_0", "X_1", "weight_1"),
        output_names=("Y",),
        in_place=((0, 0),),
        check=_check_pairs,
        doc="The sum of weight_i * X_i, for tensors of one shape and one-element weights, all of "
        "them float32 or all float64. In place on X_0 it is a step of gradient descent; done so by "
        "several threads at once, it may lose updates, and with atomic=1 it loses none.",
    )
)
