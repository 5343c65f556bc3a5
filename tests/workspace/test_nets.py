"""Nets: the contract that every net type keeps, and what is refused when a net is created."""

import numpy as np
import pytest

from caffe2op import core, workspace
from caffe2op.workspace.executors import EXECUTORS


@pytest.fixture(params=sorted(EXECUTORS))
def net_type(request) -> str:
    return request.param


def new_net(net_type: str, name: str = "net") -> core.Net:
    net = core.Net(name)
    net.Proto().type = net_type
    net.Proto().num_workers = 2
    return net


def test_the_types_of_caffe2_are_there() -> None:
    assert set(EXECUTORS) == {
        "simple",
        "dag",
        "async_scheduling",
        "parallel",
        "prof_dag",
        "async_dag",
        "async_polling",
    }


def test_a_chain_gives_the_sequential_result(net_type) -> None:
    net = new_net(net_type)
    workspace.FeedBlob("x", np.arange(3.0))
    workspace.FeedBlob("one", np.ones(3))
    for _ in range(20):
        net.Add(["x", "one"], "x")
    workspace.CreateNet(net)
    assert workspace.RunNet(net)
    assert workspace.FetchBlob("x").tolist() == [20, 21, 22]
    assert workspace.RunNet(net.Name(), num_iter=3)
    assert workspace.FetchBlob("x").tolist() == [80, 81, 82]
    assert workspace.RunNet(net, num_iter=0)
    assert workspace.FetchBlob("x").tolist() == [80, 81, 82]


def test_a_write_waits_for_the_readers_before_it(net_type) -> None:
    net = new_net(net_type)
    net.ConstantFill([], "x", shape=[100], value=1.0)
    copies = [net.Copy("x", f"copy{k}") for k in range(10)]
    net.ConstantFill([], "x", shape=[100], value=2.0)
    net.Sum(copies, "sum")
    workspace.RunNetOnce(net)
    assert workspace.FetchBlob("sum").tolist() == [10.0] * 100
    assert workspace.FetchBlob("x").tolist() == [2.0] * 100


def test_control_inputs_order_operators(net_type) -> None:
    net = new_net(net_type)
    order: list[str] = []

    def note(name):
        def run(inputs, outputs):
            order.append(name)
            outputs[0].feed(len(order))

        return run

    net.Python(note("a"))([], "a")
    net.Python(note("b"))([], "b", control_input=["a"])
    net.Python(note("c"))([], "c", control_input=[core.BlobReference("b")])
    workspace.RunNetOnce(net)
    assert order == ["a", "b", "c"]


def test_the_first_failure_ends_the_run(net_type) -> None:
    net = new_net(net_type)
    workspace.FeedBlob("x", np.ones(2))
    workspace.FeedBlob("y", np.ones(3))
    net.Copy("x", "before")
    net.Add(["x", "y"], "sum", name="bad one")
    net.Copy("sum", "after")
    workspace.CreateNet(net)
    for allow_fail in (False, True):  # it raises: allow_fail is for failures that are returned
        with pytest.raises(ValueError, match=rf"net '{net}', operator 1: Add 'bad one': "):
            workspace.RunNet(net, allow_fail=allow_fail)
    assert workspace.FetchBlob("before").tolist() == [1, 1]
    with pytest.raises(ValueError, match="'after' is empty"):
        workspace.FetchBlob("after")
    workspace.FeedBlob("y", np.ones(2))
    assert workspace.RunNet(net)  # and the net can run again
    assert workspace.FetchBlob("after").tolist() == [2, 2]


def test_a_returned_failure(net_type) -> None:
    net = new_net(net_type)
    ran = []
    net.Python(lambda i, o: False)([], [], name="no")
    net.Python(lambda i, o: ran.append(1))([], [], control_input=[])
    workspace.CreateNet(net)
    assert workspace.RunNet(net, allow_fail=True) is False
    assert workspace.RunNet(net, num_iter=5, allow_fail=True) is False
    with pytest.raises(RuntimeError, match="operator 0: Python 'no': reported failure"):
        workspace.RunNet(net)
    with pytest.raises(RuntimeError, match="reported failure"):
        workspace.RunNetOnce(net)


