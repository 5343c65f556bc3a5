"""Runs and their surroundings: threads, resets, signals, fork."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from functools import partial

import numpy as np
import pytest

from caffe2op import core, workspace
from together import together


def counting() -> core.Net:
    workspace.FeedBlob("n", np.int64(0))
    workspace.FeedBlob("one", np.int64(1))
    net = core.Net("count")
    net.AtomicFetchAdd64(["n", "one"], ["n", "before"])
    return net


def test_one_net_on_several_threads() -> None:
    net = counting()
    workspace.CreateNet(net)

    def many() -> None:
        for _ in range(500):
            workspace.RunNet(net)
        workspace.RunNet(net, num_iter=500)

    together(*[many] * 4)
    assert workspace.FetchBlob("n") == 4 * 1000


def test_different_plans_on_several_threads() -> None:
    plan = core.execution_step("s", counting(), num_iter=100, num_concurrent_instances=3)
    together(*[partial(workspace.RunPlan, plan)] * 4)
    assert workspace.FetchBlob("n") == 4 * 300


def test_creating_nets_on_several_threads_gives_one_blob_for_each_name() -> None:
    def create(k: int) -> None:
        net = core.Net(f"maker{k}")
        for i in range(50):
            net.CreateCounter([], f"c{i}")
        workspace.CreateNet(net)
        workspace.RunNet(net)
        ups = core.Net(f"ups{k}")
        for i in range(50):
            ups.CountUp([f"c{i}"], f"before{i}")
        workspace.CreateNet(ups)

    together(*(partial(create, k) for k in range(4)))
    assert len(workspace.Blobs()) == 100


def test_a_run_keeps_its_blobs_when_the_workspace_is_reset() -> None:
    began, go_on = threading.Event(), threading.Event()
    results = []

    def wait(inputs, outputs):
        began.set()
        go_on.wait(20)

    workspace.FeedBlob("x", np.full(1000, 3.0))
    net = core.Net("waits")
    net.Python(wait)([], [])
    net.Add(["x", "x"], "y")
    net.Python(lambda i, o: results.append(i[0].data.copy()))(["y"], [])
    workspace.CreateNet(net)
    thread = threading.Thread(target=workspace.RunNet, args=(net.Name(),))
    thread.start()
    assert began.wait(20)
    workspace.ResetWorkspace()
    assert workspace.Blobs() == []
    workspace.FeedBlob("x", np.zeros(10**6))
    with pytest.raises(KeyError):
        workspace.RunNet(net)
    go_on.set()
    thread.join()
    assert results[0].tolist() == [6.0] * 1000


def test_blobs_of_a_run_may_be_fed_meanwhile() -> None:
    net = core.Net("copies")
    workspace.FeedBlob("x", np.ones(100))
    net.Copy("x", "y")
    workspace.CreateNet(net)
    thread = threading.Thread(target=workspace.RunNet, args=(net, 20000))
    thread.start()
    for n in range(1, 200):
        workspace.FeedBlob("x", np.full(n, n))
    thread.join()
    workspace.RunNet(net)
    assert workspace.FetchBlob("y").tolist() == [199] * 199


# ---- signals ------------------------------------------------------------------------------------


def run_script(script: str, *, interrupt: bool) -> str:
    """The output of a Python process that prints "ready" once it can be interrupted."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    try:
        first = process.stdout.readline()
        if interrupt:
            assert first == "ready\n", first + process.stdout.read()
            process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=30)
    finally:
        process.kill()
    return first + rest


