"""Operators on a bounded queue of tuples of tensors, for any number of producers and consumers.

The kernels are in csrc/kernels_queue.c, the queue itself in csrc/queue.c. Elements are copied
on the way in and out. Waiting blocks the thread, without the GIL; it ends within 20 ms when the
run is stopped. Replacing or freeing the blob closes its queue.

Sources of the semantics: caffe2/queue/queue_ops.h, blobs_queue.cc. Two differences: the blobs
that were enqueued keep their contents (Caffe2 swaps the buffers out of them); and a closed queue
takes nothing more (Caffe2's takes on while it has room, and a consumer that was told of the end
misses that).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from caffe2op.operators.schema import Arg, Schema, register

if TYPE_CHECKING:
    from caffe2op.core.defs import OperatorDef

MAX_CAPACITY = 2**31 - 1
MAX_BLOBS = 1024


def _capacity(value: int) -> str | None:
    return None if 1 <= value <= MAX_CAPACITY else f"must be from 1 to {MAX_CAPACITY}"


def _num_blobs(value: int) -> str | None:
    return None if 1 <= value <= MAX_BLOBS else f"must be from 1 to {MAX_BLOBS}"


def _timeout(value: float) -> str | None:
    ok = math.isfinite(value) and value >= 0
    return None if ok else "must be a finite number of seconds, at least 0 (0: no timeout)"


def _blobs_in_place(op: OperatorDef, blobs: list[str]) -> str | None:
    if blobs and blobs != op.input[1:]:
        return (
            f"the outputs must be the blobs that go in, {op.input[1:]}, in the same order; "
            f"got {blobs}"
        )
    return None


def _enqueue(op: OperatorDef) -> str | None:
    return _blobs_in_place(op, op.output)


def _safe_enqueue(op: OperatorDef) -> str | None:
    if op.output[-1] in op.input:
        return f"the last output, the status, must be a blob of its own; got {op.output[-1]!r}"
    return _blobs_in_place(op, op.output[:-1])


# Output k is input k + 1; the check says more than a list of pairs could.
_SHIFTED = tuple((k + 1, k) for k in range(MAX_BLOBS))

register(
    Schema(
        type="CreateBlobsQueue",
        inputs=(0, 0),
        outputs=(1, 1),
        args=(
            Arg("capacity", "int", 1, "tuples that the queue holds at the most", _capacity),
            Arg("num_blobs", "int", 1, "tensors in a tuple", _num_blobs),
        ),
        output_names=("queue",),
        doc="Make a blob an empty queue. The one before, if any, is closed.",
    )
)

register(
    Schema(
        type="EnqueueBlobs",
        inputs=(2, MAX_BLOBS + 1),
        outputs=(0, MAX_BLOBS),
        input_names=("queue",),
        in_place=_SHIFTED,
        waits=True,
        check=_enqueue,
        mutates=(0,),
        doc="""Put copies of the blobs, which are tensors, behind the queue; waits while it is full.

    Outputs: the same blobs, or none. Fails when the queue is closed, before or while it waits.
    As many blobs as the queue's num_blobs (ValueError, when it runs).
    """,
    )
)

register(
    Schema(
        type="DequeueBlobs",
        inputs=(1, 1),
        outputs=(1, MAX_BLOBS),
        args=(Arg("timeout_secs", "float", 0.0, "how long it waits; 0: for ever", _timeout),),
        input_names=("queue",),
        waits=True,
        mutates=(0,),
        doc="""Take the oldest tuple into the outputs; waits while the queue is empty.

    Fails once the queue is closed and empty, and when nothing came within timeout_secs.
    """,
    )
)

register(
    Schema(
        type="CloseBlobsQueue",
        inputs=(1, 1),
        outputs=(0, 0),
        input_names=("queue",),
        mutates=(0,),
        doc="Close a queue: nothing more goes in; what is inside can still be taken.",
    )
)

register(
    Schema(
        type="SafeEnqueueBlobs",
        inputs=(2, MAX_BLOBS + 1),
        outputs=(1, MAX_BLOBS + 1),
        input_names=("queue",),
        in_place=_SHIFTED,
        waits=True,
        check=_safe_enqueue,
        mutates=(0,),
        doc="""As EnqueueBlobs, with a last output more: a 0-D bool, true when the queue was closed
    (and nothing was put). A closed queue is no failure.""",
    )
)

register(
    Schema(
        type="SafeDequeueBlobs",
        inputs=(1, 1),
        outputs=(2, MAX_BLOBS + 1),
        input_names=("queue",),
        waits=True,
        mutates=(0,),
        doc="""As DequeueBlobs without a timeout, with a last output more: a 0-D bool, true once the
    queue is closed and empty (and the other outputs stay as they were). That is no failure: the
    status may be the should_stop_blob of a step.""",
    )
)