def test_a_raised_exception_is_raised_with_allow_fail_too(net_type) -> None:
    def bad(inputs, outputs):
        raise ZeroDivisionError("boom")

    net = new_net(net_type)
    net.Python(bad)([], "y")
    workspace.CreateNet(net)
    with pytest.raises(ZeroDivisionError, match="boom"):
        workspace.RunNet(net, allow_fail=True)


def test_an_empty_net(net_type) -> None:
    assert workspace.RunNetOnce(new_net(net_type))


# ---- creation ---------------------------------------------------------------------------------


def refused(net: core.Net, match: str, error: type[Exception] = ValueError) -> None:
    """The net is refused by every way in, and leaves no trace."""
    before = workspace.Blobs()
    for enter in (workspace.CreateNet, workspace.RunNetOnce):
        with pytest.raises(error, match=match) as caught:
            enter(net)
        assert f"net '{net}'" in str(caught.value)
    with pytest.raises(error, match=match):
        workspace.RunPlan(core.execution_step("s", net))
    assert workspace.Blobs() == before
    with pytest.raises(KeyError, match="has no net"):
        workspace.RunNet(net)


def test_unknown_net_type() -> None:
    refused(new_net("async_schedulin"), "unknown type 'async_schedulin'; did you mean 'async_sched")


def test_schema_violations() -> None:
    net = new_net("")
    net.CreateMutex([], "fine")
    net.Proto().op.append(core.CreateOperator("AtomicFetchAdd", ["a"], ["a", "b"]))
    refused(net, "operator 1: operator AtomicFetchAdd: 2 to 3 inputs .* got 1")
    net = new_net("")
    net.Proto().op.append(core.CreateOperator("AtomicFetchAd", ["a"], ["b"], name="n"))
    refused(net, "operator AtomicFetchAd 'n'|unknown operator type.*did you mean 'AtomicFetchAdd'")
    net = new_net("")
    net.Proto().op.append(
        core.OperatorDef("CreateMutex", [], ["m"], arg=[core.Argument("speed", i=3)])
    )
    refused(net, "unknown argument 'speed'; it takes none")
    net = new_net("")
    net.CreateCounter([], "c", init_count="many")
    refused(net, "argument 'init_count' must be an int, got 'many'", TypeError)
    net = new_net("")
    net.Proto().op.append("CreateMutex")
    refused(net, "OperatorDef", TypeError)


def test_missing_inputs() -> None:
    workspace.FeedBlob("total", 1)
    net = new_net("")
    net.Copy("totel", "y")
    refused(net, "operator 0: operator Copy: input blob 'totel' is not in the workspace.*'total'")
    net = new_net("")
    net.Copy("later", "y")
    net.CreateMutex([], "later")
    refused(net, "input blob 'later' is not in the workspace and no earlier operator")
    net = new_net("")
    net.CreateMutex([], "m", control_input="before")
    refused(net, "control_input blob 'before'")


def test_external_inputs_must_cover_every_source() -> None:
    workspace.FeedBlob("x", 1)
    workspace.FeedBlob("y", 1)
    net = core.Net(core.NetDef("covered", external_input=["x"]))
    net.Proto().op.append(core.CreateOperator("Add", ["x", "y"], ["z"]))
    refused(net, "Source for input y is unknown")
    net.Proto().external_input.append("y")
    assert workspace.RunNetOnce(net)
    by_hand = core.NetDef("open", [core.CreateOperator("Add", ["x", "y"], ["z"])])
    assert workspace.RunNetOnce(by_hand)  # nothing declared: what is there will do


def test_external_outputs_must_be_produced() -> None:
    net = new_net("")
    net.CreateMutex([], "mutex")
    net.Proto().external_output.append("mutexx")
    refused(net, "external_output 'mutexx' is never produced; did you mean 'mutex'")
    net.Proto().external_output[:] = [core.BlobReference("mutex")]
    refused(net, "given by their names, got BlobReference")
    net.Proto().external_output[:] = ["mutex"]
    assert workspace.RunNetOnce(net)


