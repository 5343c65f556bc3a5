"""Runs in flight: inputs and blobs of their own, order, cancelling, deadlines, the end."""

import asyncio
import gc
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from concurrent.futures import wait as wait_for_all

import numpy as np
import pytest

from caffe2op import core, workspace
from caffe2op.asyncnet import AsyncNet, deadline, threads

from .graphs import until


def doubling(**more: object) -> AsyncNet:
    """y = x + x, by way of h."""
    net = core.Net("double")
    net.AddExternalInput("x")
    net.Copy("x", "h")
    net.Add(["x", "h"], "y")
    return AsyncNet(net, inputs=["x"], **more)


def gated(gate: threading.Event, started: threading.Event) -> AsyncNet:
    """A first function that says it has started, a second that waits, a third after both."""

    def wait_here(_: object) -> None:
        started.set()
        assert gate.wait(20)

    return AsyncNet.from_functions(
        {"begin": lambda: 1, "wait": wait_here, "after": lambda _: "reached"},
        [("begin", "wait"), ("wait", "after")],
        workers=1,
    )


def test_run_works_on_the_blobs_of_the_workspace() -> None:
    workspace.FeedBlob("x", np.float32(3))
    made = doubling()
    assert made.run()["y"] == 6
    assert workspace.FetchBlob("y") == 6
    workspace.FeedBlob("x", np.float32(4))
    assert dict(made.run()) == {"y": 8}


def test_submitted_runs_have_blobs_of_their_own() -> None:
    workspace.FeedBlob("x", np.float32(1))
    made = doubling()
    futures = [made.submit({"x": np.float32(k)}) for k in range(50)]
    assert [float(f.result()["y"]) for f in futures] == [2.0 * k for k in range(50)]
    assert workspace.FetchBlob("x") == 1
    assert made.submit().result()["y"] == 2
    with pytest.raises(ValueError, match="empty"):
        workspace.FetchBlob("y")
    made.close()


def test_updated_blobs_are_shared_and_others_by_name() -> None:
    net = core.Net("count")
    net.AtomicFetchAdd64(["total", "one"], ["total", "before"])
    net.Copy("before", "mine")
    net.Copy("before", "ours")
    workspace.FeedBlob("total", np.int64(0))
    workspace.FeedBlob("one", np.int64(1))
    made = AsyncNet(net, outputs=["mine"], shared=["ours"])
    found = sorted(int(r["mine"]) for r in made.map([{}] * 30))
    assert found == list(range(30))
    assert workspace.FetchBlob("total") == 30
    assert 0 <= workspace.FetchBlob("ours") < 30
    with pytest.raises(ValueError, match="empty"):
        workspace.FetchBlob("mine")
    made.close()


def test_a_net_of_another_workspace() -> None:
    workspace.FeedBlob("x", np.float32(1))
    workspace.SwitchWorkspace("of a net", create_if_missing=True)
    workspace.FeedBlob("x", np.float32(4))
    workspace.SwitchWorkspace("default")
    made = doubling(workspace="of a net")
    assert made.run()["y"] == 8
    assert made.submit().result()["y"] == 8
    assert workspace.Blobs() == ["x"]
    workspace.SwitchWorkspace("of a net")
    assert workspace.FetchBlob("y") == 8


def test_runs_keep_their_blobs_when_the_workspace_is_reset() -> None:
    workspace.FeedBlob("x", np.float32(5))
    made = doubling()
    workspace.ResetWorkspace()
    assert made.run()["y"] == 10
    assert made.submit().result()["y"] == 10


def test_who_waits_does_not_add_a_run_to_those_that_are_on() -> None:
    """A third run at the same time would take a processor from two."""
    lock, running, most = threading.Lock(), [0], [0]
    first_two, begun = threading.Barrier(2), itertools.count()

    def work() -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
            number = next(begun)
        if number < 2:
            first_two.wait(60)
        time.sleep(0.005)
        with lock:
            running[0] -= 1

    made = AsyncNet.from_functions({"f": work}, workers=2)
    futures = [made.submit() for _ in range(12)]
    waits = [threading.Thread(target=future.result) for future in futures]
    for thread in waits:
        thread.start()
    for thread in waits:
        thread.join()
    assert most[0] == 2
    made.close()


