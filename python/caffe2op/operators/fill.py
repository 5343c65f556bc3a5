"""Operators that make tensors: constants, given values, random numbers.

All of them take their shape in the same ways: from the argument `shape` (none: no dimensions,
one element); or from an input, whose shape they copy, or, with `input_as_shape`, whose int
elements they read. `extra_shape` is put behind a shape that comes from an input.

Random fills give float32. With `seed` every run gives the same numbers; without it every run
gives others. The generator is SplitMix64 (csrc/random.h). None of these blocks.

Names and arguments are Caffe2's; `seed` is an addition, as is a missing `shape` of a
GivenTensor*Fill, which then is the number of values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffe2op._core.dtypes import from_code
from caffe2op.operators.gradient import register_constant
from caffe2op.operators.schema import INT64_MAX, Arg, Schema, argument_values, lookup, register

if TYPE_CHECKING:
    from caffe2op.core.defs import OperatorDef

MAX_DIMS = 8


def _wrong_shape(shape: Sequence[int]) -> str | None:
    if len(shape) > MAX_DIMS or any(size < 0 for size in shape):
        return f"must have at most {MAX_DIMS} dimensions, none of them negative"
    return None


SHAPE = (
    Arg("shape", "ints", (), "The output's shape; not together with an input.", _wrong_shape),
    Arg("input_as_shape", "bool", False, "Input 0 holds the shape: int32 or int64, one dimension."),
    Arg("extra_shape", "ints", (), "Dimensions behind those that the input gives.", _wrong_shape),
)
SEED = Arg("seed", "int", None, "The stream of numbers; without it each run has its own.")


def _values(op: OperatorDef) -> dict[str, Any]:
    return argument_values(op, lookup(op.type))


def _check_shape(op: OperatorDef) -> str | None:
    given = {argument.name for argument in op.arg}
    if op.input and "shape" in given:
        return "the shape is given twice, by input 0 and by argument 'shape'"
    lost = given & {"input_as_shape", "extra_shape"}
    if lost and not op.input:
        return f"argument {min(lost)!r} is about an input, and there is none"
    return None


def misfit(value: float, dtype: np.dtype[Any]) -> bool:
    """Whether the element type cannot hold a number (that it rounds, as a float, does not count),
    or C does not get it: integers are passed as int64."""
    if dtype.kind == "b":
        return value not in (0, 1)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        most = min(limits.max, INT64_MAX)
        return not (limits.min <= value <= most and value == int(value))
    return math.isfinite(value) and abs(value) > float(np.finfo(dtype).max)


def _check_constant(op: OperatorDef) -> str | None:
    values = _values(op)
    dtype = from_code(values["dtype"])
    if misfit(values["value"], dtype):
        return f"argument 'value' must be one that {dtype} can hold, got {values['value']!r}"
    return _check_shape(op)


def _check_uniform(op: OperatorDef) -> str | None:
    values = _values(op)
    if values["min"] > values["max"]:
        return f"argument 'min' must be at most 'max', got {values['min']} and {values['max']}"
    return _check_shape(op)


def _unlike_float32(value: float) -> str | None:
    if not math.isfinite(value) or misfit(value, np.dtype(np.float32)):
        return "must be finite in float32"
    return None


def _negative(value: float) -> str | None:
    return "must not be negative" if value < 0 else _unlike_float32(value)


def _register(type_: str, *args: Arg, check: Any = _check_shape, doc: str) -> None:
    register_constant(type_)
    register(
        Schema(
            type_,
            (0, 1),
            (1, 1),
            (*SHAPE, *args),
            input_names=("shape_from",),
            output_names=("tensor",),
            in_place=((0, 0),),
            check=check,
            doc=doc,
        )
    )


_register(
    "ConstantFill",
    Arg("value", "number", 0.0, "What every element becomes; must fit the dtype."),
    Arg("dtype", "dtype", "float32", "The output's element type."),
    check=_check_constant,
    doc="A tensor of equal elements.",
)
_register(
    "UniformFill",
    Arg("min", "float", 0.0, "The least value.", _unlike_float32),
    Arg("max", "float", 1.0, "The bound above; reached only by rounding.", _unlike_float32),
    SEED,
    check=_check_uniform,
    doc="float32 numbers, evenly spread over [min, max).",
)
_register(
    "GaussianFill",
    Arg("mean", "float", 0.0, "The mean.", _unlike_float32),
    Arg("std", "float", 1.0, "The standard deviation.", _negative),
    SEED,
    doc="float32 numbers with a normal distribution (Box-Muller).",
)
_register(
    "XavierFill",
    SEED,
    doc="float32 numbers, evenly spread over +-sqrt(3 / fan_in), where fan_in is the number of "
    "elements per index of the first dimension (Glorot and Bengio 2010, fan-in alone).",
)


def _list_check(dtype: str) -> Any:
    def check(values: Sequence[float]) -> str | None:
        if any(misfit(value, np.dtype(dtype)) for value in values):
            return f"must be values that {dtype} can hold"
        return None

    return check


for _type, _kind, _dtype in (
    ("GivenTensorFill", "floats", "float32"),
    ("GivenTensorDoubleFill", "floats", "float64"),
    ("GivenTensorIntFill", "ints", "int32"),
    ("GivenTensorInt64Fill", "ints", "int64"),
    ("GivenTensorBoolFill", "bools", "bool"),
):
    _register(
        _type,
        Arg("values", _kind, doc="The elements, in C order.", check=_list_check(_dtype)),
        doc=f"A {_dtype} tensor of the given values.",
    )
