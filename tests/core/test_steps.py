"""Steps and plans: what they hold, and every contradiction refused where it is made."""

import pytest

from caffe2op import core


def net(name: str = "net") -> core.Net:
    return core.Net(name)


def test_a_step_over_nets() -> None:
    a, b = net("a"), net("b")
    step = core.execution_step("both", [a, b], num_iter=3)
    assert step.Proto().network == [a.Name(), b.Name()]
    assert (step.Name(), step.Proto().num_iter) == ("both", 3)
    assert step.HasNets()
    assert not step.HasSubsteps()
    assert step.Nets() == [a, b]
    assert core.ExecutionStep("one", a).Nets() == [a]


def test_a_step_over_steps() -> None:
    shared = net()
    one = core.execution_step("one", shared)
    two = core.execution_step("two", shared)
    parent = core.execution_step(
        "parent",
        [one, two],
        concurrent_substeps=True,
        num_concurrent_instances=3,
        create_workspace=True,
        run_every_ms=5,
        should_stop_blob=core.BlobReference("stop"),
        only_once=True,
    )
    proto = parent.Proto()
    assert proto.substep == [one.Proto(), two.Proto()]
    assert (proto.concurrent_substeps, proto.num_concurrent_instances) == (True, 3)
    assert (proto.create_workspace, proto.run_every_ms) == (True, 5)
    assert (proto.should_stop_blob, proto.only_once) == ("stop", True)
    assert parent.Substeps() == [one, two]
    assert parent.Nets() == [shared]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"num_iter": 2, "should_stop_blob": "s"}, "exclude each other"),
        ({"only_once": True}, "only_once needs a should_stop_blob"),
        ({"only_once": True, "num_iter": 2}, "only_once needs a should_stop_blob"),
        ({"num_iter": -1}, "num_iter must be an int of 0 or more, got -1"),
        ({"num_iter": 1.5}, "num_iter must be an int of 0 or more, got 1.5"),
        ({"num_iter": True}, "num_iter must be an int of 0 or more, got True"),
        (
            {"num_concurrent_instances": 0},
            "num_concurrent_instances must be an int from 1 to 65536",
        ),
        ({"run_every_ms": -5}, "run_every_ms must be an int from 0 to 1000000000000, got -5"),
        ({"report_interval": 5}, "report_net and report_interval go together"),
        ({"concurrent_substeps": "yes"}, "concurrent_substeps must be a bool, got 'yes'"),
    ],
)
def test_contradictions(kwargs, message) -> None:
    with pytest.raises(ValueError, match=f"step 'wrong': .*{message}"):
        core.execution_step("wrong", net(), **kwargs)


def test_unknown_keywords_and_children() -> None:
    with pytest.raises(TypeError, match="num_iterations"):
        core.execution_step("s", net(), num_iterations=3)
    with pytest.raises(TypeError, match=r"expected a core\.Net, got 'net'"):
        core.execution_step("s", ["net"])
    with pytest.raises(TypeError, match="non-empty string"):
        core.execution_step("", net())


def test_nets_or_substeps_never_both() -> None:
    step = core.execution_step("s", net())
    with pytest.raises(ValueError, match="nets or substeps, never both"):
        step.AddSubstep(core.execution_step("child", net()))
    parent = core.execution_step("p", [core.execution_step("child", net())])
    with pytest.raises(ValueError, match="nets or substeps, never both"):
        parent.AddNet(net())
    with pytest.raises(ValueError, match="nets or substeps, never both"):
        core.execution_step("mixed", [core.execution_step("child", net()), net()])
    by_hand = core.ExecutionStep("hand")
    by_hand.Proto().network.append("n")
    by_hand.Proto().substep.append(core.ExecutionStepDef("child"))
    with pytest.raises(ValueError, match="nets or substeps, never both"):
        core.Plan("p").AddStep(by_hand)


def test_setters_refuse_and_leave_the_step_as_it_was() -> None:
    step = core.ExecutionStep("s", net())
    step.SetIter(4)
    with pytest.raises(ValueError, match="exclude each other"):
        step.SetShouldStopBlob("stop")
    assert step.Proto().should_stop_blob == ""
    step.SetReportNet(net("report"), 100)
    with pytest.raises(ValueError, match="report_interval"):
        step.SetReportNet(net("report"), 0)
    assert step.Proto().report_interval == 100
    step.SetOnlyOnce(True)  # the blob may come later ...
    with pytest.raises(ValueError, match="only_once needs a should_stop_blob"):
        core.Plan("p").AddStep(step)  # ... but it has to come


def test_a_step_that_is_used_cannot_change() -> None:
    child = core.execution_step("child", net())
    parent = core.execution_step("parent", [child])
    core.Plan("p").AddStep(parent)
    for step in (child, parent):
        with pytest.raises(ValueError, match="no longer be changed"):
            step.SetIter(2)
    with pytest.raises(ValueError, match="no longer be changed"):
        child.AddNet(net())


def test_plans_collect_nets_and_refuse_two_of_one_name() -> None:
    a = net("a")
    plan = core.Plan("plan")
    plan.AddStep(core.execution_step("one", a))
    plan.AddStep(core.execution_step("two", [a, net("b")]))
    assert [n.name for n in plan.Proto().network] == [n.Name() for n in plan.Nets()]
    assert len(plan.Nets()) == 2
    assert [s.Name() for s in plan.Steps()] == ["one", "two"]
    twin = core.Net(core.NetDef(a.Name()))
    with pytest.raises(ValueError, match=f"plan 'plan': two nets are called '{a.Name()}'"):
        plan.AddStep(core.execution_step("three", twin))
    assert len(plan.Steps()) == 2
    with pytest.raises(ValueError, match="two nets are called"):
        core.execution_step("four", [a, twin])
    with pytest.raises(ValueError, match="two nets are called"):
        plan.AddNets([net("c"), twin])
    assert len(plan.Nets()) == 2


def test_a_plan_from_a_step() -> None:
    step = core.execution_step("only", net())
    assert core.Plan(step).Proto().execution_step == [step.Proto()]
    assert core.Plan(step).Name() == "only"
    with pytest.raises(TypeError, match="ExecutionStep"):
        core.Plan(3)
    with pytest.raises(TypeError, match="ExecutionStep"):
        core.Plan("p").AddStep(net())
    with pytest.raises(TypeError, match=r"core\.Net"):
        core.Plan("p").AddNet("n")