def test_a_run_that_the_others_wait_for_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator waits for a thread that waits for a queued run: the net's one thread is taken,
    and nobody can know."""
    monkeypatch.setattr(threads, "PATIENCE", 0.01)

    def f(x: int) -> int:
        if x == 0:
            return 1
        found: list[int] = []
        thread = threading.Thread(
            target=lambda: found.append(made.submit({"x": x - 1}).result()["f"])
        )
        thread.start()
        thread.join(60)
        return found[0] + 1

    made = AsyncNet.from_functions({"f": f}, [("x", "f")], workers=1)
    assert made.submit({"x": 3}).result() == {"f": 4}
    made.close()


def test_map_is_in_order_and_bounded() -> None:
    taken, most = [], 0

    def stream() -> Iterator[dict[str, object]]:
        for k in range(30):
            taken.append(k)
            yield {"x": k}

    made = AsyncNet.from_functions(
        {"slow": lambda k: time.sleep(0.001 * (k % 3)) or k}, [("x", "slow")], workers=3
    )
    for done, result in enumerate(made.map(stream(), inflight=4)):
        assert result == {"slow": done}
        most = max(most, len(taken) - done)
    assert most == 4
    made.close()


def test_map_left_early_cancels_what_is_in_flight() -> None:
    gate = threading.Event()

    def run(k: int) -> int:
        return k if k == 0 or gate.wait(20) else -1

    made = AsyncNet.from_functions({"f": run}, [("x", "f")], workers=2)
    results = made.map(({"x": k} for k in range(100)), inflight=3)
    assert next(results) == {"f": 0}
    results.close()
    gate.set()
    made.close()
    with pytest.raises(RuntimeError, match="closed"):
        made.submit({"x": 0})


@pytest.mark.parametrize("inflight", [0, -1, 1.5, True])
def test_inflight_is_checked(inflight: object) -> None:
    workspace.FeedBlob("x", np.float32(1))
    with pytest.raises(ValueError, match="inflight"):
        doubling().map([], inflight=inflight)


def test_asyncio() -> None:
    made = doubling()

    async def several() -> list[float]:
        runs = [made.submit({"x": np.float32(k)}) for k in range(5)]
        return [float((await run)["y"]) for run in runs]

    assert asyncio.run(several()) == [0, 2, 4, 6, 8]
    made.close()


def test_a_future_is_one_of_the_standard_library() -> None:
    """It can be awaited, and cancelled in part; how it is done is not for its users."""
    made = AsyncNet.from_functions({"f": lambda: 1})
    future = made.submit()
    assert isinstance(future, Future)
    assert {n for n in dir(future) if not n.startswith("_")} == {
        n for n in dir(Future) if not n.startswith("_")
    }
    assert future.result() == {"f": 1}
    with pytest.raises(ValueError, match="no operator 'g'"):
        future.cancel("g")
    made.close()


def test_a_callback_is_called_though_nobody_has_the_future() -> None:
    called = threading.Event()
    gate, started = threading.Event(), threading.Event()
    made = gated(gate, started)
    made.submit().add_done_callback(lambda future: called.set())
    gc.collect()
    gate.set()
    assert called.wait(20)
    made.close()


def test_cancelling_a_task_cancels_its_run() -> None:
    gate, started = threading.Event(), threading.Event()
    made = gated(gate, started)
    future = made.submit()

    async def wait_a_moment() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.wrap_future(future), 0.01)

    until(started.is_set)
    asyncio.run(wait_a_moment())
    gate.set()
    with pytest.raises(CancelledError):
        future.result()
    made.close()


def test_cancel_queued_and_running() -> None:
    gate, started = threading.Event(), threading.Event()
    made = gated(gate, started)
    running, queued = made.submit(), made.submit()
    until(started.is_set)
    assert queued.cancel()
    assert queued.cancelled()
    assert queued.done()
    assert not running.done()
    assert running.cancel()
    assert running.cancel()
    assert not running.done()
    gate.set()
    with pytest.raises(CancelledError):
        running.result()
    assert running.cancelled()
    later = made.submit()
    assert later.result() == {"after": "reached"}
    assert not later.cancel()
    assert not later.cancelled()
    made.close()


def test_cancelled_run_skips_what_is_left() -> None:
    gate, started = threading.Event(), threading.Event()
    reached = []

    def wait_here() -> None:
        started.set()
        assert gate.wait(20)

    made = AsyncNet.from_functions(
        {"wait": wait_here, "after": lambda _: reached.append(1)}, [("wait", "after")], workers=2
    )
    future = made.submit()
    until(started.is_set)
    future.cancel()
    gate.set()
    made.close()
    assert future.cancelled()
    assert not reached


def test_deadline_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first function lasts until the deadline has passed and been acted on."""
    passed = threading.Event()
    reached = []
    at = deadline.clock.at

    def noted(when: float, act: Callable[[], None]) -> deadline.Deadline:
        def both() -> None:
            act()
            passed.set()

        return at(when, both)

    monkeypatch.setattr(deadline.clock, "at", noted)
    made = AsyncNet.from_functions(
        {"slow": lambda: passed.wait(60), "after": lambda _: reached.append(1)},
        [("slow", "after")],
        workers=1,
    )
    with pytest.raises(TimeoutError):
        made.run(timeout=0.02)
    passed.clear()
    with pytest.raises(TimeoutError, match="deadline"):
        made.submit(timeout=0.02).result()
    assert not reached
    passed.set()
    made.run(timeout=20)
    made.submit(timeout=20).result()
    assert len(reached) == 2
    made.close()


