"""Short runs of native nets, which keep the GIL: what they must do all the same."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

from caffe2op import core, workspace
from together import together

TYPES = ["simple", "async_scheduling"]


def made(net: core.Net, net_type: str) -> str:
    net.Proto().type = net_type
    return workspace.CreateNet(net)


def chain(net_type: str, length: int = 3) -> str:
    workspace.FeedBlob("x", np.array([-1.0, 2.0], np.float32))
    net = core.Net("chain")
    source = "x"
    for k in range(length):
        net.Relu(source, f"y{k}")
        source = f"y{k}"
    return made(net, net_type)


@pytest.fixture
def long_switches():
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.2)
    yield 0.2
    sys.setswitchinterval(before)


@pytest.mark.parametrize("net_type", TYPES)
def test_short_runs_do_not_wait_for_a_thread_that_computes(net_type, long_switches) -> None:
    name = chain(net_type)
    for _ in range(100):
        workspace.RunNet(name)
    over = threading.Event()
    started = threading.Event()

    def compute() -> None:
        started.set()
        while not over.is_set():
            sum(range(100))

    thread = threading.Thread(target=compute)
    thread.start()
    started.wait()
    begin = time.perf_counter()
    runs = 20000
    for _ in range(runs):
        workspace.RunNet(name)
    took = time.perf_counter() - begin
    over.set()
    thread.join()
    # Each hand-over of the GIL costs an interval. The whole loop is shorter than one, but a run
    # during which this thread lost its processor is not short, and the next one gives the GIL up.
    assert took < 0.01 * runs * long_switches


@pytest.mark.parametrize("net_type", TYPES)
def test_a_net_that_may_wait_never_keeps_the_gil(net_type) -> None:
    make = core.Net("make")
    make.CreateBlobsQueue([], "q", capacity=64, num_blobs=1)
    workspace.RunNetOnce(make)
    workspace.FeedBlob("item", np.float32(1))
    put = core.Net("put")
    put.EnqueueBlobs(["q", "item"], ["item"])
    get = core.Net("get")
    get.DequeueBlobs(["q"], ["got"])
    puts, gets = made(put, net_type), made(get, net_type)
    for _ in range(100):  # short runs, all of them
        workspace.RunNet(puts)
        workspace.RunNet(gets)

    def later() -> None:
        time.sleep(0.05)
        workspace.RunNet(puts)

    thread = threading.Thread(target=later)
    thread.start()
    workspace.RunNet(gets)  # needs what only a Python thread will give
    thread.join()


@pytest.mark.parametrize("net_type", TYPES)
def test_failures_between_short_runs(net_type) -> None:
    name = chain(net_type)
    for _ in range(50):
        workspace.RunNet(name)
    good = workspace.FetchBlob("y2")
    for _ in range(3):
        workspace.FeedBlob("x", np.array([True]))
        for allow_fail in (False, True):
            with pytest.raises(TypeError, match=r"operator 0: Relu.*'x'"):
                workspace.RunNet(name, allow_fail=allow_fail)
        workspace.FeedBlob("x", np.array([-1.0, 2.0], np.float32))
        assert workspace.RunNet(name) is True
        assert np.array_equal(workspace.FetchBlob("y2"), good)


def test_many_threads_run_one_short_net() -> None:
    workspace.FeedBlob("n", np.int64(0))
    workspace.FeedBlob("one", np.int64(1))
    for net_type in TYPES:
        net = core.Net(f"count {net_type}")
        net.AtomicFetchAdd64(["n", "one"], ["n", "before"])
        name = made(net, net_type)

        def many(name: str = name) -> None:
            for _ in range(1000):
                workspace.RunNet(name)

        together(*[many] * 4)
    assert workspace.FetchBlob("n") == 2 * 4 * 1000


def test_a_net_that_runs_itself() -> None:
    depth = []

    def again(inputs, outputs) -> None:
        depth.append(0)
        if len(depth) % 5:
            workspace.RunNet("self")

    net = core.Net("self")
    net.Python(again)([], "out")
    for net_type in TYPES:
        net.Proto().type = net_type
        workspace.CreateNet(net, overwrite=True)
        depth.clear()
        for _ in range(10):
            workspace.RunNet("self")
        assert len(depth) == 50


@pytest.mark.parametrize("net_type", TYPES)
def test_control_c_ends_a_run_that_was_expected_to_be_short(net_type) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent(f"""
        import os, signal, time
        import numpy as np
        from caffe2op import core, workspace
        workspace.FeedBlob("x", np.ones(1, np.float32))
        net = core.Net("n")
        net.Proto().type = {net_type!r}
        for _ in range(40):
            net.Sigmoid("x", "y")
        net.CountUp("counter", "count", control_input=["y"])  # the last
        workspace.RunOperatorOnce(core.CreateOperator("CreateCounter", [], "counter"))
        workspace.CreateNet(net)
        for _ in range(100):
            workspace.RunNet("n")
        workspace.FeedBlob("x", np.ones(4_000_000, np.float32))  # half a second or more
        def handler(number, frame):
            workspace.FeedBlob("x", np.ones(1, np.float32))
            # The handler is Python like any other.
            ended.append(workspace.FetchBlob("counter"))
            workspace.RunNet("n")
            raise KeyboardInterrupt
        signal.signal(signal.SIGALRM, handler)
        ended = []
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            workspace.RunNet("n")
        except KeyboardInterrupt:
            # That of the handler, and no run that was interrupted, has come to its last operator.
            assert ended == [100], ended
            assert workspace.FetchBlob("counter") == 101
        else:
            raise AssertionError("it went on")
        assert workspace.RunNet("n")
        """),
        ],
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("net_type", TYPES)
def test_a_child_forked_on_another_thread_runs_and_polls(net_type, no_collections: None) -> None:
    name = chain(net_type)
    for _ in range(50):
        workspace.RunNet(name)
    status = []

    def fork() -> None:
        child = os.fork()
        if child:
            status.append(os.waitpid(child, 0)[1])
            return
        try:
            for _ in range(50):
                workspace.RunNet(name)
            make = core.Net("make")
            make.CreateBlobsQueue([], "q", capacity=1, num_blobs=1)
            workspace.RunNetOnce(make)
            get = core.Net("get")
            get.DequeueBlobs(["q"], ["got"])
            signal.signal(signal.SIGALRM, signal.default_int_handler)
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.05)
                end = time.monotonic() + 1
                while time.monotonic() < end:
                    pass
                os._exit(0)  # CPython 3.13 itself runs no handlers in such a child
            except KeyboardInterrupt:
                pass
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.1)
                workspace.RunNetOnce(get)  # for ever, but for the signal
            except KeyboardInterrupt:
                os._exit(0)
            os._exit(2)
        except BaseException:
            os._exit(1)

    thread = threading.Thread(target=fork)
    thread.start()
    thread.join(100)
    assert status == [0]
