"""Definitions whose fields hold something else: refused with the field named, nothing changed."""

import gc

import numpy as np
import pytest

from caffe2op import core, workspace
from caffe2op.core import Argument, ExecutionStepDef, NetDef, OperatorDef, PlanDef
from caffe2op.core.steps import MOST_INSTANCES, MOST_LEVELS, MOST_MS


def fill(**fields) -> OperatorDef:
    return OperatorDef(**{"type": "ConstantFill", "output": ["y"]} | fields)


def step(**fields) -> ExecutionStepDef:
    return ExecutionStepDef(**{"name": "s", "network": ["n"]} | fields)


def run(thing: object) -> None:
    if isinstance(thing, OperatorDef):
        workspace.RunOperatorOnce(thing)
    elif isinstance(thing, NetDef):
        workspace.RunNetOnce(thing)
    elif isinstance(thing, ExecutionStepDef):
        workspace.RunPlan(PlanDef("p", [NetDef("n", [fill()])], [thing]))
    else:
        workspace.RunPlan(thing)


@pytest.mark.parametrize(
    ("thing", "text"),
    [
        (fill(input="total"), "'input' must be a list of names, got 'total'"),
        (fill(input=None), "'input' must be a list of names, got None"),
        (fill(input=[["x"]]), "'input' must be a list of names"),
        (fill(output={"y"}), "'output' must be a list of names, got {'y'}"),
        (fill(output=[["y"]]), "'output' must be a list of names"),
        (fill(arg=[5]), "'arg' must be a list of Argument, got 5 in it"),
        (fill(arg="value"), "'arg' must be a list of Argument, got 'value'"),
        (fill(control_input=5), "'control_input' must be a list of names, got 5"),
        (fill(device_option="cpu"), "core.DeviceOption|'device_option' must be a DeviceOption"),
        (fill(type=5), "'type' must be a str, got 5"),
        (NetDef("n", None), "field 'op' must be a list of OperatorDef, got None"),
        (NetDef("n", ["op"]), "operator 0: expected a core.OperatorDef, got 'op'"),
        (NetDef("n", [fill()], type=["dag"]), "field 'type' must be a str"),
        (NetDef("n", [fill()], external_input="total"), "'external_input' must be a list of names"),
        (
            NetDef("n", [fill()], external_output=[["y"]]),
            "'external_output' must be a list of names",
        ),
        (NetDef("n", [fill()], arg=5), "field 'arg' must be a list of Argument, got 5"),
        (NetDef("n", [fill()], device_option=0), "'device_option' must be a DeviceOption, got 0"),
        (step(network="n"), "step 's': field 'network' must be a list of names, got 'n'"),
        (step(network=[["n"]]), "field 'network' must be a list of names"),
        (
            step(network=[], substep=[5]),
            "'substep' must be a list of ExecutionStepDef, got 5 in it",
        ),
        (step(should_stop_blob=["y"]), "field 'should_stop_blob' must be a str, got \\['y'\\]"),
        (PlanDef("p", ["n"]), "plan 'p': field 'network' must be a list of NetDef, got 'n' in it"),
        (PlanDef("p", [], 5), "'execution_step' must be a list of ExecutionStepDef, got 5"),
    ],
    ids=str,
)
def test_a_field_of_another_type(thing, text) -> None:
    with pytest.raises(TypeError, match=text):
        run(thing)
    assert workspace.Blobs() == []


@pytest.mark.parametrize(
    ("thing", "text"),
    [
        (
            NetDef("n", [fill()], type="dag", num_workers=2**31),
            "num_workers must be an int from 0 to",
        ),
        (NetDef(["n"], [fill()]), "a net's name must be a non-empty string"),
        (PlanDef("p", [NetDef(["n"])]), "plan 'p': a net's name must be a non-empty string"),
        (step(num_concurrent_instances=MOST_INSTANCES + 1), "must be an int from 1 to 65536"),
        (step(run_every_ms=MOST_MS + 1), "run_every_ms must be an int from 0 to"),
        (step(report_net="n", report_interval=2**62), "report_interval must be a number"),
        (fill(arg=[Argument(["value"], i=1)]), "unknown argument \\['value'\\]"),
    ],
    ids=str,
)
def test_a_value_that_no_run_could_bear(thing, text) -> None:
    with pytest.raises(ValueError, match=text):
        run(thing)
    assert workspace.Blobs() == []


