"""What histories are recorded of: an object, how a worker uses it, and the model it must follow."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from linearizability import Model

from caffe2op import core, workspace
from caffe2op.atomics import AtomicArray


@dataclass(slots=True)
class Call:
    kind: str
    object: int = 0
    first: int = 0
    second: int = 0
    result: int = 0  # once it was made


Perform = Callable[[Call], int]


@dataclass
class Subject:
    """`make(workers)` gives what each worker performs its calls with; `script` what it calls, an
    endless stream that may look at the result of the call before."""

    name: str
    kinds: list[str]
    model: Model
    make: Callable[[int], list[Perform]]
    script: Callable[[random.Random, int, int], Iterator[Call]]
    objects: int = 1
    processes: bool = True  # it can be shared by processes
    told_of_deaths: bool = False


def meet(inside: AtomicArray) -> None:
    """For broken twins, in the midst of what should be one step: wait for another worker to be here
    too, but not for ever."""
    inside.fetch_add(0, 1)
    end = time.monotonic() + 0.005
    while inside.load(0) < 2 and time.monotonic() < end:
        os.sched_yield()
    inside.fetch_sub(0, 1)


names = iter(range(1 << 62))


def one_operator(prefix: str, build: Callable[[core.Net, str], object]) -> tuple[str, str]:
    """A net of one operator, made in the current workspace, and the blob of its result."""
    net = core.Net(f"{prefix}_{next(names)}")
    name = net.Name()  # another test may have had the other one
    build(net, f"{name}_result")
    workspace.CreateNet(net)
    return name, f"{name}_result"
