"""queue.py and csrc/kernels_queue.c; csrc/tests/test_queue.c tests the queue itself."""

from __future__ import annotations

import collections
import itertools
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from blobs import feed, fetch, run

from caffe2op import core, workspace

STATM = Path("/proc/self/statm")


def net_of(name, *operators):
    net = core.Net(name)
    for type_, inputs, outputs, args in operators:
        getattr(net, type_)(inputs, outputs, **args)
    return net


def together(*steps):
    plan = core.Plan("plan")
    plan.AddStep(core.execution_step("together", list(steps), concurrent_substeps=True))
    workspace.RunPlan(plan)


# ---- one thread --------------------------------------------------------------------------------


def test_tuples_come_out_in_order_as_copies():
    run("CreateBlobsQueue", [], ["queue"], capacity=3, num_blobs=2)
    feed(x=np.arange(6.0, dtype=np.float32).reshape(2, 3), flag=np.bool_(True))
    run("EnqueueBlobs", ["queue", "x", "flag"], ["x", "flag"])
    feed(x=np.zeros((0, 4), np.int8), flag=np.int64(7))
    run("EnqueueBlobs", ["queue", "x", "flag"], [])  # its outputs are optional
    np.testing.assert_array_equal(fetch("x"), np.zeros((0, 4), np.int8))  # the blobs keep theirs
    run("DequeueBlobs", ["queue"], ["a", "b"])
    np.testing.assert_array_equal(fetch("a"), np.arange(6.0).reshape(2, 3))
    assert fetch("a").dtype == np.float32
    assert fetch("b").dtype == np.bool_
    assert fetch("b").shape == ()
    run("DequeueBlobs", ["queue"], ["a", "b"])
    assert fetch("a").shape == (0, 4)
    assert fetch("b") == 7


def test_one_blob_may_be_put_twice():
    run("CreateBlobsQueue", [], ["queue"], num_blobs=2)
    feed(x=np.int32(5))
    run("EnqueueBlobs", ["queue", "x", "x"], [])
    run("DequeueBlobs", ["queue"], ["a", "b"])
    assert fetch("a") == fetch("b") == 5


def test_closed():
    run("CreateBlobsQueue", [], ["queue"], capacity=4)
    feed(x=np.int32(1))
    run("EnqueueBlobs", ["queue", "x"], ["x"])
    run("CloseBlobsQueue", ["queue"], [])
    with pytest.raises(RuntimeError, match=r"queue, input 0 \('queue'\), is closed"):
        run("EnqueueBlobs", ["queue", "x"], ["x"])
    run("DequeueBlobs", ["queue"], ["y"])
    assert fetch("y") == 1
    with pytest.raises(RuntimeError, match="closed and empty"):
        run("DequeueBlobs", ["queue"], ["y"])
    assert fetch("y") == 1
    run("CloseBlobsQueue", ["queue"], [])  # again is nothing


def test_a_failure_may_be_allowed():
    run("CreateBlobsQueue", [], ["queue"])
    run("CloseBlobsQueue", ["queue"], [])
    net = net_of("net", ("DequeueBlobs", ["queue"], ["y"], {}))
    workspace.CreateNet(net)
    assert workspace.RunNet(net, allow_fail=True) is False


def test_the_safe_forms_report():
    run("CreateBlobsQueue", [], ["queue"], capacity=2)

    def status(type_, inputs, outputs):
        assert run(type_, inputs, [*outputs, "status"])
        value = fetch("status")
        assert (value.dtype, value.shape) == (np.bool_, ())
        return bool(value)

    feed(x=np.int32(1))
    assert not status("SafeEnqueueBlobs", ["queue", "x"], ["x"])
    assert not status("SafeEnqueueBlobs", ["queue", "x"], [])
    run("CloseBlobsQueue", ["queue"], [])
    assert status("SafeEnqueueBlobs", ["queue", "x"], ["x"])
    assert not status("SafeDequeueBlobs", ["queue"], ["y"])
    assert not status("SafeDequeueBlobs", ["queue"], ["y"])
    feed(y=np.int32(-3))
    assert status("SafeDequeueBlobs", ["queue"], ["y"])
    assert fetch("y") == -3  # stays


