"""Nets of many operators are built all at once (compile_many.py, columns.py): as one after the
other builds them, with the same words for what is wrong. The slow twin is that other way."""

import gc
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncnet.graphs import SOURCES, expected, feed_sources, random_net
from caffe2op import workspace
from caffe2op.asyncnet import AsyncNet
from caffe2op.core import Argument, DeviceOption, NetDef, OperatorDef
from caffe2op.workspace import columns, compile_many, dependencies
from caffe2op.workspace.blob import Blob
from caffe2op.workspace.compile import compile_net
from caffe2op.workspace.scope import Scope
from caffe2op.workspace.workspaces import current

MANY = 3 * compile_many.FEW
ONE_BY_ONE = 10**6


@contextmanager
def few(n: int) -> Iterator[None]:
    """Nets of fewer than n operators are built one by one."""
    before, compile_many.FEW = compile_many.FEW, n
    try:
        yield
    finally:
        compile_many.FEW = before


def known() -> dict[str, Blob]:
    feed_sources()
    return {name: current.workspace.blob(name) for name in SOURCES}


def built(net: NetDef, blobs: dict[str, Blob]) -> tuple[object, ...]:
    """What compile_net makes of the net, or the error."""
    scope = Scope(dict(blobs))
    try:
        made = compile_net(net, scope)
    except (TypeError, ValueError) as error:
        return type(error), str(error)
    names = [
        (type_, label, [b.name for b in inputs], [b.name for b in outputs])
        for type_, label, inputs, outputs in made.info.ops
    ]
    at_once = isinstance(made.info.ops, compile_many.Operators)
    assert at_once == (len(net.op) >= compile_many.FEW)
    new = {blob.name for blob in scope.commit()}
    return names, made.waits, made.foreign, new, set(scope)


def both(net: NetDef) -> tuple[object, ...]:
    """The same from both ways."""
    blobs = known()
    with few(ONE_BY_ONE):
        one_by_one = built(net, blobs)
    with few(0):
        assert built(net, blobs) == one_by_one
    return one_by_one


def fill(output: str = "y", **fields: object) -> OperatorDef:
    return OperatorDef(**{"type": "ConstantFill", "output": [output]} | fields)


def add(*inputs: str, output: str = "y", **fields: object) -> OperatorDef:
    return OperatorDef(**{"type": "Add", "input": list(inputs), "output": [output]} | fields)


WRONG = [
    "no operator",
    fill(type="NoSuchType"),
    fill(type=None),
    fill(type="Sumn"),
    add("s0", "s1", output=""),
    add("s0", "", output="z"),
    add("s0", "s1", "s2"),
    add("s0"),
    add("s0", "nowhere"),
    add("s0", "s1", control_input=["nowhere"]),
    add("s0", "s1", output="late", control_input=["late"]),
    OperatorDef("Relu", ["s0"], ["a", "b"]),
    OperatorDef("Relu", ["s0"], []),
    OperatorDef("Concat", ["s0"], ["a", "a"]),
    OperatorDef("EQ", ["s0", "s1"], ["s0"]),
    OperatorDef("AtomicIter", ["s0", "s1"], ["s2"]),
    OperatorDef("Python", ["s0"], ["z"]),
    OperatorDef("Python", ["s0"], ["z"], arg=[Argument("function", i=3)]),
    fill(arg=[Argument("valeu", f=1.0)]),
    fill(arg=[Argument("shape", s="x")]),
    fill(arg=[Argument("shape", ints=[2]), Argument("shape", ints=[2])]),
    fill(arg=[5]),
    fill(device_option=DeviceOption(1)),
    fill(device_option="cpu"),
    fill(input="s0"),
    fill(input=[["s0"]]),
    fill(input=None),
    fill(output=["y", 5]),
]
RIGHT = [
    add("s0", "s1", output="s0"),
    add("s0", "s0", output="y", name="twice"),
    add("s0", "s1", control_input=["s2", "s0"]),
    add("s0", "s1", device_option=DeviceOption(0)),
    add("s0", "s1", arg=[Argument("broadcast", i=1)]),
    fill(arg=[Argument("shape", ints=[2, 3]), Argument("value", f=2.5)]),
    OperatorDef("Sum", ["s0", "s1", "s2"], ["s1"]),
    OperatorDef("CreateBlobsQueue", [], ["q"]),
    OperatorDef("CreateAtomicBool", [], ["flag"]),
    OperatorDef("AtomicFetchAdd", ["s0", "s1"], ["s0", "z"]),
    OperatorDef("FC", ["s0", "s1", "s2"], ["fc"]),
]


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("op", WRONG + RIGHT, ids=str)
def test_one_among_many(op: object, closed: bool) -> None:
    net = random_net(1, MANY).Proto()
    net.op.insert(MANY // 2, op)
    if not closed:
        del net.external_input[:]
    assert (both(net)[0] in (TypeError, ValueError)) == (op in WRONG)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 80), st.data())
