"""AsyncNet: a net, or a graph of functions, run in dependency order on several workers.

Imports go one way: deadline -> future -> threads -> instance -> program, functions -> flight ->
net. The C executor (csrc/async.c) decides how one run is done; here is what holds several runs
of one net: instances, futures, deadlines, threads.
"""

from caffe2op.asyncnet.future import RunFuture
from caffe2op.asyncnet.instance import Outputs
from caffe2op.asyncnet.net import AsyncNet

__all__ = ["AsyncNet", "Outputs", "RunFuture"]