def test_a_timeout():
    run("CreateBlobsQueue", [], ["queue"])
    begin = time.perf_counter()
    with pytest.raises(RuntimeError, match=r"nothing came into the queue.*within 0\.05 s"):
        run("DequeueBlobs", ["queue"], ["y"], timeout_secs=0.05)
    assert time.perf_counter() - begin >= 0.05
    feed(x=np.int32(1))
    run("EnqueueBlobs", ["queue", "x"], ["x"])
    run("DequeueBlobs", ["queue"], ["y"], timeout_secs=5)  # something is there: no wait
    assert fetch("y") == 1


@pytest.mark.parametrize(
    ("type_", "inputs", "outputs", "args", "error", "words"),
    [
        ("CreateBlobsQueue", [], ["q"], {"capacity": 0}, ValueError, "'capacity' must be from 1"),
        ("CreateBlobsQueue", [], ["q"], {"capacity": -1}, ValueError, "'capacity'"),
        ("CreateBlobsQueue", [], ["q"], {"num_blobs": 0}, ValueError, "'num_blobs' must be from 1"),
        ("CreateBlobsQueue", [], ["q"], {"num_blob": 1}, ValueError, "did you mean 'num_blobs'"),
        ("DequeueBlobs", ["q"], ["y"], {"timeout_secs": -1}, ValueError, "'timeout_secs'"),
        ("DequeueBlobs", ["q"], ["y"], {"timeout_secs": float("nan")}, ValueError, "secs'"),
        ("DequeueBlobs", ["q"], [], {}, ValueError, "outputs"),
        ("EnqueueBlobs", ["q"], [], {}, ValueError, "inputs"),
        ("EnqueueBlobs", ["q", "x"], ["y"], {}, ValueError, "must be the blobs that go in"),
        ("EnqueueBlobs", ["q", "x", "z"], ["x"], {}, ValueError, "must be the blobs that go in"),
        ("SafeEnqueueBlobs", ["q", "x"], ["x", "x"], {}, ValueError, "given twice"),
        ("SafeEnqueueBlobs", ["q", "x"], ["x"], {}, ValueError, "must be a blob of its own"),
        ("SafeDequeueBlobs", ["q"], ["y"], {}, ValueError, "outputs"),
        ("SafeDequeueBlobs", ["q"], ["q", "s"], {}, ValueError, "must be different blobs"),
    ],
)
def test_what_is_refused_when_the_operator_is_made(type_, inputs, outputs, args, error, words):
    feed(x=np.int32(0), z=np.int32(0))
    run("CreateBlobsQueue", [], ["q"])
    with pytest.raises(error, match=words):
        run(type_, inputs, outputs, **args)


def test_what_is_refused_when_it_runs():
    run("CreateBlobsQueue", [], ["queue"], num_blobs=2)
    run("CreateMutex", [], ["mutex"])
    feed(x=np.int32(0), number=np.int64(0))
    for type_, inputs, outputs, error, words in [
        ("EnqueueBlobs", ["queue", "x"], ["x"], ValueError, "tuples of 2 blobs, not of 1"),
        ("SafeEnqueueBlobs", ["queue", "x"], ["x", "s"], ValueError, "tuples of 2 blobs, not of 1"),
        ("DequeueBlobs", ["queue"], ["y"], ValueError, "tuples of 2 blobs, not of 1"),
        ("SafeDequeueBlobs", ["queue"], ["y", "s"], ValueError, "tuples of 2 blobs, not of 1"),
        ("EnqueueBlobs", ["queue", "x", "mutex"], [], TypeError, "a mutex given, a tensor"),
        ("EnqueueBlobs", ["number", "x"], [], TypeError, "a tensor given, a queue expected"),
        ("DequeueBlobs", ["number"], ["y"], TypeError, "a queue expected"),
        ("CloseBlobsQueue", ["mutex"], [], TypeError, "a mutex given, a queue expected"),
    ]:
        with pytest.raises(error, match=words):
            run(type_, inputs, outputs)


