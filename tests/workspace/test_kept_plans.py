"""kept_plans.py: a plan is compiled again exactly when what it was compiled from has changed.

The twin of a kept plan is a copy of its definition, which no workspace has seen before.
"""

from __future__ import annotations

import copy
import random
import threading
import time
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from small_plans import counting_plan, fill, plan_of, x

from caffe2op import core, workspace
from caffe2op.core.defs import (
    Argument,
    DeviceOption,
    ExecutionStepDef,
    NetDef,
    OperatorDef,
    PlanDef,
)
from caffe2op.operators import schema
from caffe2op.workspace import kept_plans

step = core.execution_step


# ---- kept ---------------------------------------------------------------------------------------


def test_what_has_not_changed_is_compiled_once(compilations: list[str]) -> None:
    plan = counting_plan()
    for runs in range(1, 4):
        workspace.RunPlan(plan)
        assert workspace.FetchBlob("n") == runs
    workspace.RunPlan(plan.Proto())  # the same definition
    workspace.FeedBlob("n", np.int64(40))
    workspace.FeedBlob("one", np.int64(2))
    workspace.CreateBlob("something else")
    workspace.RunPlan(plan)
    assert workspace.FetchBlob("n") == 42
    assert compilations == ["plan"]


def test_a_step_given_by_itself(compilations: list[str]) -> None:
    net = fill(1)
    alone = step("alone", net)
    for _ in range(3):
        workspace.RunPlan(alone)
    assert compilations == ["alone"]
    net.Proto().op[0].output[0] = "y"
    workspace.RunPlan(alone)
    assert workspace.FetchBlob("y").tolist() == [1, 1]


def test_a_plan_that_failed_runs_again(compilations: list[str]) -> None:
    plan = counting_plan()
    workspace.RunPlan(plan)
    workspace.FeedBlob("one", np.float32(1))
    for _ in range(2):
        with pytest.raises(TypeError, match="one"):
            workspace.RunPlan(plan)
    workspace.FeedBlob("one", np.int64(1))
    workspace.RunPlan(plan)
    assert workspace.FetchBlob("n") == 2
    assert compilations == ["plan"]


def test_two_runs_at_the_same_time(compilations: list[str]) -> None:
    """Each waits at the queue until both are inside."""
    make = core.Net("make")
    make.CreateBlobsQueue([], "queue", capacity=2, num_blobs=1)
    workspace.RunNetOnce(make)
    net = core.Net("take")
    net.DequeueBlobs(["queue"], ["x"])
    plan = plan_of(net)
    runs = [threading.Thread(target=workspace.RunPlan, args=(plan,)) for _ in range(2)]
    for thread in runs:
        thread.start()
    while len(compilations) < 2:  # the first still has what it compiled
        assert all(thread.is_alive() for thread in runs)
        time.sleep(1e-4)
    put = core.Net("put")
    for _ in runs:
        put.EnqueueBlobs(["queue", "one"], ["one"])
    workspace.FeedBlob("one", 1.0)
    workspace.RunNetOnce(put)
    for thread in runs:
        thread.join()
    workspace.RunNetOnce(put)
    workspace.RunPlan(plan)
    workspace.RunPlan(plan)
    assert compilations == ["plan", "plan"]


# ---- changed ------------------------------------------------------------------------------------


def test_changes_of_the_net_are_seen() -> None:
    net = fill(1)
    plan = plan_of(net)
    proto = net.Proto()
    workspace.RunPlan(plan)
    proto.op[0].arg[1].i = 5
    workspace.RunPlan(plan)
    assert x().tolist() == [5, 5]
    proto.op[0].arg[0].ints.append(2)  # type: ignore[union-attr]
    workspace.RunPlan(plan)
    assert x().shape == (2, 2)
    net.Scale(["x"], ["x"], scale=2.0)
    workspace.RunPlan(plan)
    assert x()[0, 0] == 10
    proto.op[1].arg[0].f = 3.0
    workspace.RunPlan(plan)
    assert x()[0, 0] == 15
    del proto.op[1]
    workspace.RunPlan(plan)
    assert x()[0, 0] == 5
    proto.op[0] = core.CreateOperator("ConstantFill", [], ["x"], shape=[1], value=0.0)
    workspace.RunPlan(plan)
    assert not np.signbit(x()[0])
    next(a for a in proto.op[0].arg if a.name == "value").f = -0.0  # which equals 0.0
    workspace.RunPlan(plan)
    assert np.signbit(x()[0])


