"""Net, operator, step and plan definitions with anything in any field; user operators likewise.

Refused definitions must leave the workspace as it was: the same blobs, the same nets.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import fields
from typing import Any

import numpy as np
from fuzz_operators import Alarm, alarm
from hostile import attempt, fuzz, ints, junk, values
from hypothesis import strategies as st

from caffe2op import core, workspace
from caffe2op.asyncnet import AsyncNet
from caffe2op.core import (
    Argument,
    DeviceOption,
    ExecutionStepDef,
    NetDef,
    OperatorDef,
    PlanDef,
)
from caffe2op.operators import schema
from caffe2op.workspace.executors import EXECUTORS

NAMES = ("a", "b", "c", "stop", "total", "")
GOOD = ("a", "b", "total")
KNOWN = (
    TypeError,
    ValueError,
    OverflowError,
    IndexError,
    KeyError,
    MemoryError,
    RuntimeError,
    OSError,
    Alarm,
)

blob_names = st.one_of(st.sampled_from(GOOD), st.sampled_from(GOOD), st.sampled_from(NAMES))
anything = st.one_of(
    values,
    junk,
    st.lists(st.one_of(blob_names, junk), max_size=2),
    blob_names,
    st.builds(core.BlobReference, st.just("a")),
    st.builds(OperatorDef),
    st.builds(ExecutionStepDef),
    st.just(DeviceOption(1)),
)


@st.composite
def spoilt(draw: st.DrawFn, definitions: st.SearchStrategy[Any]) -> Any:
    """A definition of which sometimes one field holds anything."""
    made = draw(definitions)
    if draw(st.integers(0, 4)) == 0:
        field = draw(st.sampled_from([f.name for f in fields(made)]))
        value = draw(anything)
        # Real threads and real time, of which there is not any amount.
        if field == "num_concurrent_instances" and isinstance(value, int):
            value = min(value, 50) if value < 2**20 else value
        setattr(made, field, value)
    return made


@st.composite
def operator_defs(draw: st.DrawFn) -> OperatorDef:
    kind = draw(st.integers(0, 9))
    if kind < 3:
        return OperatorDef("ConstantFill", [], [draw(blob_names)])
    if kind < 6:
        return OperatorDef(
            "Sum", draw(st.lists(blob_names, min_size=1, max_size=3)), [draw(blob_names)]
        )
    if kind < 7:
        return OperatorDef("Not", ["stop"], ["stop"])
    if kind < 8:
        return OperatorDef("AtomicFetchAdd64", ["total", "total"], ["total", "c"])
    if kind < 9 and draw(st.booleans()):  # it ends, goes on for ever, or is refused
        inner = draw(spoilt(st.deferred(lambda: net_defs)))
        argument = draw(st.sampled_from(["loop_net", "loop_net", "cond_net"]))
        return OperatorDef("While", ["stop"], [], arg=[Argument(argument, n=inner)])
    return OperatorDef(
        draw(st.sampled_from([*schema.registered(), "nothing", "sum"])),
        draw(st.lists(blob_names, max_size=3)),
        draw(st.lists(blob_names, max_size=3)),
        control_input=draw(st.lists(blob_names, max_size=1)),
        arg=draw(
            st.lists(
                spoilt(
                    st.builds(
                        Argument,
                        st.sampled_from(["shape", "value", "function", "capacity"]),
                        st.integers(0, 3),
                    )
                ),
                max_size=2,
            )
        ),
    )


net_names = st.sampled_from(["n1", "n2"])
net_defs = st.builds(
    NetDef,
    net_names,
    st.lists(spoilt(operator_defs()), max_size=4),
    st.sampled_from(["", "simple", *EXECUTORS, "nothing"]),
    st.integers(0, 3),
    external_input=st.one_of(st.just([]), st.lists(blob_names, max_size=3)),
    external_output=st.one_of(st.just([]), st.lists(blob_names, max_size=2)),
)


def _steps(below: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return spoilt(
        st.builds(
            ExecutionStepDef,
            st.just("s"),
            st.one_of(st.just([]), st.lists(below, max_size=3)),
            st.one_of(st.just([]), st.just([]), st.lists(net_names, max_size=2)),
            num_iter=st.sampled_from([None, None, 0, 1, 3, -1]),
            should_stop_blob=st.sampled_from(["", "", "", "stop", "a", "nothing"]),
            run_every_ms=st.sampled_from([0, 0, 0, 1, -1]),
            report_net=st.sampled_from(["", "", "", "n1", "nothing"]),
            report_interval=st.integers(0, 2),
            concurrent_substeps=st.booleans(),
            only_once=st.booleans(),
            create_workspace=st.booleans(),
            num_concurrent_instances=st.integers(0, 3),
        )
    )


leaves = spoilt(
    st.builds(
        ExecutionStepDef,
        st.just("leaf"),
        network=st.lists(net_names, max_size=2),
        num_iter=st.sampled_from([None, 2]),
    )
)
steps = _steps(_steps(leaves))


@st.composite
def plans(draw: st.DrawFn) -> PlanDef:
    made = PlanDef(
        "p",
        draw(st.lists(spoilt(net_defs), max_size=2)),
        draw(st.lists(st.one_of(leaves, steps), max_size=3)),
    )
    if draw(st.integers(0, 9)) == 0 and made.execution_step:  # a step below itself
        step = made.execution_step[0]
        if isinstance(getattr(step, "substep", None), list):
            step.substep.append(step)
    return made


def fresh() -> None:
    workspace.ResetWorkspace()
    workspace.FeedBlob("a", np.ones(2, np.float32))
    workspace.FeedBlob("stop", np.array(True))
    workspace.FeedBlob("total", np.array(1, np.int64))


def names_of(made: Any) -> set[str]:
    return {n for op in made.op for n in op.output}


@fuzz(spoilt(net_defs), st.booleans())
def nets(made: NetDef, run: bool) -> None:
    """Created, run, run in dependency order: whatever is wrong is said."""
    fresh()
    before = workspace.Blobs()
    with suppress(Alarm), alarm(0.3):
        created = attempt(lambda: workspace.CreateNet(made), KNOWN)
        if created.error is not None:
            assert workspace.Blobs() == before
            assert not workspace.current.workspace.nets
        else:
            assert set(workspace.Blobs()) == set(before) | names_of(made)
            attempt(lambda: workspace.RunNet(created.value, 2 if run else 1), KNOWN)
            attempt(lambda: workspace.RunNet(created.value, allow_fail=True), KNOWN)
        attempt(lambda: workspace.RunNetOnce(made), KNOWN)
        attempt(lambda: _async(made), KNOWN)


def _async(made: NetDef) -> None:
    with AsyncNet(made, workers=2) as net:
        net.run()


@fuzz(plans())
def plan_definitions(made: PlanDef) -> None:
    """Run for a moment: plans that would run for ever end by the alarm, with all their threads."""
    fresh()
    before = workspace.Blobs()
    error = None
    with suppress(Alarm), alarm(0.1):
        error = attempt(lambda: workspace.RunPlan(made), KNOWN).error
    # What is wrong with a definition is a TypeError or ValueError, and comes before anything runs.
    if isinstance(error, KeyError | IndexError):
        raise AssertionError from error
    assert set(before) <= set(workspace.Blobs())


@fuzz(
    st.sampled_from(["add_net", "add_step", "iterate", "stop", "instances", "plan", "report"]),
    anything,
    anything,
    ints,
)
def builders(what: str, first: Any, second: Any, number: Any) -> None:
    """The objects that build definitions, given anything."""
    step, net = core.ExecutionStep("step"), core.Net("net")
    calls = {
        "add_net": lambda: (step.AddNet(first), net.NextName(first, second)),
        "add_step": lambda: (step.AddSubstep(first), core.execution_step("s", first, second)),
        "iterate": lambda: (step.SetIter(first), core.ExecutionStep(second)),
        "stop": lambda: (step.SetShouldStopBlob(first), step.SetOnlyOnce(second)),
        "instances": lambda: (step.SetNumConcurrentInstances(first), step.RunEveryMillis(number)),
        "plan": lambda: (core.Plan(first), core.Plan("p").AddStep(second)),
        "report": lambda: (step.SetReportNet(net, first), step.SetReportNet(second, 1)),
    }
    attempt(calls[what], KNOWN)
    attempt(lambda: net.Sum(first, second), KNOWN)
    attempt(lambda: core.CreateOperator(first, second, "a", value=number), KNOWN)
    attempt(lambda: net.ConstantFill([], "b", shape=first, value=second), KNOWN)
    attempt(lambda: core.register_operator("_", first, inputs=first, outputs=second), KNOWN)
    attempt(
        lambda: (
            core.register_operator(
                first, lambda i, o: None, inputs=[second], outputs=[(number, first)]
            )
            if not isinstance(first, str)
            else None
        ),
        KNOWN,
    )
    attempt(lambda: core.BlobReference(first), KNOWN)


@fuzz(anything, anything, ints)
def workspaces(first: Any, second: Any, number: Any) -> None:
    """The functions of the workspace, given anything."""
    fresh()
    with suppress(Alarm), alarm(1):
        for call in (
            lambda: workspace.FeedBlob(first, second),
            lambda: workspace.FeedBlob("b", first),
            lambda: workspace.FeedBlob("b", 1, second),
            lambda: workspace.ShareBlob("b", first),
            lambda: workspace.FetchBlob(first),
            lambda: workspace.FetchBlob("b"),
            lambda: workspace.FetchBlobs(first),
            lambda: workspace.HasBlob(first),
            lambda: workspace.CreateBlob(first),
            lambda: workspace.CreateNet(first),
            lambda: workspace.CreateNet(NetDef("n"), second, first),
            lambda: workspace.RunNet(first, second),
            lambda: workspace.RunNet("n", first),
            lambda: workspace.RunNetOnce(first),
            lambda: workspace.RunOperatorOnce(first),
            lambda: workspace.RunOperatorsOnce(first),
            lambda: workspace.RunPlan(first),
            lambda: workspace.SwitchWorkspace(first) if first != "b" else None,
            lambda: workspace.RunOperatorOnce(OperatorDef("Sum", ["b", "a"], ["b"])),
        ):
            attempt(call, KNOWN)
    workspace.SwitchWorkspace("default")