def test_a_tuple_that_does_not_fit_goes_back():
    run("CreateBlobsQueue", [], ["queue"], capacity=2, num_blobs=2)
    for k in (1, 2):
        feed(x=np.int32(k), y=np.full(3, k, np.int32))
        run("EnqueueBlobs", ["queue", "x", "y"], [])
    workspace.ShareBlob("fixed", np.zeros(2, np.int32))
    with pytest.raises(ValueError, match=r"output 1 \('fixed'\).*cannot be resized"):
        run("DequeueBlobs", ["queue"], ["a", "fixed"])
    for k in (1, 2):
        run("DequeueBlobs", ["queue"], ["a", "b"])
        assert fetch("a") == k
        assert fetch("b").tolist() == [k] * 3


def test_a_status_that_does_not_fit():
    """Nothing is put then, and nothing taken."""
    run("CreateBlobsQueue", [], ["queue"], capacity=3)
    workspace.ShareBlob("fixed", np.zeros(2, np.int32))
    for k in (1, 2):
        feed(x=np.int32(k))
        run("EnqueueBlobs", ["queue", "x"], [])
    with pytest.raises(ValueError, match=r"output 0 \('fixed'\).*cannot be resized"):
        run("SafeEnqueueBlobs", ["queue", "x"], ["fixed"])
    with pytest.raises(ValueError, match=r"output 1 \('fixed'\).*cannot be resized"):
        run("SafeDequeueBlobs", ["queue"], ["y", "fixed"])
    run("CloseBlobsQueue", ["queue"], [])
    for k, end in ((1, False), (2, False), (2, True)):
        run("SafeDequeueBlobs", ["queue"], ["y", "status"])
        assert (fetch("y"), fetch("status")) == (k, end)


# ---- several threads ---------------------------------------------------------------------------


def test_two_producers_and_two_consumers_exactly():
    """One consumer hands what it takes to Python; the other is native and keeps count and sum."""
    each, producers = 1500, 2
    taken = collections.Counter()
    run("CreateBlobsQueue", [], ["queue"], capacity=3, num_blobs=2)
    run("CreateCounter", [], ["native_passes"])
    feed(total=np.int64(0), one=np.int64(1), a_0=np.int64(0))
    puts = []
    for k in range(producers):
        workspace.FeedBlob(f"next_{k}", np.int64(k * each))
        puts.append(
            core.execution_step(
                f"puts_{k}",
                net_of(
                    f"put_{k}",
                    ("AtomicFetchAdd64", [f"next_{k}", "one"], [f"next_{k}", f"value_{k}"], {}),
                    ("EnqueueBlobs", ["queue", f"value_{k}", f"value_{k}"], [], {}),
                ),
                num_iter=each,
            )
        )
    close = net_of("close", ("CloseBlobsQueue", ["queue"], [], {}))
    production = core.execution_step(
        "production",
        [
            core.execution_step("puts", puts, concurrent_substeps=True),
            core.execution_step("close", close),
        ],
    )

    def note(inputs, outputs):
        if not inputs[2].data:
            assert inputs[0].data == inputs[1].data
            taken[int(inputs[0].data)] += 1

    native = net_of(
        "native",
        ("SafeDequeueBlobs", ["queue"], ["a_0", "b_0", "end_0"], {}),
        ("AtomicFetchAdd64", ["total", "a_0"], ["total", "unused"], {}),
        ("CountUp", ["native_passes"], ["passes_before"], {}),
    )
    python = net_of("python", ("SafeDequeueBlobs", ["queue"], ["a_1", "b_1", "end_1"], {}))
    feed(a_1=np.int64(0), b_1=np.int64(0))
    python.Python(note)(["a_1", "b_1", "end_1"], [])
    together(
        production,
        core.execution_step("native", native, should_stop_blob="end_0"),
        core.execution_step("python", python, should_stop_blob="end_1"),
    )

    last_pass = int(fetch("a_0"))  # at the end a_0 stays, and was added once more
    assert fetch("native_passes") - 1 + taken.total() == producers * each
    assert set(taken.values()) <= {1}
    assert fetch("total") - last_pass + sum(taken) == sum(range(producers * each))


