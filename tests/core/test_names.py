"""Blob references, name scopes and device scopes."""

import threading

import pytest

from caffe2op import core


def test_a_reference_is_its_name() -> None:
    net, other = core.Net("one"), core.Net("two")
    ref = core.BlobReference("a/b", net)
    assert str(ref) == "a/b"
    assert ref == core.BlobReference("a/b", other)
    assert ref != "a/b"
    assert hash(ref) == hash(core.BlobReference("a/b"))
    assert (ref.GetNameScope(), ref.GetUnscopedName()) == ("a/", "b")
    assert str(ref + "_grad") == "a/b_grad"
    assert (ref + "_grad").Net() is net
    assert str("pre_" + ref) == "pre_a/b"


@pytest.mark.parametrize("bad", ["", None, 3, b"x"])
def test_a_name_is_a_non_empty_string(bad) -> None:
    with pytest.raises(TypeError, match="non-empty string"):
        core.BlobReference(bad)


def test_operators_as_methods_of_a_reference() -> None:
    net = core.Net("methods")
    x = net.AddExternalInput("x")
    y = x.Copy([], "y")
    assert net.Proto().op[0].input == ["x"]
    assert y.Net() is net
    x.Add("y", "z")
    assert net.Proto().op[1].input == ["x", "y"]
    with pytest.raises(AttributeError, match="did you mean 'Copy'"):
        x.Coppy  # noqa: B018
    with pytest.raises(AttributeError, match="no net to add Copy to"):
        core.BlobReference("x").Copy  # noqa: B018


def test_name_scopes_nest_and_end() -> None:
    assert core.ScopedName("x") == "x"
    with core.NameScope("outer") as outer:
        assert outer == "outer/"
        with core.NameScope("inner"):
            assert core.CurrentNameScope() == "outer/inner/"
            assert str(core.ScopedBlobReference("x")) == "outer/inner/x"
        with core.NameScope("alone", reset=True):
            assert core.ScopedName("x") == "alone/x"
        with pytest.raises(RuntimeError), core.NameScope("broken"):
            raise RuntimeError
        assert core.ScopedName("x") == "outer/x"
    assert core.CurrentNameScope() == ""


def test_scopes_apply_to_strings_not_to_references() -> None:
    net = core.Net("scoped")
    x = net.AddExternalInput("x")
    with core.NameScope("layer"):
        y = net.Add([x, "w"], "y")
    assert net.Proto().op[0].input == ["x", "layer/w"]
    assert str(y) == "layer/y"
    assert net.Proto().external_input == ["x", "layer/w"]


def test_device_scope_is_the_default_device() -> None:
    there = core.DeviceOption(0, 1)
    with core.DeviceScope(there):
        assert core.CurrentDeviceScope() is there
        inside = core.CreateOperator("Copy", "x", "y")
        own = core.CreateOperator("Copy", "x", "y", device_option=core.DeviceOption(0, 2))
    assert inside.device_option is there
    assert own.device_option == core.DeviceOption(0, 2)
    assert core.CurrentDeviceScope() is None
    with pytest.raises(TypeError, match=r"core\.DeviceOption"), core.DeviceScope("gpu"):
        pass


def test_scopes_belong_to_their_thread() -> None:
    seen = []
    with core.NameScope("mine"):
        thread = threading.Thread(target=lambda: seen.append(core.CurrentNameScope()))
        thread.start()
        thread.join()
    assert seen == [""]
