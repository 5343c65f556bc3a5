"""What goes wrong in an operator: who hears of it, in what words, and what goes on."""

import threading
import traceback

import numpy as np
import pytest

from caffe2op import core, workspace
from caffe2op.asyncnet import AsyncNet
from caffe2op.asyncnet.instance import MODES
from caffe2op.workspace.run import failure, new_run
from together import together

from .graphs import until


def raising(message: str) -> None:
    raise LookupError(message)


@pytest.mark.parametrize("mode", MODES)
def test_python_operator_that_raises(mode: str) -> None:
    done = []

    def fail(inputs: list, outputs: list) -> None:
        raising("no such thing")

    net = core.Net("broken")
    workspace.FeedBlob("x", np.zeros((2, 3), np.float32))
    net.Relu("x", "h")
    net.Python(fail)(["h"], ["y"], name="reader")
    net.Python(lambda i, o: done.append(1))(["y"], ["z"])
    made = AsyncNet(net, workers=2, mode=mode)
    for run in (made.run, lambda: made.submit().result()):
        with pytest.raises(LookupError, match="no such thing") as caught:
            run()
        assert caught.value.__notes__ == [
            f"raised in net '{net.Name()}', operator 1: Python 'reader'; inputs: h float32 (2, 3)"
        ]
        assert "raising" in "".join(traceback.format_exception(caught.value))
    assert not done
    made.close()


@pytest.mark.parametrize("mode", MODES)
def test_native_operator_that_fails(mode: str) -> None:
    workspace.FeedBlob("x", np.zeros((2, 3), np.float32))
    workspace.FeedBlob("w", np.zeros(4, np.float32))
    net = core.Net("misfit")
    net.Add(["x", "w"], "y", name="sum")
    net.Relu("y", "z")
    made = AsyncNet(net, workers=2, mode=mode)
    for run in (made.run, lambda: made.submit().result()):
        with pytest.raises(ValueError, match=r"operator 0: Add 'sum': .*'w'.*'x'") as caught:
            run()
        assert str(caught.value).startswith(f"net '{net.Name()}', ")
        assert caught.value.__notes__ == ["inputs: x float32 (2, 3), w float32 (4,)"]
    workspace.FeedBlob("w", np.ones(3, np.float32))
    assert made.run()["z"].sum() == 6
    assert made.submit().result()["z"].sum() == 6
    made.close()


def test_operator_that_reports_failure() -> None:
    net = core.Net("no")
    net.Python(lambda i, o: False)([], ["x"], name="check")
    with pytest.raises(RuntimeError, match="operator 0: Python 'check': reported failure"):
        AsyncNet(net).run()


@pytest.mark.parametrize("mode", ["static", "dynamic"])
def test_first_error_in_time_is_raised(mode: str) -> None:
    run = new_run(polls=False)

    def first() -> None:
        raise KeyError("first")

    def second() -> None:
        until(lambda: run.claimed == 2)  # the first failure is written
        raise ValueError("second")

    made = AsyncNet.from_functions({"second": second, "first": first}, workers=2, mode=mode)
    instance = made._program.shared_instance()
    for _ in range(20):
        run = new_run(polls=False)
        assert instance.execute(run) != 0
        error = failure(run, instance.nets)
        assert isinstance(error, KeyError)


def test_other_runs_in_flight_go_on() -> None:
    gate = threading.Event()

    def work(k: int) -> int:
        assert gate.wait(20)
        if k == 3:
            raise ValueError(f"not {k}")
        return k

    made = AsyncNet.from_functions({"work": work}, [("k", "work")], workers=4)
    futures = [made.submit({"k": k}) for k in range(8)]
    gate.set()
    for k, future in enumerate(futures):
        if k == 3:
            with pytest.raises(ValueError, match="not 3"):
                future.result()
            assert isinstance(future.exception(), ValueError)
        else:
            assert future.result() == {"work": k}
    made.close()


@pytest.mark.parametrize("mode", MODES)
def test_net_runs_again_after_many_errors(mode: str) -> None:
    fails = [True]

    def maybe(k: int) -> int:
        if fails[0] and k % 7 == 3:
            raise ValueError("now")
        return k

    functions = {f"f{k}": (lambda k=k: maybe(k)) for k in range(40)}
    made = AsyncNet.from_functions(functions, workers=3, mode=mode)
    for _ in range(30):
        fails[0] = True
        with pytest.raises(ValueError, match="now"):
            made.run()
        fails[0] = False
        assert sum(made.run().values()) == sum(range(40))


@pytest.mark.parametrize("mode", MODES)
def test_net_within_an_operator(mode: str) -> None:
    inner = AsyncNet.from_functions(
        {f"g{k}": (lambda k=k: k) for k in range(5)}, workers=2, mode=mode
    )
    outer = AsyncNet.from_functions(
        {f"f{k}": (lambda: sum(inner.run().values())) for k in range(10)}, workers=2, mode=mode
    )
    for _ in range(5):
        assert set(outer.run().values()) == {10}


@pytest.mark.parametrize("workers", [1, 2])
def test_operator_waits_for_runs_that_it_submits(workers: int) -> None:
    """More waiting operators than threads: each does a queued run itself."""
    inner = AsyncNet.from_functions({"g": lambda x: x + 1}, [("x", "g")])

    def call(x: int) -> int:
        return sum(f.result()["g"] for f in [inner.submit({"x": x}) for _ in range(3)])

    outer = AsyncNet.from_functions({"f": call}, [("x", "f")], workers=workers)
    found = [r["f"] for r in outer.map(({"x": k} for k in range(20)), inflight=8)]
    assert found == [3 * (k + 1) for k in range(20)]
    outer.close()
    inner.close()


@pytest.mark.parametrize("mode", MODES)
def test_callback_runs_the_same_net(mode: str) -> None:
    depth = [0]
    made: list[AsyncNet] = []

    def again() -> int:
        depth[0] += 1
        if depth[0] < 4:
            made[0].run()
        return depth[0]

    made.append(
        AsyncNet.from_functions(
            {"again": again, "after": lambda d: d}, [("again", "after")], workers=2, mode=mode
        )
    )
    assert made[0].run() == {"after": 4}


def test_two_threads_run_the_same_blobs() -> None:
    net = core.Net("both")
    workspace.FeedBlob("total", np.int64(0))
    workspace.FeedBlob("one", np.int64(1))
    for _ in range(20):
        net.AtomicFetchAdd64(["total", "one"], ["total", "before"])
    made = AsyncNet(net, workers=2)
    together(*[lambda: [made.run() for _ in range(50)]] * 3)
    assert workspace.FetchBlob("total") == 3 * 50 * 20


def test_inputs_that_do_not_fit_fail_their_run_only() -> None:
    net = core.Net("copy")
    net.Copy("x", "y")
    made = AsyncNet(net, inputs=["x"])
    bad, good = made.submit({"x": np.array([1j])}), made.submit({"x": np.float32(2)})
    with pytest.raises(TypeError, match="complex128"):
        bad.result()
    assert good.result()["y"] == 2
    made.close()


def test_future_is_done_when_its_callbacks_run() -> None:
    made = AsyncNet.from_functions({"f": lambda: 1})
    seen = []
    future = made.submit()
    future.add_done_callback(lambda f: seen.append(f.result(0)))
    until(lambda: seen == [{"f": 1}])
    made.close()