def test_changes_of_the_steps_are_seen() -> None:
    plan = counting_plan(num_iter=3)
    proto = plan.Proto()
    workspace.RunPlan(plan)
    proto.execution_step[0].num_iter = 10
    workspace.RunPlan(plan)
    assert workspace.FetchBlob("n") == 13
    proto.execution_step.append(proto.execution_step[0])
    workspace.RunPlan(plan)
    assert workspace.FetchBlob("n") == 33
    plan.AddStep(step("more", fill(7)))
    workspace.RunPlan(plan)
    assert x().tolist() == [7, 7]


def test_what_becomes_wrong_is_refused_and_what_is_right_again_runs() -> None:
    net = fill(1)
    plan = plan_of(net)
    op = net.Proto().op[0]
    workspace.RunPlan(plan)
    wrong: list[tuple[Any, str, Any, str]] = [
        (op, "type", "ConstantFil", "unknown operator type 'ConstantFil'"),
        (op, "control_input", ["nowhere"], "nowhere"),
        (op, "output", [], "output"),
        (op, "output", 3, "output"),
        (op.arg[0], "name", "shap", "shap"),
        (op, "device_option", DeviceOption(1), "device_type 1"),
        (net.Proto(), "type", "simpel", "simpel"),
        (net.Proto(), "op", None, "'op'"),
        (net.Proto(), "external_output", ["y"], "y"),
        (plan.Proto().execution_step[0], "num_iter", -1, "num_iter"),
        (plan.Proto().execution_step[0], "num_iter", True, "num_iter"),
        (plan.Proto().execution_step[0], "network", ["gone"], "gone"),
        (plan.Proto(), "network", [], net.Name()),
    ]
    plan.Proto().execution_step[0].num_iter = 1
    for definition, field, value, message in wrong:
        old = getattr(definition, field)
        setattr(definition, field, value)
        for _ in range(2):
            with pytest.raises((TypeError, ValueError), match=message):
                workspace.RunPlan(plan)
        setattr(definition, field, old)
        workspace.RunPlan(plan)


ANY: dict[type, Any] = {
    Argument: Argument("a", 1),
    DeviceOption: DeviceOption(),
    OperatorDef: OperatorDef("A", ["b"], ["c"], arg=[Argument("a")], device_option=DeviceOption()),
    NetDef: NetDef("n", [OperatorDef()], arg=[Argument("a")], device_option=DeviceOption()),
    ExecutionStepDef: ExecutionStepDef("s", [ExecutionStepDef("t")], ["n"]),
    PlanDef: PlanDef("p", [NetDef("n")], [ExecutionStepDef("s")]),
}


def plan_with(definition: Any) -> PlanDef:
    if isinstance(definition, PlanDef):
        return definition
    if isinstance(definition, ExecutionStepDef):
        return PlanDef("p", [], [ExecutionStepDef("over", [definition])])
    if isinstance(definition, NetDef):
        return PlanDef("p", [definition])
    if isinstance(definition, OperatorDef):
        return plan_with(NetDef("n", [definition]))
    if isinstance(definition, Argument):
        return plan_with(OperatorDef("A", arg=[definition]))
    return plan_with(OperatorDef("A", device_option=definition))


@pytest.mark.parametrize(
    ("cls", "field"), [(cls, field.name) for cls in ANY for field in fields(cls)]
)
def test_every_field_counts(cls: type, field: str) -> None:
    definition = copy.deepcopy(ANY[cls])
    plan = plan_with(definition)
    before = kept_plans.values_of(plan)
    assert before is not None
    again = kept_plans.values_of(plan)
    assert again is not None
    assert kept_plans.same(before, again)
    old = getattr(definition, field)
    others: list[Any] = [None if old is not None else "else"]
    if isinstance(old, list):
        others = [[], [*old, old[0]]] if old else [["one"], ["one", "two"]]
    for new in others:
        setattr(definition, field, new)
        after = kept_plans.values_of(plan)
        assert after is None or not kept_plans.same(before, after)


