"""core.Net: operators as methods, generated names, what comes from outside."""

import importlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe2op import core

net_module = importlib.import_module("caffe2op.core.net")


def test_operators_in_order_with_references() -> None:
    net = core.Net("order")
    mutex = net.CreateMutex([], "mutex")
    value, before = net.AtomicFetchAdd([mutex, "total", "one"], ["total", "before"], name="add")
    assert [op.type for op in net.Proto().op] == ["CreateMutex", "AtomicFetchAdd"]
    assert net.Proto().op[1].input == ["mutex", "total", "one"]
    assert net.Proto().op[1].name == "add"
    assert (str(value), str(before)) == ("total", "before")
    assert net.Proto().external_input == ["total", "one"]
    assert net.ConditionalSetAtomicBool(["flag", "total"], []) is None


def test_dir_shows_methods_and_operators() -> None:
    assert {"Proto", "AddExternalInput", "Relu", "While"} <= set(dir(core.Net("listed")))


@pytest.mark.thread_unsafe
def test_net_names_are_unique() -> None:
    first, second, third = core.Net("same"), core.Net("same"), core.Net("same")
    assert (first.Name(), str(second), third.Name()) == ("same", "same_1", "same_2")
    assert core.Net("same_1").Name() == "same_1_1"
    proto = core.NetDef("same")
    assert core.Net(proto).Proto() is proto
    for bad in ("", None, 3):
        with pytest.raises(TypeError, match="name or a NetDef"):
            core.Net(bad)


@pytest.mark.thread_unsafe
def test_numbered_names_skip_those_that_were_asked_for() -> None:
    asked = ["skip_2", "skip", "skip", "skip_1", "skip", "skip_2", "skip_01", "skip_01"]
    names = [core.Net(name).Name() for name in asked]
    assert names == [
        "skip_2", "skip", "skip_1", "skip_1_1", "skip_3", "skip_2_1", "skip_01", "skip_01_1",
    ]  # fmt: skip
    assert len(set(names)) == len(names)
    assert core.Net("skip_" + "9" * 5000).Name() == "skip_" + "9" * 5000


@settings(deadline=None)
@given(st.lists(st.from_regex(r"\A[xy](_[0-2]){0,3}\Z"), max_size=30))
def test_no_name_is_given_twice(asked: list[str]) -> None:
    before = f"unique{len(net_module._asked)}/"
    names = [core.Net(before + name).Name() for name in asked]
    assert len(set(names)) == len(names)
    for name, wanted in zip(names, asked, strict=True):
        assert name == before + wanted or name.startswith(before + wanted + "_")


def test_nets_made_in_a_loop_take_no_memory_for_ever() -> None:
    core.Net("loop")
    kept = len(net_module._asked)
    names = {core.Net("loop").Name() for _ in range(1000)}
    assert len(names) == 1000
    assert len(net_module._asked) == kept


@pytest.mark.thread_unsafe
def test_outputs_left_out_get_unused_names() -> None:
    net = core.Net("auto")
    a = net.CreateMutex([])
    b = net.CreateMutex([])
    assert (str(a), str(b)) == ("auto/CreateMutex", "auto/CreateMutex_2")
    two = net.DequeueBlobs(["queue"], 2)
    assert [str(t) for t in two] == ["auto/DequeueBlobs:0", "auto/DequeueBlobs:1"]
    assert net.CloseBlobsQueue(["queue"]) is None  # a type without outputs gets none
    assert str(net.AtomicIter(["mutex", "iter"])) == "iter"  # must be in place
    with pytest.raises(ValueError, match="names, or a count"):
        net.Copy("x", -1)
    with core.NameScope("s"):
        assert str(net.CreateMutex([])) == "s/auto/CreateMutex"
        assert str(net.CreateMutex([])) == "s/auto/CreateMutex_2"


