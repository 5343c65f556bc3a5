"""AsyncNet: a net, or a graph of functions, run in dependency order on several workers.

A run blocks its caller and releases the GIL; functions and Python operators take it for their
calls. `submit` and whatever describes a net or its runs return at once. Wrong arguments are a
TypeError or ValueError before anything runs; what an operator raises is raised by the run that it
was in, with a note that names it; a deadline is a TimeoutError, a stopped run a CancelledError.

Imports go one way:

    deadline -> future -> threads
    instance, devices -> barrier -> program, functions -> flight
    flight, draw -> observable
    arguments and all of these -> net

The C executor (csrc/async.c) decides how one run is done; here is what holds several runs of one
net: instances, futures, deadlines, threads; and what shows what they did.
"""

from caffe2op.asyncnet.barrier import AsyncBarrierOp, AsyncNetBarrier, AsyncNetBarrierOp
from caffe2op.asyncnet.future import RunFuture
from caffe2op.asyncnet.instance import Outputs
from caffe2op.asyncnet.net import AsyncNet
from caffe2op.asyncnet.rendezvous import Rendezvous
from caffe2op.workspace.observation import Event, Observer, TimeObserver

__all__ = [
    "AsyncBarrierOp",
    "AsyncNet",
    "AsyncNetBarrier",
    "AsyncNetBarrierOp",
    "Event",
    "Observer",
    "Outputs",
    "Rendezvous",
    "RunFuture",
    "TimeObserver",
]


def __dir__() -> list[str]:
    return sorted(__all__)
