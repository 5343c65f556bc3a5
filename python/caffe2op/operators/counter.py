"""Operators on a counter: a blob that holds one int64, changed atomically by any thread.

The kernels are in csrc/kernels_counter.c. Outputs are 0-D. Source of the semantics:
caffe2/operators/counter_ops.h.
"""

from __future__ import annotations

from caffe2op.operators.schema import Arg, Schema, register


def _not_negative(value: int) -> str | None:
    return None if value >= 0 else "must be at least 0"


_INIT_COUNT = Arg("init_count", "int", 0, "the count from then on, at least 0", _not_negative)

register(
    Schema(
        type="CreateCounter",
        inputs=(0, 0),
        outputs=(1, 1),
        args=(_INIT_COUNT,),
        output_names=("counter",),
        doc="Make a blob a counter that stands at init_count.",
    )
)

register(
    Schema(
        type="ResetCounter",
        inputs=(1, 1),
        outputs=(0, 1),
        args=(_INIT_COUNT,),
        input_names=("counter",),
        output_names=("previous",),
        mutates=(0,),
        doc="Set a counter to init_count; the optional output is the int64 count before.",
    )
)

register(
    Schema(
        type="CountUp",
        inputs=(1, 1),
        outputs=(1, 1),
        input_names=("counter",),
        output_names=("previous",),
        mutates=(0,),
        doc="Add 1 to a counter; the output is the int64 count before.",
    )
)

register(
    Schema(
        type="CountDown",
        inputs=(1, 1),
        outputs=(1, 1),
        input_names=("counter",),
        output_names=("done",),
        mutates=(0,),
        doc="""Take 1 from a counter, below zero too; the output is a bool: true when the count
    before was zero or less. So a counter that starts at n gives false n times, and then true.""",
    )
)

register(
    Schema(
        type="CheckCounterDone",
        inputs=(1, 1),
        outputs=(1, 1),
        input_names=("counter",),
        output_names=("done",),
        doc="Whether a counter's count is zero or less, as a bool; the count stays.",
    )
)

register(
    Schema(
        type="RetrieveCount",
        inputs=(1, 1),
        outputs=(1, 1),
        input_names=("counter",),
        output_names=("count",),
        doc="A counter's int64 count; it stays.",
    )
)
