"""Python operators: the views that they are given, and what refers to what."""

import functools
import gc
import sys
import threading
import weakref

import numpy as np
import pytest

from caffe2op import core, workspace
from caffe2op.asyncnet import AsyncNet
from caffe2op.workspace.workspaces import current
from together import together


class Called:
    """An object that can be called."""

    def __init__(self, f) -> None:
        self._f = f

    def __call__(self, inputs, outputs):
        return self._f(inputs, outputs)


def run(function, inputs=(), outputs=()) -> None:
    net = core.Net("python")
    net.Python(function)(list(inputs), list(outputs))
    workspace.RunNetOnce(net)


def test_feed_makes_outputs() -> None:
    workspace.FeedBlob("x", np.arange(3))
    run(lambda i, o: o[0].feed(i[0].data * 2), ["x"], ["y"])
    assert workspace.FetchBlob("y").tolist() == [0, 2, 4]
    run(lambda i, o: o[0].feed("text"), [], ["y"])
    assert workspace.FetchBlob("y") == "text"


def test_data_is_the_blobs_memory() -> None:
    workspace.FeedBlob("x", np.arange(4.0).reshape(2, 2))

    def change(inputs, outputs):
        assert (inputs[0].shape, inputs[0].dtype) == ((2, 2), np.float64)
        assert inputs[0].name == "x"
        inputs[0].data[1, 1] = 7

    run(change, ["x"], [])
    assert workspace.FetchBlob("x").tolist() == [[0, 1], [2, 7]]


def test_in_place() -> None:
    workspace.FeedBlob("x", np.arange(3))

    def grow(inputs, outputs):
        before = inputs[0].data
        outputs[0].feed(np.append(before, 9))
        assert before.tolist() == [0, 1, 2]  # what was there stays valid during the call

    run(grow, ["x"], ["x"])
    assert workspace.FetchBlob("x").tolist() == [0, 1, 2, 9]


def test_reshape_gives_memory_to_write_to() -> None:
    def fill(inputs, outputs):
        outputs[0].reshape([2, 2])
        assert outputs[0].dtype == np.float32
        assert outputs[0].data.tolist() == [[0, 0], [0, 0]]
        outputs[0].data[:] = 5
        outputs[0].reshape((2, 2))  # nothing changes
        assert outputs[0].data.tolist() == [[5, 5], [5, 5]]
        outputs[1].reshape([3], core.DataType.INT64)
        outputs[1].data[:] = range(3)
        outputs[2].init([], "bool")

    run(fill, [], ["a", "b", "c"])
    assert workspace.FetchBlob("a").tolist() == [[5, 5], [5, 5]]
    b, c = workspace.FetchBlobs(["b", "c"])
    assert (b.tolist(), b.dtype) == ([0, 1, 2], "int64")
    assert (c.shape, c.dtype) == ((), "bool")


def test_inputs_that_are_no_tensors() -> None:
    counter = core.CreateOperator("CreateCounter", [], ["c"], init_count=3)
    workspace.RunOperatorOnce(counter)
    workspace.FeedBlob("o", "text")
    workspace.CreateBlob("e")
    seen = []

    def look(inputs, outputs):
        seen.extend(view.data for view in inputs[:2])
        with pytest.raises(TypeError, match="no tensor"):
            inputs[0].shape  # noqa: B018
        with pytest.raises(ValueError, match="'e' is empty"):
            inputs[2].data  # noqa: B018

    run(look, ["c", "o", "e"])
    assert seen == [3, "text"]


def test_views_end_with_the_call() -> None:
    kept = []
    workspace.FeedBlob("x", 1)
    run(lambda i, o: kept.append(i[0]), ["x"])
    for use in (lambda v: v.data, lambda v: v.feed(2), lambda v: v.reshape([1]), lambda v: v.shape):
        with pytest.raises(RuntimeError, match="after the call"):
            use(kept[0])


def created(function, inputs=(), outputs=()) -> core.Net:
    net = core.Net("again")
    net.Python(function)(list(inputs), list(outputs))
    workspace.CreateNet(net)
    return net


def test_a_view_that_was_kept_stays_closed_in_later_calls() -> None:
    kept = []
    workspace.FeedBlob("x", 1)

    def keep(inputs, outputs):
        for view in kept:
            assert repr(view) == "BlobView(after the call)"
            for use in (lambda v: v.data, lambda v: v.name, lambda v: v.feed(2)):
                with pytest.raises(RuntimeError, match="after the call"):
                    use(view)
        assert (inputs[0].data, outputs[0].name) == (1, "y")
        kept.extend((inputs[0], outputs[0]))

    net = created(keep, ["x"], ["y"])
    for _ in range(4):
        workspace.RunNet(net)
    assert len(set(map(id, kept))) == 8


def test_lists_that_were_kept_or_changed_are_not_given_again() -> None:
    workspace.FeedBlob("x", 1)
    workspace.FeedBlob("z", 2)
    kept = []

    def change(inputs, outputs):
        assert [view.name for view in inputs] == ["x", "z"]
        assert [view.name for view in outputs] == ["y"]
        how = len(kept)
        if how == 0:
            kept.append(inputs)
        elif how == 1:
            inputs.reverse()
        elif how == 2:
            inputs.pop()
        elif how == 3:
            inputs[0] = 5
        elif how == 4:
            outputs.append(inputs)
        elif how == 5:
            inputs[:] = outputs
        kept.append(how)

    net = created(change, ["x", "z"], ["y"])
    for _ in range(8):
        workspace.RunNet(net)