INTERRUPTED = """
    import sys
    import numpy as np
    from caffe2op import core, workspace
    workspace.FeedBlob("n", np.int64(0))
    workspace.FeedBlob("one", np.int64(1))
    workspace.FeedBlob("never", False)
    workspace.RunOperatorOnce(core.CreateOperator("CreateBlobsQueue", [], ["queue"]))
    count = core.Net("count")
    count.AtomicFetchAdd64(["n", "one"], ["n", "before"])
    take = core.Net("take")
    take.DequeueBlobs(["queue"], ["got"])
    workspace.CreateNet(count)
    workspace.CreateNet(take)
    step = core.execution_step
    def ready(inputs, outputs):
        print("ready", flush=True)
    first = core.Net("first")
    first.Python(ready)([], [])
    slow = core.Net("slow")
    def loop(inputs, outputs):
        ready(inputs, outputs)
        while True:
            pass
    slow.Python(loop)([], [])
    both = core.Net("both")
    both.Python(ready)([], [])
    both.DequeueBlobs(["queue"], ["got"])
    def ends_early():
        workspace.RunNetOnce(first)
        workspace.RunNet(count, num_iter=10**12)
    runs = {
        "net": ends_early,
        "wait": lambda: workspace.RunNetOnce(both),
        "plan": lambda: workspace.RunPlan(step("p", [
            step("r", first), step("loop", count, should_stop_blob="never")])),
        "concurrent": lambda: workspace.RunPlan(step("p", [
            step("r", first), step("loop", count, should_stop_blob="never"), step("t", take)],
            concurrent_substeps=True)),
        "python": lambda: workspace.RunNetOnce(slow),
        "nested": lambda: workspace.RunNetOnce(outer),
    }
    outer = core.Net("outer")
    outer.Python(lambda i, o: runs["concurrent"]())([], [])
    try:
        runs[KIND]()
    except KeyboardInterrupt:
        print("interrupted")
    workspace.RunNet(count)
    print("and again")
"""


@pytest.mark.parametrize("kind", ["net", "wait", "plan", "concurrent", "python", "nested"])
def test_ctrl_c_ends_a_run_of_the_main_thread(kind) -> None:
    script = f"KIND = {kind!r}\n" + textwrap.dedent(INTERRUPTED)
    assert run_script(script, interrupt=True) == "ready\ninterrupted\nand again\n"


def test_a_signal_handler_that_does_not_raise_does_not_end_the_run() -> None:
    script = """
        import signal
        import numpy as np
        from caffe2op import core, workspace
        handled = []
        def handler(number, frame):
            handled.append(number)
            workspace.FeedBlob("stop", True)
        signal.signal(signal.SIGALRM, handler)
        workspace.FeedBlob("stop", False)
        workspace.FeedBlob("n", np.int64(0))
        workspace.FeedBlob("one", np.int64(1))
        count = core.Net("count")
        count.AtomicFetchAdd64(["n", "one"], ["n", "before"])
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        workspace.RunPlan(core.execution_step("s", count, should_stop_blob="stop"))
        print(len(handled), int(workspace.FetchBlob("n")) > 0)
    """
    assert run_script(script, interrupt=False) == "1 True\n"


# ---- fork ---------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_blobs_nets_and_plans() -> None:
    net = counting()
    busy = threading.Event()  # other threads hold the locks of names and of objects now and then

    def hold(k: int) -> None:
        while not busy.is_set():
            workspace.FeedBlob(f"object{k}", "text")
            workspace.RunNetOnce(core.Net("holder"))

    holders = [threading.Thread(target=hold, args=(k,)) for k in range(2)]
    for thread in holders:
        thread.start()
    workspace.CreateNet(net)
    plan = core.execution_step("s", net, num_iter=50, num_concurrent_instances=2)
    workspace.RunPlan(plan)  # threads of the pool exist before the fork
    child = os.fork()
    if child == 0:
        code = 1
        try:
            workspace.FeedBlob("object", "text")
            workspace.RunNet(net)
            workspace.RunPlan(plan)
            code = 0 if workspace.FetchBlob("n") == 100 + 1 + 100 else 2
        finally:
            os._exit(code)
    busy.set()
    for thread in holders:
        thread.join()
    deadline = time.monotonic() + 60
    while True:
        pid, result = os.waitpid(child, os.WNOHANG)
        if pid:
            break
        assert time.monotonic() < deadline, "the child hangs"
        time.sleep(0.01)
    assert os.waitstatus_to_exitcode(result) == 0
    assert workspace.FetchBlob("n") == 100