def test_deadline_of_a_queued_run_passes_in_the_queue() -> None:
    gate, started = threading.Event(), threading.Event()
    made = gated(gate, started)
    first = made.submit()
    until(started.is_set)
    queued = made.submit(timeout=0.01)
    until(queued.done)  # while the only thread is still busy
    assert isinstance(queued.exception(0), TimeoutError)
    assert not first.done()
    gate.set()
    assert first.result() == {"after": "reached"}
    made.close()


@pytest.mark.parametrize("timeout", [-1, "1", True, float("nan")])
def test_timeout_is_checked(timeout: object) -> None:
    workspace.FeedBlob("x", np.float32(1))
    made = doubling()
    with pytest.raises(ValueError, match="timeout"):
        made.run(timeout=timeout)
    with pytest.raises(ValueError, match="timeout"):
        made.submit(timeout=timeout)


def test_native_wait_ends_at_the_deadline() -> None:
    init = core.Net("init")
    init.CreateBlobsQueue([], "queue", capacity=1, num_blobs=1)
    workspace.RunNetOnce(init)
    net = core.Net("waits")
    net.DequeueBlobs("queue", "x")
    made = AsyncNet(net)
    begin = time.monotonic()
    with pytest.raises((TimeoutError, RuntimeError)):
        made.run(timeout=0.05)
    future = made.submit()
    until(future.running)
    assert future.cancel()
    wait_for_all([future], 20)
    assert future.cancelled()
    assert time.monotonic() - begin < 10


def test_close_waits_and_refuses() -> None:
    gate, started = threading.Event(), threading.Event()
    made = gated(gate, started)
    future = made.submit()
    until(started.is_set)
    threading.Timer(0.02, gate.set).start()
    made.close()
    assert future.done()
    assert future.result(0) == {"after": "reached"}
    with pytest.raises(RuntimeError, match="closed"):
        made.run()
    assert "closed" in repr(made)


def test_with_an_exception_cancels() -> None:
    gate, started = threading.Event(), threading.Event()
    made = gated(gate, started)
    future = made.submit()
    until(started.is_set)
    threading.Timer(0.02, gate.set).start()

    def fail() -> None:
        with made:
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert future.cancelled()


def test_what_is_given_is_checked() -> None:
    workspace.FeedBlob("x", np.float32(1))
    made = doubling()
    with pytest.raises(ValueError, match=r"takes no input 'z'.*accepted: x"):
        made.submit({"z": 1})
    with pytest.raises(ValueError, match="no operator writes 'yy'; did you mean 'y'"):
        doubling(outputs=["yy"])
    with pytest.raises(ValueError, match="shared: 'x' is not written"):
        doubling(shared=["x"])
    with pytest.raises(ValueError, match="mode must be one of"):
        doubling(mode="statik")
    for workers in (0, -1, True, 1.5, 1000):
        with pytest.raises(ValueError, match="workers"):
            doubling(workers=workers)
    with pytest.raises(TypeError, match=r"core\.Net"):
        AsyncNet("double")
    net = core.Net("bad")
    net.Proto().type = "dagg"
    with pytest.raises(ValueError, match="unknown type 'dagg'"):
        AsyncNet(net)


def test_report() -> None:
    workspace.FeedBlob("x", np.float32(1))
    made = doubling()
    for _ in range(5):
        made.run()
    report = made.report()
    assert report["runs"] == 5
    assert report["mode"] in ("serial", "static", "dynamic")
    assert report["serial_ns"] >= report["critical_ns"] > 0
    assert repr(made).startswith("AsyncNet('double")


@pytest.mark.parametrize("how", ["close", "forget"])
def test_threads_of_its_own_end_with_a_net(how) -> None:
    """Else a program that makes a net for each request has the threads of the last ten seconds'
    requests."""
    net = AsyncNet.from_functions({"f": threading.current_thread}, workers=2)
    used = net.submit().result(timeout=60)["f"]
    assert used is not threading.current_thread()
    if how == "close":
        net.close()
    del net
    gc.collect()
    used.join(timeout=5)  # idle, it would have stayed for twice as long
    assert not used.is_alive()