def test_data_follows_the_blob() -> None:
    """From call to call: other memory, shape or dtype, no tensor, shared memory, nothing."""
    seen = []

    def look(inputs, outputs):
        first, second = inputs[0].data, inputs[0].data
        if isinstance(first, np.ndarray):
            assert first is not second
            assert np.shares_memory(first, second) or not first.size
            assert (inputs[0].shape, inputs[0].dtype) == (first.shape, first.dtype)
            first.flags.writeable = False  # this array's alone
            assert second.flags.writeable
        seen.append(second)

    workspace.CreateBlob("x")
    net = created(look, ["x"])
    mine = np.arange(3.0)
    many = list(range(20000))
    for value in ([1, 2], [3, 4], [[3, 4]], [[3.5, 4]], "text", 7, [], [], many, [1, 2]):
        workspace.FeedBlob("x", np.array(value) if isinstance(value, list) else value)
        for _ in range(2):
            workspace.RunNet(net)
            for found in seen:
                assert np.array_equal(found, value)
            seen.clear()
    workspace.ShareBlob("x", mine)
    for _ in range(3):
        workspace.RunNet(net)
        assert np.shares_memory(seen[-1], mine)
        mine += 1
        assert np.array_equal(seen[-1], mine)
    workspace.ShareBlob("x", np.arange(3.0))
    workspace.RunNet(net)
    assert not np.shares_memory(seen[-1], mine)


def test_an_array_keeps_its_memory_when_the_blob_goes_on() -> None:
    arrays = []
    workspace.CreateBlob("x")
    net = created(lambda i, o: arrays.append(i[0].data), ["x"])
    for k in range(50):
        workspace.FeedBlob("x", np.full(4, k))
        workspace.RunNet(net)
        workspace.RunNet(net)
    workspace.ResetWorkspace()
    del net
    gc.collect()
    assert [set(array.tolist()) for array in arrays] == [{k // 2} for k in range(100)]


def test_only_small_arrays_are_kept() -> None:
    """What a blob has left is free to go, but for a little."""
    kept = {}

    def look(inputs, outputs):
        for view in inputs:
            assert view.data is not None
            kept[view.name] = view._array is not None

    workspace.FeedBlob("small", np.zeros(1 << 13))
    workspace.FeedBlob("large", np.zeros((1 << 13) + 1))
    run(look, ["small", "large"])
    if sys._is_gil_enabled() if hasattr(sys, "_is_gil_enabled") else True:
        assert kept == {"small": True, "large": False}


def test_calls_that_overlap_have_views_of_their_own() -> None:
    workspace.FeedBlob("x", 1)
    barrier = threading.Barrier(4)
    seen: list[set[int]] = [set() for _ in range(20)]

    def meet(inputs, outputs):
        round_ = barrier.wait() * 0 + rounds[threading.get_ident()]
        seen[round_].add(id(inputs[0]))
        assert inputs[0].data == 1
        barrier.wait()
        assert inputs[0].data == 1
        rounds[threading.get_ident()] += 1

    rounds: dict[int, int] = {}
    net = created(meet, ["x"])

    def call() -> None:
        rounds[threading.get_ident()] = 0
        for _ in seen:
            workspace.RunNet(net)

    together(*[call] * 4)
    assert all(len(views) == 4 for views in seen)


def test_a_call_within_a_call_of_the_same_operator() -> None:
    depth = []
    workspace.FeedBlob("x", 1)

    def nested(inputs, outputs):
        depth.append(inputs[0])
        if len(depth) < 4:
            workspace.RunNet("nested")
        assert depth.pop().data == 1
        assert inputs[0].name == "x"

    net = core.Net(core.NetDef("nested"))
    net.Python(nested)(["x"], [])
    workspace.CreateNet(net)
    for _ in range(3):
        workspace.RunNet("nested")
    assert depth == []


@pytest.mark.parametrize("wrap", [functools.partial, lambda f: type("C", (), {"m": f})().m, Called])
def test_whatever_can_be_called(wrap) -> None:
    seen = []

    def f(*arguments):
        seen.append([view.name for views in arguments[-2:] for view in views])

    workspace.FeedBlob("x", 1)
    run(wrap(f), ["x"], ["y"])
    assert seen == [["x", "y"]]


def test_blobs_are_referred_to_as_often_as_before() -> None:
    workspace.FeedBlob("x", 1)
    blob = current.workspace.blob("x")

    def use(inputs, outputs):
        view = inputs[0]
        return view.name, view.data, view.shape, view.dtype, repr(view), view._array

    net = created(use, ["x"])
    workspace.RunNet(net)
    counts = set()
    for _ in range(100):
        workspace.RunNet(net)
        counts.add(sys.getrefcount(blob))
    assert len(counts) == 1


def test_a_function_that_refers_to_its_net_goes_with_it() -> None:
    class Mark:
        pass

    def make() -> weakref.ref[Mark]:
        mark, nets = Mark(), []
        definition = core.Net("round")
        definition.Python(lambda i, o: (mark, nets))([], [])
        nets.append(AsyncNet(definition))
        nets[0].run()
        return weakref.ref(mark)

    gone = make()
    gc.collect()
    assert gone() is None
