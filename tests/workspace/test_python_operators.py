"""Python operators: views, results, exceptions with their notes, nested runs."""

import threading

import numpy as np
import pytest

from caffe2op import core, workspace
from together import together


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


@pytest.mark.parametrize("result", [None, True, 0, [], np.array([0]), np.True_])
def test_what_counts_as_success(result) -> None:
    run(lambda i, o: result)


@pytest.mark.parametrize("result", [False, np.False_])
def test_what_counts_as_failure(result) -> None:
    with pytest.raises(RuntimeError, match="operator 0: Python: reported failure"):
        run(lambda i, o: result)


def test_exceptions_are_raised_as_they_are_with_a_note() -> None:
    class Mine(Exception):
        pass

    workspace.FeedBlob("x", np.zeros((2, 3), np.float32))
    workspace.RunOperatorOnce(core.CreateOperator("CreateMutex", [], ["m"]))
    thrown = Mine("mine")

    def bad(inputs, outputs):
        raise thrown

    net = core.Net("noted")
    net.Copy("x", "y")
    net.Python(bad)(["x", "m"], ["z"], name="thrower")
    with pytest.raises(Mine) as caught:
        workspace.RunNetOnce(net)
    assert caught.value is thrown
    assert caught.value.__notes__ == [
        f"raised in net '{net}', operator 1: Python 'thrower'; inputs: x float32 (2, 3), m (mutex)"
    ]
    assert any(entry.name == "bad" for entry in caught.traceback)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration])
def test_exceptions_that_are_no_errors_are_raised_too(kind) -> None:
    def bad(inputs, outputs):
        raise kind

    with pytest.raises(kind):
        run(bad)
    workspace.FeedBlob("x", 1)
    run(lambda i, o: None)  # nothing is left over for the next run


def test_an_operator_may_run_nets_itself() -> None:
    inner = core.Net("inner")
    workspace.FeedBlob("x", np.zeros(1))
    workspace.FeedBlob("one", np.ones(1))
    inner.Add(["x", "one"], "x")
    workspace.CreateNet(inner)

    def nested(inputs, outputs):
        assert workspace.RunNet(inner, num_iter=2)
        workspace.RunPlan(core.execution_step("s", inner, num_iter=3))

    run(nested)
    assert workspace.FetchBlob("x") == 5


def test_failures_of_a_nested_run_belong_to_its_caller() -> None:
    inner = core.Net("inner")
    inner.Python(lambda i, o: [][0])([], [])
    workspace.CreateNet(inner)
    caught = []

    def nested(inputs, outputs):
        try:
            workspace.RunNet(inner)
        except IndexError as error:
            caught.append(error)

    run(nested)
    assert len(caught) == 1

    def passes_on(inputs, outputs):
        workspace.RunNet(inner)

    with pytest.raises(IndexError) as error:
        run(passes_on)
    assert len(error.value.__notes__) == 2  # the inner net, then the outer


def test_runs_on_several_threads_raise_their_own_exceptions() -> None:
    barrier = threading.Barrier(4)
    results = {}

    def bad(inputs, outputs):
        barrier.wait()
        raise ValueError(threading.get_ident())

    net = core.Net("shared")
    net.Python(bad)([], [])
    workspace.CreateNet(net)

    def call() -> None:
        try:
            workspace.RunNet(net)
        except ValueError as error:
            results[threading.get_ident()] = error.args[0]

    together(*[call] * 4)
    assert len(results) == 4
    assert all(key == value for key, value in results.items())
