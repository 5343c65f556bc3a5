"""Threads, processors, signals, forks and exits: each in a process of its own."""

import functools

import pytest

import program

HEAD = """
import gc, os, signal, sys, threading, time, warnings
import numpy as np
from caffe2op import core, workspace
from caffe2op._core import lib
from caffe2op.asyncnet import AsyncNet

# From 3.12 on; that a fork works here is what is tested.
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)

def threads():
    return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 1 + \\
        lib.c2_pool_threads()

def sleeping(n, seconds=0.0):
    return AsyncNet.from_functions({f"f{k}": (lambda: time.sleep(seconds)) for k in range(n)},
                                   workers=2, mode="dynamic")
"""


run = functools.partial(program.run, head=HEAD)
check = functools.partial(program.check, head=HEAD)


def test_no_threads_before_the_first_run() -> None:
    check("""
    import asyncio
    before = threads()
    made = [sleeping(10, 0.001) for _ in range(10)]
    net = core.Net("n")
    net.ConstantFill([], "x", shape=[3])
    made.append(AsyncNet(net))
    assert threads() == before == 1, threads()
    assert threading.active_count() == 1
    made[-1].run()
    assert threads() == 1, "one operator needs no second thread"
    made[0].run()
    assert 1 < threads() <= 3, threads()
    """)


def test_nets_share_threads() -> None:
    check("""
    made = [AsyncNet.from_functions({f"f{j}": (lambda: time.sleep(0.001)) for j in range(4)})
            for _ in range(20)]
    for net in made:
        for future in [net.submit() for _ in range(5)]:
            future.result()
    cpus = len(os.sched_getaffinity(0))
    assert threads() <= 1 + 2 * cpus, threads()
    """)


def test_idle_workers_use_no_processor() -> None:
    check("""
    made = sleeping(20, 0.001)
    made.run(); made.submit().result(); made.run(timeout=50)
    time.sleep(0.05)
    before = time.process_time()
    time.sleep(0.5)
    used = time.process_time() - before
    assert threads() > 1
    assert used < 0.05, used
    """)


@pytest.mark.parametrize(
    "start",
    ["net.run()", "net.submit().result()", "net.run(timeout=50)", "next(net.map([{}] * 9))"],
)
def test_control_c(start: str) -> None:
    """The signal comes at some moment after the tenth function has begun."""
    check(f"""
    sent = []

    def kill():
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    functions = {{f"f{{k}}": (lambda: time.sleep(0.05)) for k in range(1000)}}
    timers = iter([threading.Timer(0.06, kill)])  # one signal, however many runs there are
    functions["f9"] = lambda: [timer.start() for timer in timers]
    net = AsyncNet.from_functions(functions, workers=2, mode="dynamic")
    try:
        {start}
    except KeyboardInterrupt:
        assert time.monotonic() - sent[0] < 15  # of 25 that the run takes
    else:
        raise AssertionError("it went on")
    net.close(cancel=True)
    """)


@pytest.mark.parametrize("start", ["made.run()", "made.run(timeout=50)", "made.submit().result()"])
def test_control_c_in_a_net_of_native_operators(start: str) -> None:
    """It is a poll that finds the signal, not an operator; and no later run ends by it.

    Without collections of garbage: where a signal comes during one, its handler may run in the
    callback of a weak reference, and Python ignores what is raised there, in any program."""
    check(f"""
    gc.disable()
    net = core.Net("long")
    workspace.FeedBlob("x", np.ones((200, 200), np.float32))
    for k in range(20000):
        net.Sigmoid("x", f"y{{k % 50}}")
    for mode in ("auto", "static", "dynamic"):
        made = AsyncNet(net, workers=2, mode=mode)
        try:
            threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
            while True:
                {start}
        except KeyboardInterrupt:
            pass
        try:
            made.run(timeout=0)
        except TimeoutError:
            pass
    """)


def test_fork() -> None:
    check("""
    made = AsyncNet.from_functions({"f": lambda x: x + 1, "g": lambda f: f * 2},
                                   [("x", "f"), ("f", "g")])
    assert made.submit({"x": 1}).result() == {"g": 4}
    slow = sleeping(4, 0.3)
    flying = slow.submit()
    while not flying.running():
        time.sleep(0.001)
    child = os.fork()
    if child == 0:
        try:
            assert isinstance(flying.exception(), RuntimeError)
            assert "parent" in str(flying.exception())
            assert made.submit({"x": 2}).result() == {"g": 6}
            assert [r["g"] for r in made.map([{"x": k} for k in range(9)])] == [
                2 * (k + 1) for k in range(9)]
            fast = sleeping(20, 0.001)
            fast.run()
            try:
                fast.run(timeout=0.002)
            except TimeoutError:
                pass
            fast.close()
            os._exit(0)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert set(flying.result()) == {"f0", "f1", "f2", "f3"}
    """)


@pytest.mark.parametrize("mode", ["auto", "static", "dynamic"])
def test_exit_with_runs_in_flight(mode: str) -> None:
    done = run(
        f"""
    made = AsyncNet.from_functions({{f"f{{k}}": (lambda: time.sleep(0.01)) for k in range(10000)}},
                                   workers=2, mode={mode!r})
    futures = [made.submit() for _ in range(10)]
    while not futures[0].running():
        time.sleep(0.001)
    time.sleep(0.05)
    print("leaving")
    """,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "leaving\n"
    assert not done.stderr


def test_exit_by_an_exception_with_runs_in_flight() -> None:
    done = run(
        """
    made = sleeping(10000, 0.01)
    futures = [made.submit() for _ in range(4)]
    raise SystemExit(3)
    """,
        timeout=60,
    )
    assert done.returncode == 3
    assert not done.stderr
