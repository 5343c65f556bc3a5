"""Steps of descent against NumPy, each way of writing, and that workers lose nothing."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from run_operator import apply, close

from caffe2op import core, workspace
from caffe2op.atomics import Mutex
from caffe2op.examples.own_workspace import own_workspace

Array = np.ndarray[Any, Any]
FLOATS = ("float32", "float64")
MODES = ("atomic", "locked", "racy")


def data(dtype: str, *shape: int, seed: int = 0) -> Array:
    return np.random.default_rng((seed, *shape)).normal(size=shape).astype(dtype)


@pytest.fixture(params=FLOATS)
def dtype(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


SHAPES = [(), (3, 7), (2500,), (0, 2)]


@pytest.mark.parametrize("shape", SHAPES)
def test_sgd(dtype: str, mode: str, shape: tuple[int, ...]) -> None:
    p, g, lr = data(dtype, *shape), data(dtype, *shape, seed=1), np.array(-0.3, np.float32)
    (got,) = apply("SGD", [p, g, lr], in_place={0: 0}, update=mode)
    close(got, p + g.dtype.type(lr) * g)


def momentum_step(g: Array, m: Array, lr: Any, mu: Any, nesterov: bool) -> tuple[Array, Array]:
    now = mu * m + lr * g
    return ((1 + mu) * now - mu * m if nesterov else now), now


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_momentum(dtype: str, mode: str, nesterov: bool, shape: tuple[int, ...]) -> None:
    g, m, p = (data(dtype, *shape, seed=k) for k in range(3))
    lr, mu = np.array([0.1], dtype), np.dtype(dtype).type(0.9)
    args: dict[str, Any] = {"momentum": 0.9, "nesterov": nesterov}
    # NumPy 1 makes 0-D results float64
    step, now = (np.asarray(v, dtype) for v in momentum_step(g, m, lr[0], mu, nesterov))
    got = apply("MomentumSGD", [g, m, lr], **args)
    close(got[0], step)
    close(got[1], now)
    same = {0: 0, 1: 1, 2: 3}
    got = apply("MomentumSGDUpdate", [g, m, lr, p], in_place=same, update=mode, **args)
    for one, want in zip(got, (step, now, p - step), strict=True):
        close(one, want)


@pytest.mark.parametrize("decay", [1.0, 0.5])
@pytest.mark.parametrize("shape", SHAPES)
def test_adagrad(dtype: str, mode: str, decay: float, shape: tuple[int, ...]) -> None:
    p, h, g = (data(dtype, *shape, seed=k) for k in range(3))
    h = np.abs(h)
    lr = np.array(-0.1, dtype)
    got = apply(
        "Adagrad", [p, h, g, lr], in_place={0: 0, 1: 1}, decay=decay, epsilon=1e-4, update=mode
    )
    moment = h.dtype.type(decay) * h + g * g
    close(got[1], moment)
    close(got[0], (p + lr * g / (np.sqrt(moment) + h.dtype.type(1e-4))).astype(dtype))


@pytest.mark.parametrize("iteration", [0, 1, 1000])
def test_adam(dtype: str, mode: str, iteration: int) -> None:
    p, m1, m2, g = (data(dtype, 3, 500, seed=k) for k in range(4))
    m2 = np.abs(m2)
    lr, count = np.array(-0.01, np.float32), np.array([iteration], np.int64)
    got = apply("Adam", [p, m1, m2, g, lr, count], in_place={0: 0, 1: 1, 2: 2}, update=mode)
    w1, w2 = 0.9 * m1.astype(float) + 0.1 * g, 0.999 * m2.astype(float) + 0.001 * g * g
    rate = float(lr) * np.sqrt(1 - 0.999 ** (iteration + 1)) / (1 - 0.9 ** (iteration + 1))
    want = p + rate * w1 / (np.sqrt(w2) + 1e-5)
    for one, w in zip(got, (want, w1, w2), strict=True):
        close(one, w.astype(dtype), scale=10)


@pytest.mark.parametrize("index", ["int32", "int64"])
def test_sparse_adagrad(dtype: str, mode: str, index: str) -> None:
    p, h = data(dtype, 6, 3), np.abs(data(dtype, 6, 3, seed=1))
    indices = np.array([4, 0, 4], index)
    g, lr = data(dtype, 3, 3, seed=2), np.array(-0.2, dtype)
    got = apply("SparseAdagrad", [p, h, indices, g, lr], in_place={0: 0, 1: 1}, update=mode)
    for row, k in zip(g, indices, strict=True):  # in turn: one comes twice
        h[k] += row * row
        p[k] += lr * row / (np.sqrt(h[k]) + h.dtype.type(1e-5))
    close(got[0], p)
    close(got[1], h)


@pytest.mark.parametrize("bad", [6, -1])
def test_sparse_adagrad_checks_before_it_writes(bad: int) -> None:
    p = data("float32", 6, 3)
    with own_workspace("optimizer"):
        shared = p.copy()
        workspace.ShareBlob("p", shared)
        workspace.FeedBlob("h", np.abs(p))
        workspace.FeedBlob("i", np.array([0, bad]))
        workspace.FeedBlob("g", np.ones((2, 3), np.float32))
        workspace.FeedBlob("lr", np.float32(1))
        op = core.CreateOperator("SparseAdagrad", ["p", "h", "i", "g", "lr"], ["p", "h"])
        with pytest.raises(IndexError, match=f"index {bad} at position 1 given, 0 <= index < 6"):
            workspace.RunOperatorOnce(op)
    np.testing.assert_array_equal(shared, p)


def test_gradient_rows_of_sums() -> None:
    dy = data("float32", 3, 2)
    lengths, indices = np.array([2, 0, 1], np.int32), np.array([5, 1, 5])
    (rows,) = apply("SparseLengthsIndicesInGradientSumGradient", [dy, lengths, indices])
    close(rows, dy[[0, 0, 2]])
    with pytest.raises(ValueError, match="the lengths add up to 3, 2 "):
        apply("SparseLengthsIndicesInGradientSumGradient", [dy, lengths, indices[:2]])
    with pytest.raises(ValueError, match="length -1 at position 1"):
        apply(
            "SparseLengthsIndicesInGradientSumGradient",
            [dy, np.array([2, -1, 2], np.int32), indices],
        )


# ---- learning rates -----------------------------------------------------------------------------

POLICIES = {
    "fixed": ({}, lambda t: 1.0),
    "step": ({"gamma": 0.5, "stepsize": 10}, lambda t: 0.5 ** (t // 10)),
    "exp": ({"gamma": 0.99}, lambda t: 0.99**t),
    "inv": ({"gamma": 0.1, "power": 0.75}, lambda t: (1 + 0.1 * t) ** -0.75),
    "poly": ({"max_iter": 50, "power": 2.0}, lambda t: max(0.0, 1 - t / 50) ** 2),
    "linearWarmup": (
        {"num_iter": 20, "start_multiplier": 0.2},
        lambda t: 0.2 + 0.8 * min(t / 20, 1),
    ),
    "constantWarmup": ({"num_iter": 20, "multiplier": 0.3}, lambda t: 0.3 if t < 20 else 1.0),
}


@pytest.mark.parametrize("policy", POLICIES)
def test_learning_rate(policy: str) -> None:
    args, factor = POLICIES[policy]
    for t in (0, 1, 9, 10, 19, 20, 21, 49, 50, 51, 1000):
        (lr,) = apply("LearningRate", [np.array([t])], base_lr=-0.5, policy=policy, **args)
        assert lr.dtype == np.float32
        assert lr.shape == ()
        assert lr == pytest.approx(-0.5 * factor(t), rel=1e-6)


def test_wrong_learning_rates() -> None:
    with pytest.raises(ValueError, match="iteration -1, at least 0 expected"):
        apply("LearningRate", [np.array([-1])], base_lr=1.0)
    with pytest.raises(ValueError, match="'policy' must be one of fixed, step"):
        apply("LearningRate", [np.array([0])], base_lr=1.0, policy="steps")
    with pytest.raises(ValueError, match=r"'base_lr' .* is missing"):
        apply("LearningRate", [np.array([0])])
    with pytest.raises(ValueError, match="'stepsize' must be greater than 0"):
        apply("LearningRate", [np.array([0])], base_lr=1.0, stepsize=0)


# ---- workers on the same parameters -------------------------------------------------------------

WORKERS, RUNS, SIZE = 3, 300, 2000


def run_workers(type_: str, mode: str, mutex: list[str]) -> tuple[Array, Array]:
    """Every worker adds whole numbers, so that a sum has no rounding: what is there at the end."""
    workspace.FeedBlob("p", np.zeros(SIZE, np.float32))
    workspace.FeedBlob("h", np.zeros(SIZE, np.float32))
    workspace.FeedBlob("g", np.ones(SIZE, np.float32))
    workspace.FeedBlob("lr", np.float32(1))
    nets = []
    for _ in range(WORKERS):
        net = core.Net("worker")
        if type_ == "SGD":
            net.SGD(["p", "g", "lr", *mutex], ["p"], update=mode)
        else:
            net.Adagrad(["p", "h", "g", "lr", *mutex], ["p", "h"], update=mode)
        nets.append(workspace.CreateNet(net))
    threads = [
        threading.Thread(target=workspace.RunNet, args=(name,), kwargs={"num_iter": RUNS})
        for name in nets
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return workspace.FetchBlob("p"), workspace.FetchBlob("h")


@pytest.mark.parametrize(
    ("mode", "mutex"),
    [("atomic", None), ("locked", None), ("locked", "blob"), ("locked", "memory")],
)
def test_no_update_is_lost(mode: str, mutex: str | None) -> None:
    with own_workspace("optimizer"):
        word = np.zeros(1, np.int64)
        if mutex == "blob":
            workspace.RunOperatorOnce(core.CreateOperator("CreateMutex", [], ["mutex"]))
        elif mutex == "memory":
            workspace.ShareBlob("mutex", word)
        names = ["mutex"] if mutex else []
        p, _ = run_workers("SGD", mode, names)
        assert (p == WORKERS * RUNS).all()
        _, h = run_workers("Adagrad", mode, names)
        assert (h == WORKERS * RUNS).all()


def test_locked_waits_for_the_mutex() -> None:
    with own_workspace("optimizer"):
        word = np.zeros(1, np.int64)
        workspace.ShareBlob("mutex", word)
        workspace.FeedBlob("p", np.zeros(3, np.float32))
        workspace.FeedBlob("g", np.ones(3, np.float32))
        workspace.FeedBlob("lr", np.float32(1))
        op = core.CreateOperator("SGD", ["p", "g", "lr", "mutex"], ["p"], update="locked")
        with Mutex(word):
            thread = threading.Thread(target=workspace.RunOperatorOnce, args=(op,))
            thread.start()
            thread.join(0.05)
            assert thread.is_alive()
            assert not workspace.FetchBlob("p").any()
        thread.join()
        assert workspace.FetchBlob("p").all()
        assert word[0] == 0


def test_a_wait_for_the_mutex_gives_the_gil_up() -> None:
    """Short runs of a net keep the GIL; not one that may wait for Python code."""
    with own_workspace("optimizer"):
        word = np.zeros(1, np.int64)
        workspace.ShareBlob("mutex", word)
        workspace.FeedBlob("p", np.zeros(3, np.float32))
        workspace.FeedBlob("g", np.ones(3, np.float32))
        workspace.FeedBlob("lr", np.float32(1))
        net = core.Net("locked")
        net.AddExternalInput("p", "g", "lr", "mutex")
        net.SGD(["p", "g", "lr", "mutex"], ["p"], update="locked")
        workspace.CreateNet(net)
        for _ in range(100):
            workspace.RunNet(net)
        mutex = Mutex(word)
        mutex.acquire()
        thread = threading.Thread(target=workspace.RunNet, args=(net,))
        thread.start()
        thread.join(0.05)
        mutex.release()
        thread.join()
        assert (workspace.FetchBlob("p") == 101).all()


def test_what_is_refused() -> None:
    p, lr = np.zeros(3, np.float32), np.float32(1)
    with pytest.raises(ValueError, match="'update' must be one of atomic, locked, racy"):
        apply("SGD", [p, p, lr], in_place={0: 0}, update="plain")
    with pytest.raises(ValueError, match=r"input 3 \(mutex\) needs update='locked'"):
        apply("SGD", [p, p, lr, np.zeros(1, np.int64)], in_place={0: 0})
    with pytest.raises(TypeError, match="float32 given, int64 expected"):
        apply("SGD", [p, p, lr, p[:1]], in_place={0: 0}, update="locked")
    with pytest.raises(ValueError, match="must be the same blob"):
        apply("SGD", [p, p, lr])
    with pytest.raises(ValueError, match=r"input 1.*float32 \(2,\) given, float32 \(3,\)"):
        apply("SGD", [p, p[:2], lr], in_place={0: 0})
    with pytest.raises(ValueError, match="a scalar"):
        apply("SGD", [p, p, p], in_place={0: 0})
    with pytest.raises(ValueError, match="iteration -1, at least 0"):
        apply("Adam", [p, p, p, p, lr, np.array(-1)], in_place={0: 0, 1: 1, 2: 2})