def test_a_full_queue_blocks_until_there_is_room():
    times = 500
    run("CreateBlobsQueue", [], ["queue"], capacity=1)
    feed(x=np.arange(4.0))
    together(
        core.execution_step(
            "puts", net_of("p", ("EnqueueBlobs", ["queue", "x"], [], {})), num_iter=times
        ),
        core.execution_step(
            "takes", net_of("t", ("DequeueBlobs", ["queue"], ["y"], {})), num_iter=times
        ),
    )
    np.testing.assert_array_equal(fetch("y"), np.arange(4.0))
    with pytest.raises(RuntimeError, match="nothing came"):
        run("DequeueBlobs", ["queue"], ["y"], timeout_secs=0.001)


@pytest.mark.parametrize("full", [True, False])
def test_a_failing_sibling_ends_the_wait(full):
    run("CreateBlobsQueue", [], ["queue"])
    feed(x=np.int32(1), wrong=np.float32(0))
    if full:
        run("EnqueueBlobs", ["queue", "x"], [])
        waits = ("EnqueueBlobs", ["queue", "x"], [], {})
    else:
        waits = ("DequeueBlobs", ["queue"], ["y"], {})
    fails = ("AtomicFetchAdd", ["x", "wrong"], ["x", "before"], {})
    with pytest.raises(TypeError, match="float32 given, int32 expected"):
        together(
            core.execution_step("waits", net_of("w", waits)),
            core.execution_step("fails", net_of("f", fails)),
        )


@pytest.mark.parametrize("closing", ["CloseBlobsQueue", "CreateBlobsQueue"])
def test_closing_or_replacing_the_blob_ends_the_wait(closing):
    run("CreateBlobsQueue", [], ["queue"])
    net = net_of("net", ("DequeueBlobs", ["queue"], ["y"], {}))
    workspace.CreateNet(net)
    result = []
    waiter = threading.Thread(target=lambda: result.append(workspace.RunNet(net, allow_fail=True)))
    waiter.start()
    blobs = (["queue"], []) if closing == "CloseBlobsQueue" else ([], ["queue"])
    for _ in range(200):  # again where it came late and waits on the queue that is new
        run(closing, *blobs)
        waiter.join(0.05)
        if result:
            break
    assert result == [False]


@pytest.mark.skipif(not STATM.exists(), reason="reads the memory in use from /proc")
def test_memory_is_given_back_while_one_waits():
    """A wait must not hold up the freeing of what others replace meanwhile."""

    def in_use():
        return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    run("CreateBlobsQueue", [], ["queue"])
    net = net_of("net", ("DequeueBlobs", ["queue"], ["y"], {}))
    workspace.CreateNet(net)
    waiter = threading.Thread(target=lambda: workspace.RunNet(net, allow_fail=True))
    waiter.start()
    array = np.ones(2**18)  # 2 MiB
    workspace.FeedBlob("big", array)
    before = in_use()
    until = time.monotonic() + 60
    for k in itertools.count():
        for _ in range(20):
            workspace.FeedBlob("big", array)
        grown = in_use() - before
        # All that was fed is 400 MiB, and ever more: until the waiter's guard has been renewed.
        if k >= 10 and (grown < 200 * 2**20 or time.monotonic() > until or grown > 2**31):
            break
        time.sleep(0.03)  # more than a slice
    run("CloseBlobsQueue", ["queue"], [])
    waiter.join()
    assert grown < 200 * 2**20