def test_random_nets(seed: int, n: int, data: st.DataObject) -> None:
    workspace.ResetWorkspace()
    net = random_net(seed, n).Proto()
    rng = random.Random(seed)
    for op in data.draw(st.lists(st.sampled_from(RIGHT), max_size=4)):
        net.op.insert(rng.randrange(n), op)
    if rng.random() < 0.3:
        net.external_output.append(rng.choice(net.op).output[0])
    both(net)


@pytest.mark.parametrize(
    ("inputs", "outputs", "fits"),
    [
        (SOURCES[:1], [], False),
        ([*SOURCES, "more"], ["b0"], True),
        (SOURCES, ["nowhere"], False),
        (SOURCES, ["s0"], True),
        ([], ["b1"], True),
    ],
)
def test_what_comes_from_outside(inputs, outputs, fits) -> None:
    net = random_net(3, MANY, python=0).Proto()
    net.op[0] = add("s0", "s1", output="b0")
    net.op[1] = add("s1", "s2", output="b1")
    net.external_input, net.external_output = list(inputs), list(outputs)
    assert (both(net)[0] is not ValueError) == fits


def test_runs_give_the_same() -> None:
    for seed in range(4):
        net = random_net(seed, MANY, python=0.2)
        wanted = expected(net)
        workspace.ResetWorkspace()
        feed_sources()
        workspace.RunNetOnce(net)
        for name, value in wanted.items():
            np.testing.assert_array_equal(workspace.FetchBlob(name), value)


def test_names_of_an_operator_in_an_error() -> None:
    feed_sources()
    net = random_net(5, MANY, python=0)
    workspace.FeedBlob("i", np.arange(7))
    net.Add(["s0", "i"], ["z"], name="mixed")
    with pytest.raises(
        TypeError, match=rf"operator {MANY}: Add 'mixed': input 1 \('i'\)"
    ) as raised:
        workspace.RunNetOnce(net)
    assert "inputs: s0 float32 (7,), i int64 (7,)" in raised.value.__notes__[0]


# ---- columns ------------------------------------------------------------------------------------


def uses(net: NetDef) -> columns.Uses:
    """By going from operator to operator."""
    written, outside, sources, unread = set(), set(), set(), {}
    for op in net.op:
        outside |= {name for name in (*op.input, *op.control_input) if name not in written}
        sources |= {name for name in op.input if name not in written}
        for name in op.input:
            unread.pop(name, None)
        for name in op.output:
            written.add(name)
            unread.setdefault(name, None)
    return columns.Uses(written, outside, sources, list(unread))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 60))
def test_what_a_net_does_with_its_blobs(seed: int, n: int) -> None:
    net = random_net(seed, n).Proto()
    found = columns.plain(net)
    assert found is not None
    assert found.uses == uses(net)
    places = [v for v, op in enumerate(net.op) if len(op.output) == 1 and op.output[0] in op.input]
    assert sorted(set(found.in_place.tolist())) == places


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 60), st.data())
def test_graphs(seed: int, n: int, data: st.DataObject) -> None:
    net = random_net(seed, n).Proto()
    net.op.insert(n // 2, OperatorDef("CountUp", ["s0"], ["up"]))  # which mutates its input
    pair = st.tuples(st.integers(0, n), st.integers(0, n)).filter(lambda e: e[0] < e[1])
    more = data.draw(st.lists(pair, max_size=5))
    graph = dependencies.graph(net, more)
    assert dependencies.lib.c2_graph_edges(graph) == len(dependencies.edges(net, more))


def test_tuples_and_other_strings() -> None:
    """What is right, though not as it nearly always is."""
    workspace.FeedBlob("x", np.float32(2))
    ops = [
        OperatorDef("Add", ("x", np.str_("x")), (f"y{k}",), control_input=("x",))
        for k in range(MANY)
    ]
    with AsyncNet(NetDef("tuples", ops)) as net:
        assert {float(value) for value in net.run().values()} == {4.0}
        assert len(net.submit({"x": np.float32(3)}).result()) == MANY


def test_nothing_is_left_for_the_collector() -> None:
    """A net of native operators on blobs that are there keeps no object for each operator."""
    feed_sources()
    n = 2000
    net = random_net(7, n, python=0)
    AsyncNet(net)
    gc.collect()
    before = len(gc.get_objects())
    kept = AsyncNet(net)
    gc.collect()
    assert len(gc.get_objects()) - before < n / 10
    del kept