def test_created_under_a_name_that_is_none() -> None:
    with pytest.raises(ValueError, match="a net's name must be a non-empty string, got \\[\\]"):
        workspace.CreateNet(NetDef([], [fill()]))


def test_steps_below_themselves() -> None:
    one = core.execution_step("one", [])
    with pytest.raises(ValueError, match="step 'one' cannot be a substep of itself"):
        one.AddSubstep(one)
    ring = ExecutionStepDef("ring")
    ring.substep = [ExecutionStepDef("between", substep=[ring])]
    with pytest.raises(ValueError, match="more than 100 levels of steps, or a step that is below"):
        workspace.RunPlan(PlanDef("p", [], [ring]))


def test_as_many_levels_as_are_accepted() -> None:
    deep = step()
    for _ in range(MOST_LEVELS - 1):
        deep = ExecutionStepDef("around", substep=[deep])
    run(deep)
    assert workspace.HasBlob("y")


@pytest.mark.parametrize("outputs", [-1, True, 2**16 + 1, 2**62])
def test_a_count_of_outputs_that_is_none(outputs) -> None:
    net = core.Net("net")
    with pytest.raises(ValueError, match="outputs must be names, or a count from 0 to 65536"):
        net.Python(len)([], outputs)
    assert not net.Proto().op


@pytest.mark.parametrize(
    "call",
    [
        workspace.FetchBlobs,
        lambda names: workspace.CreateNet(NetDef("n"), input_blobs=names),
    ],
)
@pytest.mark.parametrize("names", [None, 5, "total"])
def test_several_blobs_are_a_list(call, names) -> None:
    with pytest.raises(TypeError, match=f"blobs are given by a list of names .*got {names!r}"):
        call(names)
    assert workspace.Blobs() == []


# ---- values for blobs --------------------------------------------------------------------------


def test_values_that_are_no_array() -> None:
    with pytest.raises(ValueError, match="blob 'x': value: NumPy makes no array of this list"):
        workspace.FeedBlob("x", [[1], [2, 3]])
    with pytest.raises(TypeError, match="blob 'x': value: a masked array"):
        workspace.FeedBlob("x", np.ma.array([1, 2], mask=[True, False]))
    assert not workspace.HasBlob("x")


@pytest.mark.parametrize(
    ("shape", "error", "text"),
    [
        ((-1,), ValueError, r"blob 'y': shape \(-1,\) given; accepted: .* each from 0"),
        ((2**63,), ValueError, "each from 0"),
        ((1.5,), TypeError, "a sequence of ints"),
        (5, TypeError, "a sequence of ints"),
        ("ab", TypeError, "a sequence of ints"),
    ],
)
def test_shapes_that_are_none(shape, error, text) -> None:
    net = core.Net("net")
    net.Python(lambda inputs, outputs: outputs[0].reshape(shape))([], ["y"])
    with pytest.raises(error, match=text):
        workspace.RunNetOnce(net)


def test_feeding_shared_memory_from_itself() -> None:
    """Both overlap: every element must still be read before it is written."""
    memory = np.arange(9.0)
    workspace.ShareBlob("x", memory[:8])
    workspace.FeedBlob("x", memory[1:])
    assert memory.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 8]


@pytest.mark.parametrize("shared", [False, True])
def test_data_that_outlives_the_call(shared) -> None:
    """A view that a Python operator kept reads its own memory, never memory given back."""
    kept = []
    given = np.arange(100_000.0)
    (workspace.ShareBlob if shared else workspace.FeedBlob)("x", given.copy())
    net = core.Net("net")
    net.Python(lambda inputs, outputs: kept.append(inputs[0].data))(["x"], [])
    workspace.RunNetOnce(net)
    del net
    workspace.ResetWorkspace()
    gc.collect()
    for k in range(20):  # whoever gets the freed memory next would be seen in the view
        workspace.FeedBlob(f"other{k}", np.full(100_000, -1.0))
    np.testing.assert_array_equal(kept[0], given)
