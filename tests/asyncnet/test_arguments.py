"""Wrong arguments of AsyncNet: an error that names the argument and what came, and nothing runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from caffe2op import core, workspace
from caffe2op.asyncnet import AsyncNet, AsyncNetBarrier, TimeObserver


def definition() -> core.Net:
    workspace.FeedBlob("x", np.ones(3, np.float32))
    net = core.Net("given")
    net.Relu("x", "y", name="relu")
    net.Sigmoid("x", "z")
    net.Add(["y", "z"], "s")
    return net


NETS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"workspace": 3}, TypeError, "a workspace's name must be a non-empty string, got 3"),
    ({"workspace": "defalt"}, KeyError, "no workspace 'defalt'; did you mean 'default'"),
    ({"workers": 0}, ValueError, "workers must be an int of 1 to 256, got 0"),
    ({"workers": 2.0}, ValueError, "workers must be an int of 1 to 256, got 2.0"),
    ({"inputs": "x"}, TypeError, "inputs must be a list of blobs, got 'x'"),
    ({"inputs": 7}, TypeError, "inputs must be a list of blobs, got 7"),
    ({"inputs": [7]}, TypeError, "inputs must be a list of blobs, got 7 in it"),
    ({"shared": "s"}, TypeError, "shared must be a list of blobs, got 's'"),
    ({"shared": ["x"]}, ValueError, "shared: 'x' is not written"),
    ({"outputs": "s"}, TypeError, "outputs must be a list of blobs, got 's'"),
    ({"outputs": core.BlobReference("s")}, TypeError, "outputs must be a list of blobs"),
    ({"outputs": ["q"]}, ValueError, "no operator writes 'q'"),
    ({"devices": ["cpu:0"]}, TypeError, r"devices must be a dict by name, got \['cpu:0'\]"),
    ({"devices": {"cpu:0": -1}}, ValueError, "device 'cpu:0' must have 1 to 256 workers"),
    ({"devices": {"cpu:1": 1}}, ValueError, "on device 'cpu:0', which devices does not have"),
    ({"barriers": [3]}, TypeError, "barriers must be a list of AsyncNetBarrier, got 3 in it"),
    ({"barriers": AsyncNetBarrier("relu", "s")}, TypeError, "barriers must be a list"),
    ({"barriers": [AsyncNetBarrier("no", "s")]}, ValueError, "no operator or device .* 'no'"),
    ({"mode": "fast"}, ValueError, "mode must be one of auto, serial, static, dynamic"),
]


@pytest.mark.parametrize(("given", "kind", "text"), NETS)
def test_of_nets(given: dict[str, Any], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        AsyncNet(definition(), **given)


@pytest.mark.parametrize("net", ["given", None, 3])
def test_what_is_no_net(net: Any) -> None:
    with pytest.raises(TypeError, match=r"expected a core.Net or a NetDef, got"):
        AsyncNet(net)


CALLS: list[tuple[Callable[[AsyncNet], Any], type[Exception], str]] = [
    (lambda n: n.submit(["x"]), TypeError, "inputs must be a dict by name"),
    (lambda n: n.submit("x"), TypeError, "inputs must be a dict by name, got 'x'"),
    (lambda n: n.submit({"w": 1}), ValueError, "takes no input 'w'"),
    (lambda n: n.submit({}, timeout="1"), ValueError, "timeout must be a number"),
    (lambda n: n.map(3), TypeError, "stream must give a dict of inputs for each run, got 3"),
    (lambda n: n.map({"x": 1}), TypeError, "stream must give a dict of inputs for each run"),
    (lambda n: list(n.map([5])), TypeError, "inputs must be a dict by name, got 5"),
    (lambda n: n.submit().cancel("no"), ValueError, "has no operator 'no'"),
    (lambda n: n.add_observer(3), TypeError, "observer must be an Observer"),
    (lambda n: n.add_observer(TimeObserver), TypeError, "an object, not its class"),
    (lambda n: n.add_observer(TimeObserver(), "relu"), TypeError, "operators must be a list"),
    (lambda n: n.enable_trace("x"), ValueError, "events must be an int"),
]


@pytest.mark.parametrize(("call", "kind", "text"), CALLS)
def test_of_calls(call: Callable[[AsyncNet], Any], kind: type[Exception], text: str) -> None:
    with AsyncNet(definition()) as net:
        with pytest.raises(kind, match=text):
            call(net)
        assert net.run()["s"].shape == (3,)


def one() -> int:
    return 1


FUNCTIONS: list[tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
    (([one],), {}, TypeError, "functions must be a dict by name"),
    (({"a": 1},), {}, TypeError, "functions must map names to functions, got 'a': 1"),
    (({"a": one}, "ab"), {}, TypeError, "edges must be a list of pairs of names, got 'ab'"),
    (({"a": one}, 3), {}, TypeError, "edges must be a list of pairs of names, got 3"),
    (({"a": one}, [("a",)]), {}, TypeError, r"edges must be .* got \('a',\) in it"),
    (({"a": one}, [(1, "a")]), {}, TypeError, r"edges must be .* got \(1, 'a'\) in it"),
    (({"a": one}, [("a", "a")]), {}, ValueError, "go round in a circle among a"),
    (({"a": one}, [("x", "b")]), {}, ValueError, "there is no function 'b'"),
    (({"a": one}, (), [("x", "a")]), {}, ValueError, "order: .* there is no function 'x'"),
    (({"a": one},), {"outputs": "a"}, TypeError, "outputs must be a list of names, got 'a'"),
    (({"a": one},), {"device_of": ["a"]}, TypeError, "device_of must be a dict by name"),
    (({"a": one},), {"devices": 2}, TypeError, "devices must be a dict by name, got 2"),
]


@pytest.mark.parametrize(("given", "more", "kind", "text"), FUNCTIONS)
def test_of_functions(
    given: tuple[Any, ...], more: dict[str, Any], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text):
        AsyncNet.from_functions(*given, **more)


def test_functions_with_inputs_are_submitted() -> None:
    """`run` has no value for an input: the function must not be called with anything else."""
    net = AsyncNet.from_functions({"a": lambda x: x + 1}, [("x", "a")])
    for _ in range(2):
        with pytest.raises(ValueError, match=r"no value for input 'x'; give it to submit or map"):
            net.run()
    with pytest.raises(ValueError, match="input 'x' is missing"):
        net.submit()
    assert net.submit({"x": 1}).result() == {"a": 2}
    assert [r["a"] for r in net.map([{"x": 1}, {"x": 2}])] == [2, 3]
    net.close()
    with pytest.raises(RuntimeError, match="is closed"):
        net.run()


@pytest.mark.parametrize("given", [3, "", [], [3], None])
def test_of_barriers(given: Any) -> None:
    with pytest.raises(ValueError, match="before must be the name of a group or several"):
        AsyncNetBarrier(given, "b")
