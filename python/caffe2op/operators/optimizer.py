"""Steps of gradient descent: LearningRate, SGD, MomentumSGD, MomentumSGDUpdate, Adagrad, Adam,
SparseAdagrad. float32 or float64.

Formulas and signs are Caffe2's. MomentumSGDUpdate subtracts its step; SGD, Adagrad and Adam add
lr * gradient, so their learning rate is negative to descend (caffe2op.optimizer sees to it).

`update` says how parameters are written that others may write at the same time:

    "atomic"  nothing is lost, whoever else adds atomically. The default. A blob that optimizers and
              WeightedSum alone write is updated by vector loops, in turns of 32 KiB; memory of
              ShareBlob, or that others may write in single elements, by atomic instructions.
    "locked"  the whole step inside a mutex, by vector loops; nothing is lost among those who take
              the same mutex, and moments change together with their parameters. That is the last
              input: a mutex blob, or one int64 of any memory, shared with other processes
              (atomics.Mutex is the same word); without it, one that this process keeps for the
              parameter's address.
    "racy"    plain loads and stores, as Hogwild! has it; for parameters of one's own the fastest.

Moments of momentum and Adam are read and written plainly in every mode: give each worker its own,
or lock. Adagrad's moments are sums, and added to as its parameters are.

None blocks, but for the wait for a mutex, without the GIL, and for microseconds that for a turn.
Errors, when they run: another dtype
(TypeError), shapes that differ (ValueError), an index out of range (IndexError), before anything
is written.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from caffe2op.operators.schema import (
    Arg,
    Binding,
    Pairs,
    Schema,
    argument_values,
    lookup,
    register,
)

if TYPE_CHECKING:
    from caffe2op.core.defs import OperatorDef

MODES = ("atomic", "locked", "racy")
POLICIES = ("fixed", "step", "exp", "inv", "poly", "linearWarmup", "constantWarmup")


def _one_of(accepted: tuple[str, ...]) -> Callable[[Any], str | None]:
    return lambda v: None if v in accepted else f"must be one of {', '.join(accepted)}"


def _finite(value: float) -> str | None:
    return None if math.isfinite(value) else "must be finite"


def _at_least_0(value: float) -> str | None:
    return None if math.isfinite(value) and value >= 0 else "must be finite and at least 0"


def _positive(value: float) -> str | None:
    return None if value > 0 else "must be greater than 0"


def _fraction(value: float) -> str | None:
    return None if 0 <= value < 1 else "must be at least 0 and less than 1"


_UPDATE = Arg("update", "str", "atomic", "How parameters are written.", _one_of(MODES))


def _check_mutex(op: OperatorDef) -> str | None:
    schema = lookup(op.type)
    if len(op.input) == schema.inputs[0] or argument_values(op, schema)["update"] == "locked":
        return None
    return f"input {len(op.input) - 1} ({schema.input_names[-1]}) needs update='locked'"


def _optimizer(
    type_: str,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    *args: Arg,
    must: Pairs,
    doc: str,
    may: Pairs = (),
) -> None:
    n = len(inputs)
    register(
        Schema(
            type_,
            (n, n + 1),
            (len(outputs), len(outputs)),
            (*args, _UPDATE),
            input_names=(*inputs, "mutex"),
            output_names=outputs,
            in_place=may,
            enforce_in_place=must,
            check=_check_mutex,
            doc=doc,
        ),
        # A mutex that is given may be one that Python code holds.
        Binding(type_, blocks=lambda op: len(op.input) > n),
    )


_MOMENTUM = (
    Arg("momentum", "float", 0.0, "How much of the last step is in this one.", _finite),
    Arg("nesterov", "bool", False, "Nesterov's form."),
)
_EPSILON = Arg("epsilon", "float", 1e-5, "Added to the root below.", _at_least_0)

_optimizer(
    "SGD",
    ("param", "grad", "lr"),
    ("param",),
    must=((0, 0),),
    doc="param += lr * grad.",
)
register(
    Schema(
        "MomentumSGD",
        (3, 3),
        (2, 2),
        _MOMENTUM,
        input_names=("grad", "momentum", "lr"),
        output_names=("step", "momentum"),
        in_place=((0, 0), (1, 1)),
        doc="momentum' = momentum * its argument + lr * grad, which is the step too, or with "
        "nesterov the step is (1 + m) momentum' - m momentum. No parameter is touched.",
    )
)
_optimizer(
    "MomentumSGDUpdate",
    ("grad", "momentum", "lr", "param"),
    ("step", "momentum", "param"),
    *_MOMENTUM,
    must=((3, 2),),
    may=((0, 0), (1, 1)),
    doc="MomentumSGD, then param -= step.",
)
_optimizer(
    "Adagrad",
    ("param", "moment", "grad", "lr"),
    ("param", "moment"),
    _EPSILON,
    Arg("decay", "float", 1.0, "What the moment is multiplied by first.", _finite),
    must=((0, 0), (1, 1)),
    doc="moment = decay * moment + grad^2; param += lr * grad / (sqrt(moment) + epsilon).",
)
_optimizer(
    "Adam",
    ("param", "moment1", "moment2", "grad", "lr", "iter"),
    ("param", "moment1", "moment2"),
    Arg("beta1", "float", 0.9, "The decay of moment1.", _fraction),
    Arg("beta2", "float", 0.999, "The decay of moment2.", _fraction),
    _EPSILON,
    must=((0, 0), (1, 1), (2, 2)),
    doc="moment1 = beta1 moment1 + (1 - beta1) grad, moment2 likewise of grad^2; param += lr * "
    "sqrt(1 - beta2^t) / (1 - beta1^t) * moment1 / (sqrt(moment2) + epsilon), with t = iter + 1.",
)
_optimizer(
    "SparseAdagrad",
    ("param", "moment", "indices", "grad", "lr"),
    ("param", "moment"),
    _EPSILON,
    must=((0, 0), (1, 1)),
    doc="Adagrad on the rows of param and moment that `indices` (int32 or int64) select; grad has "
    "a row for each. A row that comes twice is stepped on twice, in turn.",
)

register(
    Schema(
        "LearningRate",
        (1, 1),
        (1, 1),
        (
            Arg("base_lr", "float", doc="What the policy's factor multiplies.", check=_finite),
            Arg("policy", "str", "fixed", "How the rate changes.", _one_of(POLICIES)),
            Arg("gamma", "float", 1.0, "Of step, exp and inv.", _at_least_0),
            Arg("stepsize", "int", 1, "Iterations of a step.", _positive),
            Arg("power", "float", 1.0, "Of inv and poly.", _finite),
            Arg("max_iter", "int", 1, "Where poly comes to 0.", _positive),
            Arg("num_iter", "int", 1, "Iterations of a warm-up.", _positive),
            Arg("start_multiplier", "float", 0.0, "The first factor of linearWarmup.", _finite),
            Arg("multiplier", "float", 0.5, "The factor of constantWarmup.", _finite),
        ),
        input_names=("iter",),
        output_names=("lr",),
        doc="lr (float32, 0-D) = base_lr times a factor of the iteration t, an int64 scalar: "
        "fixed 1; step gamma^(t // stepsize); exp gamma^t; inv (1 + gamma t)^-power; poly "
        "(1 - t / max_iter)^power; linearWarmup from start_multiplier to 1 over num_iter; "
        "constantWarmup multiplier, then 1.",
    )
)