def test_a_type_that_is_replaced(compilations: list[str]) -> None:
    plan = plan_of(fill(1))
    workspace.RunPlan(plan)
    builtin = schema.entry("ConstantFill")
    strict = schema.Schema("ConstantFill", (0, 1), (2, 2), builtin[0].args)
    schema.register(strict, builtin[1], replace=True)
    try:
        with pytest.raises(ValueError, match="2 outputs accepted, got 1"):
            workspace.RunPlan(plan)
    finally:
        schema.register(*builtin, replace=True)
    workspace.RunPlan(plan)
    assert len(compilations) == 3


def mutations(plan: core.Plan, net: core.Net, rng: random.Random) -> None:
    """One random change, after which the plan is still right."""
    ops, steps = net.Proto().op, plan.Proto().execution_step
    kind = rng.randrange(7)
    if kind == 0:
        steps[0].num_iter = rng.randrange(4)
    elif kind == 1:
        net.Add(["x", "x"], ["x"])
    elif kind == 2:
        net.Scale(["x"], ["y"], scale=rng.choice([0.0, -0.0, 2.0]))
    elif kind == 3 and len(ops) > 1:
        del ops[-1]
    elif kind == 4:
        ops[0].arg[1].i = rng.randrange(3)
    elif kind == 5:
        net.Proto().type = rng.choice(["simple", "dag", ""])
    else:
        steps[0].concurrent_substeps = rng.random() < 0.5


def test_kept_is_as_good_as_new() -> None:
    rng = random.Random(5)
    net = fill(1)
    plan = plan_of(net)
    workspace.SwitchWorkspace("twin", create_if_missing=True)
    workspace.ResetWorkspace()
    for _ in range(300):
        if rng.random() < 0.7:
            mutations(plan, net, rng)
        found = []
        for name, given in (("default", plan.Proto()), ("twin", copy.deepcopy(plan.Proto()))):
            workspace.SwitchWorkspace(name)
            for blob in "xy":
                workspace.FeedBlob(blob, np.full(2, -1, np.float32))
            workspace.RunPlan(given)
            found.append([value.tobytes() for value in workspace.FetchBlobs(["x", "y"])])
        assert found[0] == found[1]


# ---- workspaces ---------------------------------------------------------------------------------


def test_after_a_reset_the_blobs_are_new(compilations: list[str]) -> None:
    plan = plan_of(fill(1))
    workspace.RunPlan(plan)
    workspace.ResetWorkspace()
    assert not workspace.HasBlob("x")
    workspace.RunPlan(plan)
    assert x().tolist() == [1, 1]
    assert len(compilations) == 2


def test_after_a_reset_the_sources_are_gone() -> None:
    plan = counting_plan()
    workspace.RunPlan(plan)
    workspace.ResetWorkspace()
    with pytest.raises(ValueError, match="'n' is not in the workspace"):
        workspace.RunPlan(plan)


def test_each_workspace_has_its_own(compilations: list[str]) -> None:
    plan = counting_plan()
    for name in ("default", "other", "default", "other"):
        workspace.SwitchWorkspace(name, create_if_missing=True)
        if name == "other" and not workspace.HasBlob("n"):
            workspace.FeedBlob("n", np.int64(100))
            workspace.FeedBlob("one", np.int64(10))
        workspace.RunPlan(plan)
    assert workspace.FetchBlob("n") == 120
    workspace.ResetWorkspace()
    workspace.SwitchWorkspace("default")
    assert workspace.FetchBlob("n") == 2
    assert len(compilations) == 2


def test_a_name_that_a_childs_blob_had_before(compilations: list[str]) -> None:
    """A plan with child workspaces is not kept: whose blob a name is may change."""
    plan = plan_of(fill(1), create_workspace=True)
    workspace.RunPlan(plan)
    assert not workspace.HasBlob("x")
    workspace.FeedBlob("x", np.zeros(2, np.float32))
    workspace.RunPlan(plan)
    assert x().tolist() == [1, 1]
    assert len(compilations) == 2
