"""Operators on shared words: mutex, fetch-add, atomic bool, barrier, iteration counters.

The kernels are in csrc/kernels_atomic.c. All of them may run on the same blobs from any number
of threads at once. None has a gradient, and none waits for another operator: a mutex is held
only while one of these kernels changes a word.

Sources of the semantics: caffe2/operators/atomic_ops.cc, caffe2/sgd/iter_op.h. Where Caffe2
crashes or is silently wrong, here is an error (CreateMutex and the rest of the table in the
documentation of each operator below).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caffe2op.operators.schema import ONE_TO_ONE, Arg, Schema, register

if TYPE_CHECKING:
    from caffe2op.core.defs import OperatorDef


def _fetch_add_in_place(op: OperatorDef) -> str | None:
    at = len(op.input) - 2
    if op.input[at] != op.output[0]:
        return (
            f"output 0 must be input {at} (mut_value), {op.input[at]!r}, which it changes in "
            f"place; got {op.output[0]!r}"
        )
    return None


def _fetch_add(type_: str, dtype: str) -> Schema:
    return Schema(
        type=type_,
        inputs=(2, 3),
        outputs=(2, 2),
        input_names=("[mutex]", "mut_value", "increment"),
        output_names=("mut_value", "fetched"),
        # With two inputs mut_value is input 0, with three input 1; fetched may replace increment.
        in_place=((0, 0), (1, 0), (1, 1), (2, 1)),
        check=_fetch_add_in_place,
        doc=f"""Add an increment to a shared {dtype} scalar and give the value before.

        Inputs: mutex (optional), mut_value and increment, {dtype} tensors of exactly one element.
        Outputs: mut_value, the same blob as the input, whose shape stays; fetched, the value
        before the add, 0-D.

        Without the mutex it is one atomic instruction (lock-free); with it, the mutex is held
        meanwhile, so whoever else holds it sees the value stand still. The add is atomic in both
        forms: they mix, and no add is lost. It wraps at the ends of {dtype}, as C's unsigned
        arithmetic does. A wait for the mutex ends within 20 ms when the run is stopped.

        Errors, when it runs: another dtype (TypeError); an empty tensor or more than one element
        (ValueError).
        """,
    )


def _new_names(op: OperatorDef) -> str | None:
    if len(op.input) != len(op.output):
        return f"{len(op.input)} inputs but {len(op.output)} outputs; they must go one to one"
    return None


def _counted_in_place(op: OperatorDef) -> str | None:
    if op.input and op.input[0] != op.output[0]:
        return (
            f"output 0 must be input 0 (iter), {op.input[0]!r}, which it changes in place; "
            f"got {op.output[0]!r}"
        )
    return None


register(
    Schema(
        type="CreateMutex",
        inputs=(0, 0),
        outputs=(1, 1),
        output_names=("mutex",),
        doc="Make a blob an unlocked mutex. Whoever waits for the one before still waits for it.",
    )
)

register(_fetch_add("AtomicFetchAdd", "int32"))
register(_fetch_add("AtomicFetchAdd64", "int64"))

register(
    Schema(
        type="CreateAtomicBool",
        inputs=(0, 0),
        outputs=(1, 1),
        output_names=("atomic_bool",),
        doc="Make a blob an atomic bool, false.",
    )
)

register(
    Schema(
        type="ConditionalSetAtomicBool",
        inputs=(2, 2),
        outputs=(0, 0),
        input_names=("atomic_bool", "condition"),
        mutates=(0,),
        doc="""Set an atomic bool if the condition, a bool tensor of exactly one element, is true.

    It never clears one: only CreateAtomicBool makes it false again. Whoever then sees true
    (CheckAtomicBool) sees all that was written before it was set.
    """,
    )
)

register(
    Schema(
        type="CheckAtomicBool",
        inputs=(1, 1),
        outputs=(1, 1),
        input_names=("atomic_bool",),
        output_names=("value",),
        doc="The value of an atomic bool, as a bool tensor of shape (1,).",
    )
)

register(
    Schema(
        type="AsyncNetBarrier",
        inputs=(1, None),
        outputs=(1, None),
        in_place=ONE_TO_ONE,
        args=(
            Arg("cross_device", "bool", False, "Accepted for Caffe2's sake; there is one device."),
        ),
        check=_new_names,
        doc="""As many outputs as inputs, one to one; the effect is the ordering edges it adds.

    In place (output k is input k), which is the use, it does nothing. An output of another name
    becomes a copy of its input, which must be a tensor then (TypeError).
    """,
    )
)

register(
    Schema(
        type="Iter",
        inputs=(0, 1),
        outputs=(1, 1),
        input_names=("iter",),
        output_names=("iter",),
        in_place=((0, 0),),
        check=_counted_in_place,
        doc="""Count one more iteration in an int64 tensor of one element, in place.

    Without the input, an empty output starts as 0 with shape (1,), so it holds 1 after the first
    run. Errors, when it runs: another dtype or size (TypeError), a negative value (ValueError),
    2**63 - 1 (OverflowError); the value stays then. The count is atomic; making the blob in the
    first run is not.
    """,
    )
)

register(
    Schema(
        type="AtomicIter",
        inputs=(2, 2),
        outputs=(1, 1),
        input_names=("mutex", "iter"),
        output_names=("iter",),
        enforce_in_place=((1, 0),),
        doc="As Iter, on an iteration that must be there, while the mutex is held.",
    )
)
