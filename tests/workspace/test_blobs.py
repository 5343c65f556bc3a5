"""Blobs: what goes in comes out, shared memory, other kinds, several workspaces."""

import gc
import sys
import threading
import weakref

import numpy as np
import pytest

from caffe2op import core, workspace
from caffe2op._core.dtypes import NAMES


@pytest.mark.parametrize("dtype", NAMES)
@pytest.mark.parametrize("shape", [(), (1,), (0,), (3,), (2, 0, 3), (2, 3), (1, 2) * 4])
def test_an_array_comes_out_as_it_went_in(dtype, shape) -> None:
    array = (np.arange(np.prod(shape, dtype=int)) % 2).astype(dtype).reshape(shape)
    assert workspace.FeedBlob("x", array)
    out = workspace.FetchBlob("x")
    assert (out.dtype, out.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(out, array)


def test_feeding_and_fetching_copy() -> None:
    array = np.zeros(3)
    workspace.FeedBlob("x", array)
    array[0] = 1
    out = workspace.FetchBlob("x")
    out[1] = 1
    assert workspace.FetchBlob("x").tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("value", "dtype", "shape"),
    [
        (3, "int64", ()),
        (2.5, "float64", ()),
        (True, "bool", ()),
        (np.float32(1), "float32", ()),
        ([1, 2], "int64", (2,)),
        (((1.0,), (2.0,)), "float64", (2, 1)),
    ],
)
def test_numbers_and_lists_become_tensors(value, dtype, shape) -> None:
    workspace.FeedBlob(core.BlobReference("x"), value)
    out = workspace.FetchBlob("x")
    assert (str(out.dtype), out.shape) == (dtype, shape)
    assert out.tolist() == np.asarray(value).tolist()


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3).T,
        np.arange(10)[::-3],
        np.broadcast_to(np.float32(2), (2, 2)),
        np.arange(4, dtype=">i4"),
    ],
)
def test_layouts_of_any_sort_are_copied(array) -> None:
    workspace.FeedBlob("x", array)
    out = workspace.FetchBlob("x")
    assert out.flags.c_contiguous
    assert out.dtype.isnative
    np.testing.assert_array_equal(out, array)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (np.zeros(2, complex), TypeError, "complex128"),
        (np.array(["a"]), TypeError, "<U1"),
        (np.array([None]), TypeError, "object"),
        (np.zeros(1, np.float16), TypeError, "float16"),
        (np.zeros(1, "M8[s]"), TypeError, "datetime64"),
        (2**64, TypeError, "object"),
        (np.zeros((1,) * 9), ValueError, "9 dimensions given, at most 8"),
    ],
)
def test_arrays_that_no_blob_holds(value, error, message) -> None:
    with pytest.raises(error, match=f"blob 'x'.*{message}"):
        workspace.FeedBlob("x", value)
    assert not workspace.HasBlob("x")
    workspace.FeedBlob("x", 1)
    with pytest.raises(error):
        workspace.FeedBlob("x", value)
    assert workspace.FetchBlob("x") == 1


def test_the_only_device_is_the_cpu() -> None:
    workspace.FeedBlob("x", 1, core.DeviceOption(0))
    with pytest.raises(ValueError, match="blob 'x': device_type 1 is not there"):
        workspace.FeedBlob("x", 2, core.DeviceOption(1))
    assert workspace.FetchBlob("x") == 1


def test_names() -> None:
    workspace.FeedBlob("b", 1)
    workspace.FeedBlob(core.BlobReference("a"), 2)
    assert workspace.Blobs() == ["a", "b"]
    assert workspace.HasBlob(core.BlobReference("b"))
    assert not workspace.HasBlob("c")
    assert [int(v) for v in workspace.FetchBlobs(["b", core.BlobReference("a")])] == [1, 2]
    for function in (workspace.HasBlob, workspace.FetchBlob, workspace.CreateBlob):
        for bad in ("", None, 3):
            with pytest.raises(TypeError, match="non-empty string"):
                function(bad)


def test_missing_and_empty_blobs() -> None:
    workspace.FeedBlob("counter", 1)
    with pytest.raises(KeyError, match="has no blob 'countr'; did you mean 'counter'"):
        workspace.FetchBlob("countr")
    assert workspace.CreateBlob("empty")
    assert workspace.HasBlob("empty")
    with pytest.raises(ValueError, match="blob 'empty' is empty"):
        workspace.FetchBlob("empty")
    workspace.CreateBlob("counter")
    assert workspace.FetchBlob("counter") == 1


def test_objects_and_arrays_by_turns() -> None:
    """Whoever fetches gets one of them, whatever the blob becomes between two looks at it."""
    values = ["object", np.ones(3), {"another": 1}, np.float64(2)]
    workspace.FeedBlob("x", values[0])
    over = threading.Event()

    def feed() -> None:
        while not over.is_set():
            for value in values:
                workspace.FeedBlob("x", value)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=feed)
    thread.start()
    try:
        for _ in range(20_000):
            found = workspace.FetchBlob("x")
            assert any(np.array_equal(found, value) for value in values)
    finally:
        over.set()
        thread.join()
        sys.setswitchinterval(before)


def test_objects_are_kept_and_let_go() -> None:
    class Thing:
        pass

    thing = Thing()
    gone = weakref.ref(thing)
    workspace.FeedBlob("o", thing)
    assert workspace.FetchBlob("o") is thing
    workspace.FeedBlob("o", "text")
    assert workspace.FetchBlob("o") == "text"
    workspace.FeedBlob("o", b"bytes")
    assert workspace.FetchBlob("o") == b"bytes"
    workspace.FeedBlob("o", thing)
    workspace.FeedBlob("o", 1.0)
    del thing
    assert gone() is None
    thing = Thing()
    gone = weakref.ref(thing)
    workspace.FeedBlob("o", thing)
    del thing
    workspace.ResetWorkspace()
    assert gone() is None


