"""Made, used, wrong and dropped, again and again: memory, objects, files and threads stay as many.

One leak of the large array of these bodies, in each of the measured calls, would be 24 MB; one
object each, 300 blocks of the interpreter's allocator.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from caffe2op import workspace
from caffe2op.asyncnet import AsyncNet
from caffe2op.atomics import AtomicArray, AtomicBool, Mutex, SharedArray
from caffe2op.core import Argument, ExecutionStepDef, NetDef, OperatorDef, PlanDef

LARGE = np.zeros(10_000)
CALLS = 300
refused = contextlib.suppress(Exception)


def wrong(*calls: Callable[[], Any]) -> None:
    for call in calls:
        with refused:
            call()


def arrays() -> None:
    array = AtomicArray(LARGE.copy())
    array.cell(3).compare_exchange(array.load(3), 10.0**9)
    array.add_at([1, 2], 1.0)
    array.array[0] = array.gather([1])[0]
    wrong(
        lambda: array.load(10**6),
        lambda: array.store(0, "x"),
        lambda: array.load(0, order="x"),
        lambda: array.add_at([10**6], 1),
        lambda: array.store(0, np.complex64(1)),
        lambda: array.wait(0, 0, -1),
        lambda: AtomicArray(b"x"),
        lambda: pickle.dumps(array),
    )


def locks() -> None:
    mutex, flag = Mutex(), AtomicBool()
    with mutex:
        wrong(lambda: mutex.acquire(timeout=-5), lambda: mutex.acquire())
    wrong(mutex.release)
    flag.set_if(flag.test_and_set())


def shared_memory() -> None:
    with SharedArray.create(8, np.uint64) as made:
        pickle.loads(pickle.dumps(made.atomic())).store(0, 1)
        wrong(lambda: made.mutex(99), made.boolean, lambda: SharedArray.attach(made.name + "x"))


def blobs() -> None:
    workspace.ResetWorkspace()
    for value in (LARGE, {"an": "object"}, 5):
        workspace.FeedBlob("x", value)
        workspace.FetchBlob("x")
    workspace.ShareBlob("x", LARGE.copy())
    wrong(
        lambda: workspace.FeedBlob("x", 5),
        lambda: workspace.FetchBlob("y"),
        lambda: workspace.FeedBlob("z", np.zeros(1, object)),
    )
    for type_ in ("CreateMutex", "CreateCounter", "CreateBlobsQueue"):
        workspace.RunOperatorOnce(OperatorDef(type_, [], ["q"]))
    workspace.RunOperatorOnce(OperatorDef("EnqueueBlobs", ["q", "x"], []))
    wrong(lambda: workspace.RunOperatorOnce(OperatorDef("Add", ["q", "x"], ["y"])))


def _boom(inputs: list[Any], outputs: list[Any]) -> None:
    outputs[0].feed(inputs[0].data)
    raise ValueError("boom")


FILL = OperatorDef("ConstantFill", [], ["a"], arg=[Argument("shape", ints=[10_000])])
BOOM = OperatorDef("Python", ["a"], ["b"], arg=[Argument("function", object=_boom)])


def nets() -> None:
    for type_ in ("simple", "dag"):
        net = NetDef("n", [FILL, OperatorDef("Sum", ["a", "a"], ["b"])], type_)
        workspace.CreateNet(net, overwrite=True)
        workspace.RunNet("n", 2)
        wrong(
            lambda t=type_: workspace.RunNetOnce(NetDef("m", [FILL, BOOM], t)),
            lambda: workspace.CreateNet(NetDef("m", [OperatorDef("Sum", ["no"], ["b"])])),
        )


def plans() -> None:
    defs = [NetDef("n", [FILL]), NetDef("m", [FILL, BOOM])]
    step = ExecutionStepDef(
        "s", network=["n"], num_iter=2, num_concurrent_instances=2, create_workspace=True
    )
    workspace.RunPlan(PlanDef("p", defs, [step]))
    both = [ExecutionStepDef("t", network=["n"], num_iter=9), ExecutionStepDef("u", network=["m"])]
    wrong(
        lambda: workspace.RunPlan(
            PlanDef("p", defs, [ExecutionStepDef("s", both, concurrent_substeps=True)])
        )
    )


def async_nets() -> None:
    workspace.FeedBlob("x", LARGE)
    with AsyncNet(NetDef("n", [OperatorDef("Sum", ["x", "x"], ["y"])]), workers=2) as net:
        net.run()
        net.submit({"x": LARGE}).result()
        wrong(lambda: net.submit({"x": np.zeros(1, object)}).result())
    with AsyncNet.from_functions({"f": lambda x: 1 / x}, [("x", "f")], workers=2) as net:
        wrong(lambda: net.submit({"x": 0}).result(60))


def resident() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(
    "body",
    [arrays, locks, shared_memory, blobs, nets, plans, async_nets],
    ids=lambda body: body.__name__,
)
def test_nothing_is_left_behind(body: Callable[[], None]) -> None:
    def measure() -> tuple[int, int, int, int]:
        gc.collect()
        return (
            resident(),
            sys.getallocatedblocks(),
            len(os.listdir("/proc/self/fd")),
            threading.active_count(),
        )

    growth = []
    for _ in range(3):  # the least of them: caches fill once
        before = measure()
        for _ in range(CALLS):
            body()
        growth.append([b - a for a, b in zip(before, measure(), strict=True)])
    workspace.ResetWorkspace()
    memory, blocks, files, threads = map(min, zip(*growth, strict=True))
    assert memory < 8 << 20, growth
    assert blocks < CALLS, growth
    assert files <= 0, growth
    assert threads < 10, growth  # those of the last nets may be about to end
