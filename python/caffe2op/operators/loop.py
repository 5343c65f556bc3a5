"""While: a net as one operator, run again and again in C as long as a blob holds true.

    batch = core.Net("batch")                        # one iteration
    ...
    more = core.Net("more")                          # makes the condition
    more.CheckAtomicBool("stop", "stopped")
    more.Not("stopped", "go")

    net.While(["go"], [], loop_net=batch, cond_net=more)

So what repeats can be an operator of any net, and operators of an AsyncNet are workers that each
have a loop of their own: there is one call into C from the first iteration to the last.

What orders the operator in its net are its own inputs and outputs, as for any other. What the inner
nets read and write beyond these is shared with whatever runs at the same time, as it is for
concurrent substeps of a plan, and is for atomic operators or a mutex to order. Name as inputs and
outputs what the rest of the net takes from the loop and gives to it.

The names, and what they mean, are those of Caffe2 (caffe2/operators/while_op.h). The kernel is in
csrc/kernels_loop.c.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from caffe2op._core import ffi
from caffe2op.operators.schema import ANY_PAIR, Arg, Binding, Schema, register

if TYPE_CHECKING:
    from caffe2op.core.defs import NetDef, OperatorDef


def _net(value: Any) -> str | None:
    from caffe2op.core.defs import NetDef  # it imports this package

    return None if isinstance(value, NetDef) else "must be a core.Net or a NetDef"


def _net_or_none(value: Any) -> str | None:
    return None if value is None else _net(value)


def _handle(op: OperatorDef, build: Callable[[str, NetDef], Any]) -> Any:
    """The c2_loop. The test is built first: it runs first, and may make blobs for the body."""
    nets = {a.name: a.value for a in op.arg}
    order = [name for name in ("cond_net", "loop_net") if nets.get(name) is not None]
    built = {name: build(name, nets[name]) for name in order}
    return ffi.new("c2_loop *", (built["loop_net"], built.get("cond_net", ffi.NULL)))


register(
    Schema(
        "While",
        inputs=(1, None),
        outputs=(0, None),
        input_names=("condition",),
        in_place=ANY_PAIR,
        mutates=(0,),
        args=(
            Arg("loop_net", "object", doc="the net of one iteration", check=_net),
            Arg(
                "cond_net",
                "object",
                None,
                "a net that makes the condition, before the first iteration and after each",
                _net_or_none,
            ),
        ),
        waits=True,
        doc="""Run a net again and again, as long as the condition is true.

    Inputs: condition, a bool of exactly one element; then, and as outputs, any blobs that order
    this operator among others: the inner nets find their blobs in the operator's workspace by
    name, and these need not be listed. Without cond_net the body changes the condition. Two
    operators with one condition are ordered.

    Blocks its thread, without the GIL but for Python operators within. Both nets run in program
    order, whatever their type. A failure within ends the run, and names the inner operator; a
    stopped run ends the loop after the operator that is running. Errors, when a net with it is
    made: whatever is wrong with the inner nets, a net inside itself (ValueError); when it runs: a
    condition of another dtype or size (TypeError, ValueError).
    """,
    ),
    Binding("While", inner=_handle),
)