@pytest.mark.thread_unsafe
def test_next_name_and_next_blob_never_repeat() -> None:
    net = core.Net("next")
    assert net.NextName("x") == "next/x"
    net.Copy("a", "next/x")
    assert net.NextName("x") == "next/x_2"
    blobs = {str(net.NextBlob("b")) for _ in range(3)}
    assert blobs == {"b", "b_auto_0", "b_auto_1"}
    assert net.NextBlob("next/x").Net() is net
    assert str(net.NextBlob("a")) == "a_auto_0"  # an external input


def test_external_inputs_and_outputs() -> None:
    net = core.Net("outside")
    x = net.AddExternalInput("x")
    y, z = net.AddExternalInput("y", core.BlobReference("z"))
    assert [str(b) for b in net.external_inputs] == ["x", "y", "z"]
    assert x.Net() is net
    assert net.BlobIsDefined(y)
    with pytest.raises(ValueError, match="external input 'x' already"):
        net.AddExternalInput("w", "x")
    assert not net.BlobIsDefined("w")  # nothing was added
    with pytest.raises(ValueError, match="at least one"):
        net.AddExternalInput()
    net.Add([y, z], "sum")
    net.AddExternalOutput("sum", x)
    assert [str(b) for b in net.external_outputs] == ["sum", "x"]
    with pytest.raises(ValueError, match="does not define blob 'summ'; did you mean 'sum'"):
        net.AddExternalOutput("summ")


def test_definitions_changed_from_outside_are_seen() -> None:
    net = core.Net("edited")
    net.Copy("a", "b")
    assert net.BlobIsDefined("b")
    del net.Proto().op[0]
    assert not net.BlobIsDefined("b")
    assert net.BlobIsDefined("a")


def test_unknown_types_arguments_and_fields() -> None:
    net = core.Net("unknown")
    with pytest.raises(AttributeError, match="'AtomicFetchAd'; did you mean 'AtomicFetchAdd'"):
        net.AtomicFetchAd([], [])
    with pytest.raises(ValueError, match=r"CreateCounter.*'init_cout'; did you mean 'init_count'"):
        net.CreateCounter([], "c", init_cout=3)
    with pytest.raises(ValueError, match="'nam'; did you mean 'name'"):
        net.CreateCounter([], "c", nam="x")
    with pytest.raises(TypeError, match="a name, a reference or a list"):
        net.Copy(3, "y")
    with pytest.raises(TypeError, match="by its name or a reference"):
        net.Copy([3], "y")
    assert net.Proto().op == []


def test_python_operator_is_a_method_that_takes_the_function() -> None:
    net = core.Net("python")
    y = net.Python(len)(["x"], ["y"], name="count")
    assert str(y) == "y"
    assert net.Proto().op[0].name == "count"
    assert net.Proto().op[0].arg[0].object is len
    with pytest.raises(TypeError, match="function of"):
        net.Python("len")


@pytest.mark.parametrize("op_type", ["AtomicFetchAdd", "CheckAtomicBool", "CountUp"])
def test_gradients_of_shared_state_are_refused(op_type) -> None:
    net = core.Net("grad")
    if op_type == "AtomicFetchAdd":
        net.AtomicFetchAdd(["m", "v", "i"], ["v", "y"])
    else:
        getattr(net, op_type)(["state"], ["y"])
    with pytest.raises(ValueError, match=f"operator {op_type}.*has no gradient"):
        net.AddGradientOperators(["y"])
    with pytest.raises(ValueError, match="does not define blob 'loss'"):
        net.AddGradientOperators(["loss"])


def test_create_operator() -> None:
    with core.NameScope("s"):
        op = core.CreateOperator("CreateCounter", [], "c", init_count=3)
    assert op.output == ["s/c"]
    assert [(a.name, a.i) for a in op.arg] == [("init_count", 3)]
    assert core.CreateOperator("NotThere", "x", "y", what=1).type == "NotThere"  # refused later
    with pytest.raises(TypeError, match="operator_type"):
        core.CreateOperator(3, "x", "y")