def test_other_kinds_show_what_they_are() -> None:
    net = core.Net("kinds")
    net.CreateMutex([], "m")
    net.CreateAtomicBool([], "b")
    net.CreateCounter([], "c", init_count=5)
    net.CreateBlobsQueue([], "q", capacity=1)
    workspace.RunNetOnce(net)
    assert workspace.FetchBlob("m") == "m, a mutex"
    assert workspace.FetchBlob("q") == "q, a queue"
    assert workspace.FetchBlob("b") is False
    assert workspace.FetchBlob("c") == 5


def test_shared_memory_is_the_callers() -> None:
    array = np.zeros(4, np.float32)
    workspace.ShareBlob("x", array)
    workspace.FeedBlob("one", np.ones(4, np.float32))
    add = core.CreateOperator("Add", ["x", "one"], ["x"])
    workspace.RunOperatorOnce(add)
    assert array.tolist() == [1, 1, 1, 1]
    array[0] = 5
    assert workspace.FetchBlob("x").tolist() == [5, 1, 1, 1]
    workspace.FeedBlob("x", np.full(4, 7, np.float32))  # goes into the array
    assert array.tolist() == [7, 7, 7, 7]


def test_shared_memory_cannot_change_its_shape() -> None:
    array = np.zeros(4, np.float32)
    workspace.ShareBlob("x", array)
    with pytest.raises(ValueError, match=r"blob 'x' is shared.* float32 \(4,\); got .*\(3,\)"):
        workspace.FeedBlob("x", np.zeros(3, np.float32))
    fill = core.CreateOperator("ConstantFill", [], ["x"], shape=[3], value=1.0)
    with pytest.raises(ValueError, match=r"output 0 \('x'\).*shared memory"):
        workspace.RunOperatorOnce(fill)
    assert array.tolist() == [0, 0, 0, 0]


def test_shared_memory_lives_as_long_as_the_blob() -> None:
    array = np.zeros(1000)
    gone = weakref.ref(array)
    workspace.ShareBlob("x", array)
    del array
    gc.collect()
    assert gone() is not None
    assert workspace.FetchBlob("x").sum() == 0
    workspace.ShareBlob("x", np.ones(1))
    gc.collect()
    assert gone() is None


def test_shared_memory_cannot_be_resized_until_the_blob_lets_go() -> None:
    array = np.zeros(4)
    workspace.ShareBlob("x", array[1:])
    with pytest.raises(ValueError, match="resize"):
        array.resize(1000, refcheck=False)
    workspace.FeedBlob("x", np.zeros(3))  # in place: still shared
    with pytest.raises(ValueError, match="resize"):
        array.resize(1000, refcheck=False)
    workspace.ShareBlob("x", np.ones(1))
    gc.collect()
    array.resize(1000, refcheck=False)


READ_ONLY = np.zeros(3)
READ_ONLY.flags.writeable = False


@pytest.mark.parametrize(
    ("array", "error"),
    [
        (READ_ONLY, ValueError),
        (np.arange(6)[::2], ValueError),
        (np.zeros(17, np.uint8)[1:].view(np.float64), ValueError),
        (np.zeros(3, ">f8"), TypeError),
        (np.zeros(3, object), TypeError),
        (np.zeros(3, complex), TypeError),
        (np.zeros(0), ValueError),
        (np.zeros((1,) * 9), ValueError),
        (5, TypeError),
    ],
)
def test_memory_that_cannot_be_shared(array, error) -> None:
    workspace.FeedBlob("x", 3)
    for name in ("x", "new"):
        with pytest.raises(error, match=f"blob '{name}'"):
            workspace.ShareBlob(name, array)
    assert workspace.FetchBlob("x") == 3
    assert not workspace.HasBlob("new")


def test_workspaces() -> None:
    workspace.FeedBlob("x", 1)
    assert workspace.CurrentWorkspace() == "default"
    with pytest.raises(KeyError, match="no workspace 'that no test makes'"):
        workspace.SwitchWorkspace("that no test makes")
    workspace.SwitchWorkspace("tests of workspaces", create_if_missing=True)
    workspace.ResetWorkspace()
    assert workspace.CurrentWorkspace() == "tests of workspaces"
    assert not workspace.HasBlob("x")
    workspace.FeedBlob("y", 2)
    workspace.SwitchWorkspace("default")
    assert workspace.Blobs() == ["x"]
    workspace.SwitchWorkspace("tests of workspaces")
    assert workspace.Blobs() == ["y"]
    for bad in ("", None):
        with pytest.raises(TypeError, match="non-empty string"):
            workspace.SwitchWorkspace(bad, create_if_missing=True)


def test_feeding_and_fetching_from_many_threads_never_mixes_shapes() -> None:
    arrays = [np.full(n, n, np.int64) for n in (1, 10, 100, 1000)]
    stop = threading.Event()
    wrong = []

    def feed(array: np.ndarray) -> None:
        while not stop.is_set():
            workspace.FeedBlob("x", array)

    workspace.FeedBlob("x", arrays[0])
    threads = [threading.Thread(target=feed, args=(a,)) for a in arrays]
    for thread in threads:
        thread.start()
    for _ in range(2000):
        out = workspace.FetchBlob("x")
        if not (out == out.size).all():
            wrong.append(out)
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
