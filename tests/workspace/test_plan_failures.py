"""Plans that fail: which error is raised, who stops, and what is refused before anything runs."""

import threading
import time

import numpy as np
import pytest
from small_plans import counting

from caffe2op import core, workspace
from caffe2op.workspace import run

step = core.execution_step


def forever(name: str = "forever") -> core.ExecutionStep:
    """A step that ends only by being stopped."""
    workspace.FeedBlob("never", False)
    return step(name, counting(), should_stop_blob="never")


def test_an_exception_in_a_concurrent_substep_is_raised_and_stops_the_siblings() -> None:
    def bad(inputs, outputs):
        while workspace.FetchBlob("n") < 10:  # the sibling runs by then
            time.sleep(0.001)
        raise LookupError("mine")

    net = core.Net("bad")
    net.Python(bad)([], [], name="thrower")
    with pytest.raises(LookupError, match="mine") as caught:
        workspace.RunPlan(step("all", [forever(), step("bad", net)], concurrent_substeps=True))
    assert f"net '{net}', operator 0: Python 'thrower'" in caught.value.__notes__[0]
    stopped_at = workspace.FetchBlob("n")
    assert workspace.RunPlan(step("again", counting()))
    assert workspace.FetchBlob("n") == stopped_at + 1


def test_a_native_failure_in_a_concurrent_substep() -> None:
    workspace.FeedBlob("x", np.ones(2))
    workspace.FeedBlob("y", np.ones(3))
    net = core.Net("bad")
    net.Add(["x", "y"], "z")
    with pytest.raises(ValueError, match=f"net '{net}', operator 0: Add: "):
        workspace.RunPlan(
            step("all", [forever(), forever(), step("bad", net)], concurrent_substeps=True)
        )


def test_a_reported_failure_ends_the_plan() -> None:
    no = core.Net("no")
    no.Python(lambda i, o: False)([], [], name="refuser")
    plan = core.Plan("p")
    plan.AddStep(step("first", no))
    plan.AddStep(step("second", counting()))
    with pytest.raises(RuntimeError, match="Python 'refuser': reported failure"):
        workspace.RunPlan(plan)
    assert workspace.FetchBlob("n") == 0


def test_of_several_exceptions_one_is_raised_and_the_others_are_dropped() -> None:
    barrier = threading.Barrier(4)

    def bad(inputs, outputs):
        barrier.wait(20)
        raise KeyError("mine")

    net = core.Net("bad")
    net.Python(bad)([], [])
    with pytest.raises(KeyError, match="mine"):
        workspace.RunPlan(step("all", net, num_concurrent_instances=4))
    assert run._raised == {}


def test_waiting_operators_are_stopped_by_a_siblings_failure() -> None:
    workspace.RunOperatorOnce(core.CreateOperator("CreateBlobsQueue", [], ["queue"]))
    take, bad = core.Net("take"), core.Net("bad")
    take.DequeueBlobs(["queue"], ["got"])
    bad.Python(lambda i, o: {}[3])([], [])
    with pytest.raises(KeyError):
        workspace.RunPlan(
            step("all", [step("take", take), step("bad", bad)], concurrent_substeps=True)
        )


# ---- what is refused before anything runs -------------------------------------------------------


def refused(plan: object, match: str, error: type[Exception] = ValueError) -> None:
    before = workspace.Blobs()
    with pytest.raises(error, match=match):
        workspace.RunPlan(plan)
    assert workspace.Blobs() == before


def test_contradictions_in_hand_made_plans() -> None:
    make = core.NetDef("make", [core.CreateOperator("CreateMutex", [], ["m"])])
    fine = core.ExecutionStepDef("fine", network=["make"])
    refused(core.PlanDef("p", [make, core.NetDef("make")], [fine]), "two nets are called 'make'")
    refused(
        core.PlanDef("p", [make], [fine, core.ExecutionStepDef("s", network=["mak"])]),
        "plan 'p', step 's': the plan has no net 'mak'; did you mean 'make'",
    )
    for wrong, message in [
        ({"num_iter": -1}, "num_iter"),
        ({"num_iter": 1, "should_stop_blob": "m"}, "exclude each other"),
        ({"only_once": True}, "only_once needs"),
        ({"substep": [fine]}, "never both"),
        ({"substep": [core.ExecutionStepDef("deep", num_iter=-1)], "network": []}, "step 'deep'"),
        ({"criteria_network": "make"}, "criteria_network is not supported"),
        ({"should_stop_blob": "nowhere"}, "should_stop_blob 'nowhere' is not in the workspace"),
    ]:
        bad = core.ExecutionStepDef("bad", **({"network": ["make"]} | wrong))
        refused(core.PlanDef("p", [make], [fine, bad]), message)
    workspace.RunPlan(core.PlanDef("p", [make], [fine]))
    assert workspace.HasBlob("m")


def test_nets_of_a_plan_are_checked_before_the_first_runs() -> None:
    broken = core.Net("broken")
    broken.Copy("missing", "y")
    plan = core.Plan("p")
    plan.AddStep(step("count", counting()))
    plan.AddStep(step("broken", broken))
    refused(plan, f"net '{broken}', operator 0.*'missing'")
    assert workspace.FetchBlob("n") == 0
    refused("plan", r"core\.Plan", TypeError)


def test_a_step_that_waits_for_nothing_cannot_stop() -> None:
    workspace.FeedBlob("stop", False)
    lonely = core.ExecutionStep("lonely")
    lonely.SetShouldStopBlob("stop")
    refused(lonely, "step 'lonely'.*nothing to run")
