"""kept_plans.py: what is compiled goes with its plan and its workspace, and is never too much."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from small_plans import fill, plan_of

from caffe2op import core, workspace
from caffe2op.workspace import kept_plans
from caffe2op.workspace.compile import CompiledNet


@contextmanager
def no_collector() -> Iterator[None]:
    """What goes in here went because nothing referred to it."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def compiled_nets() -> int:
    return sum(type(thing) is CompiledNet for thing in gc.get_objects())


def test_it_goes_with_its_plan() -> None:
    with no_collector():
        before = compiled_nets()
        proto = plan_of(fill(1)).Proto()
        workspace.RunPlan(proto)
        assert compiled_nets() == before + 1
        del proto
        assert compiled_nets() == before


def test_it_goes_with_its_workspace() -> None:
    plan = plan_of(fill(1))
    with no_collector():
        before = compiled_nets()
        workspace.RunPlan(plan)
        assert compiled_nets() == before + 1
        workspace.ResetWorkspace()
        assert compiled_nets() == before


def test_a_reset_during_the_run(compilations: list[str]) -> None:
    """The run keeps its blobs, and what it compiled is not kept for those that come after."""
    make = core.Net("make")
    make.CreateBlobsQueue([], "queue", capacity=1, num_blobs=1)
    workspace.RunNetOnce(make)
    net = core.Net("take")
    net.DequeueBlobs(["queue"], ["x"])
    plan = plan_of(net)
    put = core.Net("put")
    put.EnqueueBlobs(["queue", "one"], ["one"])
    workspace.FeedBlob("one", 1.0)
    workspace.CreateNet(put)
    queue = workspace.current.workspace.net(put)
    before = compiled_nets()
    run = threading.Thread(target=workspace.RunPlan, args=(plan,))
    run.start()
    while not compilations or compiled_nets() == before:  # until it has its blobs
        assert run.is_alive()
        time.sleep(1e-4)
    workspace.ResetWorkspace()
    queue.run(False)
    run.join()
    with pytest.raises(ValueError, match="'queue' is not in the workspace"):
        workspace.RunPlan(plan)


def test_no_more_than_so_many_are_kept(compilations: list[str]) -> None:
    plans = [plan_of(fill(k, name=f"fill {k}"), f"plan {k}") for k in range(kept_plans.MOST + 1)]
    before = compiled_nets()
    for plan in plans:
        workspace.RunPlan(plan)
    assert compiled_nets() == before + kept_plans.MOST
    del compilations[:]
    for plan in reversed(plans):
        workspace.RunPlan(plan)
    assert compilations == ["plan 0"]


def test_functions_of_the_users_are_not_kept(compilations: list[str]) -> None:
    """One may refer to its own plan, in a circle that the workspace would be part of."""

    class Held:
        pass

    held = Held()
    net = core.Net("python")
    plan = plan_of(net)
    net.Python(lambda inputs, outputs, h=held, p=plan: None)([], [])
    before = sum(type(thing) is Held for thing in gc.get_objects())
    workspace.RunPlan(plan)
    workspace.RunPlan(plan)
    assert len(compilations) == 2
    del held, net, plan
    gc.collect()
    assert sum(type(thing) is Held for thing in gc.get_objects()) == before - 1
