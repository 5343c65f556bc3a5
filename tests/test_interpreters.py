"""The interpreter around the package: subinterpreters, exits with daemon threads inside, forks with
locks held, signals in whatever blocks, and what can be pickled."""

from __future__ import annotations

import copy
import functools
import os
import pickle
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import program
from caffe2op import asyncnet, core, workspace
from caffe2op.atomics import AtomicArray, AtomicBool, Mutex, OwnerDiedError, SharedArray
from caffe2op.workspace.workspaces import current

HEAD = """
import os, signal, sys, threading, time, warnings
import numpy as np
from caffe2op import core, workspace
from caffe2op.asyncnet import AsyncNet, Rendezvous
from caffe2op.atomics import AtomicArray, AtomicBool, Mutex, OwnerDiedError, SharedArray

warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)

def forever(kind):
    "A plan that nobody ends, of native operators or with one in Python."
    net = core.Net("body")
    if kind == "native":
        workspace.FeedBlob("v", np.zeros(20_000, np.float32))
        net.Relu("v", "w")
    else:
        net.Python(lambda inputs, outputs: None)([], [])
    plan = core.Plan("forever")
    plan.AddStep(core.execution_step("s", net, num_iter=2**62, num_concurrent_instances=2))
    return plan

setup = core.Net("setup")
setup.CreateBlobsQueue([], "q", capacity=1, num_blobs=1)
workspace.RunNetOnce(setup)

def starved():
    "A net that waits for a queue that nobody fills."
    net = core.Net("starved")
    net.DequeueBlobs("q", "x")
    return net

def functions(seconds):
    return AsyncNet.from_functions({f"f{k}": (lambda: time.sleep(seconds)) for k in range(2000)},
                                   workers=2, mode="dynamic")

word = AtomicArray(np.zeros(1, np.int64))
mutex = Mutex()
held = threading.Event()
def hold():
    mutex.acquire()
    held.set()
    time.sleep(1000)
threading.Thread(target=hold, daemon=True).start()
held.wait()
"""

# Each blocks for ever, or for minutes; `mutex` is held by a thread that sleeps.
BLOCKING = {
    "mutex": "mutex.acquire()",
    "mutex, timeout": "mutex.acquire(timeout=300)",
    "word": "word.wait(0, 0)",
    "cell": "word.cell(0).wait(0)",
    "native plan": "workspace.RunPlan(forever('native'))",
    "Python plan": "workspace.RunPlan(forever('python'))",
    "queue": "workspace.RunNetOnce(starved())",
    "rendezvous": "Rendezvous(2).wait()",
    "functions": "functions(0.1).run()",
    "future": "functions(0.1).submit().result()",
}


run = functools.partial(program.run, head=HEAD)
check = functools.partial(program.check, head=HEAD)


# ---- subinterpreters ----------------------------------------------------------------------------

SUB = """
import sys
import caffe2op.atomics  # in the main one, where it goes on working
import numpy as np
view = caffe2op.atomics.AtomicArray(np.zeros(1))
if sys.version_info >= (3, 13):
    import _interpreters as interpreters
    made = [interpreters.create("legacy"), interpreters.create("isolated")]
else:
    import _xxsubinterpreters as interpreters
    kinds = [{}] if sys.version_info < (3, 12) else [{"isolated": False}, {"isolated": True}]
    made = [interpreters.create(**kind) for kind in kinds]
script = '''
try:
    import caffe2op.%s
except ImportError as reason:
    print("refused:", reason, flush=True)
'''
for one in made:
    for module in ("atomics", "workspace"):
        interpreters.run_string(one, script % module)
    interpreters.destroy(one)
print(view.fetch_add(0, 1), view.cell(0).load())
"""


def test_a_subinterpreter_is_refused_in_words() -> None:
    lines = program.check(SUB).splitlines()
    assert lines[-1] == "0.0 1.0"
    assert len(lines) >= 3
    for line in lines[:-1]:
        assert line.startswith("refused: caffe2op works in a process's main interpreter only")


# ---- the end of the interpreter -----------------------------------------------------------------


@pytest.mark.parametrize("call", BLOCKING.values(), ids=BLOCKING)
def test_exit_with_daemon_threads_inside(call: str) -> None:
    """They end with the process: no crash, no wait, no word. (But a run that was submitted is
    stopped, and whoever waits for it is told, if there is time.)"""
    done = run(
        f"""
        started = threading.Barrier(4)
        def body():
            started.wait()
            try:
                {call}
            except RuntimeError as reason:
                if "the interpreter exits" not in str(reason):
                    raise
        for _ in range(3):
            threading.Thread(target=body, daemon=True).start()
        started.wait()
        time.sleep(0.1)  # so that most are inside; any other moment has to do as well
        print("leaving")
        """,
        timeout=100,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "leaving\n", "")


def test_an_exit_handler_may_run_nets() -> None:
    """Those of the main thread, also with Python operators, when daemon threads may no more."""
    done = run("""
        import atexit
        net = core.Net("last")
        net.Python(lambda inputs, outputs: print("last"))([], [])
        def end():
            os.write(1, b"end ")
            workspace.RunNetOnce(net)
        # Exit handlers run backwards: to come after the package's own, this one goes first.
        from caffe2op.workspace import python_calls
        from caffe2op._core import lib
        atexit.unregister(lib.c2_python_ends)
        atexit.register(end)
        atexit.register(lib.c2_python_ends, python_calls.EXIT_PATIENCE_NS)
        threading.Thread(target=lambda: workspace.RunPlan(forever("python")), daemon=True).start()
        time.sleep(0.1)
        """)
    assert (done.returncode, done.stdout, done.stderr) == (0, "end last\n", "")


