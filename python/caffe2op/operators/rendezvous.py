"""The operator with which nets that run at the same time wait for each other.

The kernel is in csrc/kernels_rendezvous.c; asyncnet.Rendezvous is the same thing for threads and
processes, on the same word.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from caffe2op.operators.schema import ANY_PAIR, Arg, Schema, register

if TYPE_CHECKING:
    from caffe2op.core.defs import OperatorDef


def _parties(value: int) -> str | None:
    return None if 1 <= value < 2**31 else "must be from 1 to 2**31 - 1"


def _timeout(value: float) -> str | None:
    return None if math.isfinite(value) and value >= 0 else "must be a finite number, 0 or more"


def _in_place(op: OperatorDef) -> str | None:
    if op.output and op.output != op.input[1:]:
        return f"the outputs must be the inputs after the first, {op.input[1:]}; got {op.output}"
    return None


register(
    Schema(
        type="Rendezvous",
        inputs=(1, None),
        outputs=(0, None),
        input_names=("word",),
        in_place=ANY_PAIR,
        args=(
            Arg("parties", "int", doc="How many must come.", check=_parties),
            Arg(
                "timeout",
                "float",
                None,
                "Seconds to wait for the others; without it, for ever.",
                check=_timeout,
            ),
        ),
        waits=True,
        check=_in_place,
        doc="""Wait until as many operators (or threads) as there are parties wait on the same word.

    Inputs: an int64 tensor of exactly one element, zero at first; then blobs that are outputs
    too, in place, for the order that this gives within a net.

    Blocks its thread, without the GIL. It can be used again at once: the next meeting has as many
    parties. Errors, when it runs: the others did not come in time (TimeoutError; this party takes
    its arrival back, and the others go on waiting); another dtype or size (TypeError,
    ValueError). A stopped run ends the wait within 20 ms.
    """,
    )
)