def test_fields_that_contradict() -> None:
    net = new_net("")
    net.Proto().num_workers = -1
    refused(net, "num_workers must be an int from 0 to 2147483647, got -1")
    net = new_net("")
    net.Proto().device_option = core.DeviceOption(1, 0)
    refused(net, r"device_type 1 is not there; accepted: 0 \(CPU\)")
    net = new_net("")
    net.CreateMutex([], "m", device_option=core.DeviceOption(1, 0))
    refused(net, "operator CreateMutex: device_type 1 is not there")
    with pytest.raises(ValueError, match="non-empty string"):
        workspace.CreateNet(core.NetDef(""))


def test_created_nets_have_names() -> None:
    net = new_net("")
    net.CreateMutex([], "m")
    assert workspace.CreateNet(net) == net.Name()
    assert workspace.HasBlob("m")  # empty until it runs
    with pytest.raises(ValueError, match=r"has a net .* already; overwrite=True"):
        workspace.CreateNet(net)
    workspace.CreateNet(net, overwrite=True)
    with pytest.raises(KeyError, match=f"has no net '{net}x'; did you mean '{net}'"):
        workspace.RunNet(f"{net}x")
    with pytest.raises(TypeError, match=r"core\.Net"):
        workspace.CreateNet("net")
    with pytest.raises(TypeError, match=r"core\.Net"):
        workspace.RunNet(3)
    for bad in (-1, 1.5, "1"):
        with pytest.raises(ValueError, match="num_iter"):
            workspace.RunNet(net, num_iter=bad)


def test_input_blobs_are_created_with_the_net() -> None:
    net = new_net("")
    net.Copy("x", "y")
    workspace.CreateNet(net, input_blobs=["x"])
    with pytest.raises(TypeError, match=r"input 0 \('x'\): empty given, a tensor expected"):
        workspace.RunNet(net)
    workspace.FeedBlob("x", 1)
    assert workspace.RunNet(net)


def test_single_operators() -> None:
    create = core.CreateOperator("CreateCounter", [], ["c"], init_count=2)
    up = core.CreateOperator("CountUp", ["c"], ["before"])
    assert workspace.RunOperatorOnce(create)
    assert workspace.RunOperatorsOnce([up, up])
    assert workspace.FetchBlob("before") == 3
    with pytest.raises(TypeError, match="CreateOperator"):
        workspace.RunOperatorOnce("CountUp")
    with pytest.raises(ValueError, match="unknown operator type 'Coun"):
        workspace.RunOperatorOnce(core.CreateOperator("Count", ["c"], ["before"]))
    assert {"AtomicFetchAdd", "Python", "Copy"} <= set(workspace.RegisteredOperators())


@pytest.mark.parametrize(
    ("op", "feed", "error", "message"),
    [
        (
            ("AtomicFetchAdd", ["a", "b"], ["a", "f"]),
            {"a": np.int32(0), "b": np.int64(1)},
            TypeError,
            r"AtomicFetchAdd: input 1 \('b'\): int64 given, int32 expected",
        ),
        (
            ("AtomicFetchAdd", ["a", "b"], ["a", "f"]),
            {"a": np.zeros(2, np.int32), "b": np.int32(1)},
            ValueError,
            r"input 0 \('a'\): 2 elements given, a scalar",
        ),
        (
            ("CountUp", ["a"], ["f"]),
            {"a": 3},
            TypeError,
            r"input 0 \('a'\): a tensor given, a counter expected",
        ),
        (
            ("CheckAtomicBool", ["a"], ["f"]),
            {"a": "text"},
            TypeError,
            r"input 0 \('a'\): a Python object given, an atomic bool expected",
        ),
    ],
)
def test_errors_name_the_blob_what_came_and_what_is_expected(op, feed, error, message) -> None:
    for name, value in feed.items():
        workspace.FeedBlob(name, value)
    with pytest.raises(error, match=message):
        workspace.RunOperatorOnce(core.CreateOperator(*op))
    for name, value in feed.items():
        assert np.array_equal(workspace.FetchBlob(name), value)