# ---- signals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", BLOCKING.values(), ids=BLOCKING)
def test_control_c_ends_what_blocks(call: str) -> None:
    check(f"""
    begin = time.monotonic()
    try:
        threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        {call}
    except KeyboardInterrupt:
        assert time.monotonic() - begin < 30
    else:
        raise AssertionError("it went on")
    """)


# ---- fork ---------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_fork_with_locks_held_and_waited_for() -> None:
    """The child gets a copy of private memory, in which the lock stays the parent's as long as the
    parent lives, and shares shared memory, in which it is one and the same lock."""
    check("""
    shared = SharedArray.create(1, np.int64)
    ours, private = shared.mutex(), Mutex()
    ours.acquire(); private.acquire()
    waiting = threading.Thread(target=lambda: (ours.acquire(), ours.release()))
    waiting.start()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            assert not private.acquire(timeout=0.05)
            assert not ours.acquire(blocking=False)
            for lock in (private, ours):
                try:
                    lock.release()
                except RuntimeError:
                    pass
                else:
                    raise AssertionError("released another's")
            os.write(write, b"x")
            assert ours.acquire(timeout=30)
            ours.release()
            fresh = Mutex()
            with fresh:
                assert fresh.locked()
            os._exit(0)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
    assert os.read(read, 1) == b"x"
    ours.release(); private.release()
    assert os.waitpid(child, 0)[1] == 0
    waiting.join()
    assert not ours.locked() and not private.locked()
    """)


# ---- pickling -----------------------------------------------------------------------------------


def definitions() -> dict[str, Any]:
    net = core.Net("pickled")
    x = net.ConstantFill([], "x", shape=[2], value=3.0)
    net.Copy(x, "y")
    step = core.execution_step("step", net, num_iter=2)
    plan = core.Plan("plan")
    plan.AddStep(step)
    return {
        "net": net,
        "reference": x,
        "net definition": net.Proto(),
        "operator": net.Proto().op[0],
        "argument": net.Proto().op[0].arg[0],
        "step": step,
        "plan": plan,
        "plan definition": plan.Proto(),
        "data type": core.DataType.INT32,
        "device": core.DeviceOption(0, 0),
        "barrier": asyncnet.AsyncNetBarrier("x", "y"),
        "owner died": OwnerDiedError("why"),
        "missing": workspace.MissingError("what"),
    }


@pytest.mark.parametrize("name", definitions())
@pytest.mark.parametrize("way", [pickle, copy], ids=["pickle", "deepcopy"])
def test_definitions_travel(name: str, way: Any) -> None:
    made = definitions()[name]
    again = copy.deepcopy(made) if way is copy else pickle.loads(pickle.dumps(made))
    assert type(again) is type(made)
    assert again is not made or name == "data type"
    for text in (str, repr):
        if "object at 0x" not in text(made):
            assert text(again) == text(made)


def test_what_travelled_runs() -> None:
    made = definitions()
    workspace.ResetWorkspace()
    workspace.RunPlan(pickle.loads(pickle.dumps(made["plan"])))
    assert workspace.FetchBlob("y").tolist() == [3, 3]
    workspace.ResetWorkspace()
    reference = pickle.loads(pickle.dumps(made["reference"]))
    reference.Copy([], "z")  # its net came with it
    workspace.RunNetOnce(reference.Net())
    assert workspace.FetchBlob("z").tolist() == [3, 3]
    assert len(made["net"].Proto().op) == 2


def net_of_one() -> asyncnet.AsyncNet:
    return asyncnet.AsyncNet.from_functions({"f": lambda: 1})


STAYING: dict[str, tuple[Callable[[], Any], str]] = {
    "AtomicArray": (lambda: AtomicArray(np.zeros(1)), "named shared memory"),
    "Cell": (lambda: AtomicArray(np.zeros(1)).cell(0), "named shared memory"),
    "AtomicBool": (AtomicBool, "named shared memory"),
    "Mutex": (Mutex, "named shared memory"),
    "AsyncNet": (net_of_one, "make an AsyncNet of it there"),
    "RunFuture": (lambda: net_of_one().submit(), "send what result"),
    "Outputs": (lambda: net_of_one().run(), "send dict"),
    "Workspace": (lambda: current.workspace, "what FetchBlob gives"),
    "Blob": (lambda: current.workspace.create_blob("b"), "what FetchBlob gives"),
}


@pytest.mark.parametrize("name", STAYING)
@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy])
def test_what_belongs_to_a_process_says_what_to_send(name: str, way: Callable[..., Any]) -> None:
    make, instead = STAYING[name]
    with pytest.raises(TypeError, match=f"^{name} cannot be pickled or copied: .*{instead}"):
        way(make())


def test_nothing_is_unpickled_from_shared_memory() -> None:
    """Bytes that would run a program, were they taken for a pickle, are bytes: in a whole segment,
    and in one whose every byte of elements they are."""

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return os._exit, (77,)

    load = np.frombuffer(pickle.dumps(Bomb()), np.uint8)
    with SharedArray.create(len(load), np.uint8) as shared:
        shared.array[:] = load
        again = SharedArray.attach(shared.name)
        assert bytes(again.array) == bytes(load)
        travelled = pickle.loads(pickle.dumps(again.atomic()))
        assert bytes(travelled.array) == bytes(load)


def test_a_wait_uses_no_processor() -> None:
    """What blocks here blocks in the system."""
    mutex = Mutex()
    assert mutex.acquire()
    word = AtomicArray(np.zeros(1, np.int64))
    used = time.process_time()
    assert not word.wait(0, 0, timeout=0.3)
    assert time.process_time() - used < 0.15
    mutex.release()
