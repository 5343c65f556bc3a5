"""Small nets, and plans of one net, for the tests of plans."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe2op import core, workspace


def counting(blob: str = "n") -> core.Net:
    """A net that adds 1 to an int64 blob."""
    if not workspace.HasBlob(blob):
        workspace.FeedBlob(blob, np.int64(0))
        workspace.FeedBlob("one", np.int64(1))
    net = core.Net(f"count {blob}")
    net.AtomicFetchAdd64([blob, "one"], [blob, f"{blob} before"])
    return net


def fill(value: float, blob: str = "x", name: str = "fill") -> core.Net:
    net = core.Net(name)
    net.ConstantFill([], blob, shape=[2], value=value)
    return net


def plan_of(net: core.Net, name: str = "plan", **how: Any) -> core.Plan:
    plan = core.Plan(name)
    plan.AddStep(core.execution_step("step", net, **how))
    return plan


def x() -> Any:
    return workspace.FetchBlob("x")


def counting_plan(num_iter: int | None = None) -> core.Plan:
    """Adds 1 to n, which starts at 0, so often."""
    net = counting()
    workspace.FeedBlob("n", np.int64(0))
    return plan_of(net, num_iter=num_iter)
