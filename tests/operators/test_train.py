"""SparseLinearTrain and SparseLinearScore against a NumPy twin; the ledger; what is refused; in a
plan, an AsyncNet, and by processes."""

from __future__ import annotations

import multiprocessing
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sparse_rows import make_rows

from caffe2op import asyncnet, core, workspace
from caffe2op.atomics.shared import SharedArray

Array = np.ndarray[Any, Any]
SENT, SENT_SUM, RECEIVED, RECEIVED_SUM, BASE = 1, 2, 3, 4, 5


# ---- the twin -----------------------------------------------------------------------------------


class Twin:
    """The same training in float64, as it is written in books."""

    def __init__(self, rows: dict[str, Array], features: int, **args: Any) -> None:
        self.rows, self.args, self.features = rows, args, features
        self.weights = np.zeros(features + 1)
        self.squares = np.zeros(features + 1)
        self.loss = 0.0
        self.slopes: list[float] = []

    def row(self, r: int) -> tuple[Array, Array]:
        span = slice(self.rows["indptr"][r], self.rows["indptr"][r + 1])
        values = (
            self.rows["values"][span]
            if "values" in self.rows
            else np.ones(len(self.rows["indices"][span]))
        )
        return self.rows["indices"][span], values.astype(np.float64)

    def score(self, r: int) -> float:
        indices, values = self.row(r)
        bias = self.weights[-1] if self.args["intercept"] else 0.0
        return float(np.dot(self.weights[indices], values) + bias)

    def change(self, i: int, gradient: float, rate: float, l2: float) -> None:
        if self.args["step"] == "adagrad":
            self.squares[i] += gradient**2
            rate /= np.sqrt(self.squares[i] + 1e-10)
        self.weights[i] += rate * (gradient - l2 * self.weights[i])

    def train(self, limit: int, base: int = 0) -> None:
        count, batch = len(self.rows["targets"]), self.args["batch_size"]
        for position in range(limit):
            r = (base + position) % count
            at = base + position // batch * batch
            rate = self.args["lr"] / (1 + self.args["decay"] * at / count)
            target, score = self.rows["targets"][r], self.score(r)
            if self.args["loss"] == "log":
                slope = target - 1 / (1 + np.exp(-score))
                self.loss += np.logaddexp(0, -score if target > 0.5 else score)
            else:
                slope = target - score
                self.loss += slope**2 / 2
            self.slopes.append(slope)
            for i, v in zip(*self.row(r), strict=True):
                self.change(i, slope * v, rate, self.args["l2"])
            if self.args["intercept"]:
                self.change(self.features, slope, rate, 0)


# ---- data ---------------------------------------------------------------------------------------


SHARED = ("cursor", "log", "marks")
OWN = ("weights", "applied", "ledger", "loss")


def shared_state(limit: int, batch: int) -> dict[str, Array]:
    return {
        "cursor": np.zeros((), np.int64),
        "log": np.zeros(limit, np.float32),
        "marks": np.zeros(-(-limit // batch), np.uint8),
    }


def own_state(
    features: int, limit: int, batch: int, width: int, intercept: bool
) -> dict[str, Array]:
    shape = (features + intercept,) + (width,) * (width - 1)
    return {
        "weights": np.zeros(shape, np.float32),
        "applied": np.zeros(-(-limit // batch), np.uint8),
        "ledger": np.zeros(6, np.int64),
        "loss": np.zeros(1),
    }


def share(arrays: dict[str, Array], suffix: str = "") -> None:
    for name, array in arrays.items():
        workspace.ShareBlob(f"{name}{suffix}", array)


def train_blobs(worker: int, valued: bool) -> tuple[list[str], list[str]]:
    own = [f"{name}_{worker}" for name in OWN]
    inputs = [f"start_{worker}", "cursor", "indptr", "indices", "targets", "log", "marks", *own]
    return inputs + ["values"] * valued, ["log", "marks", *own]


def train_op(worker: int, valued: bool, **args: Any) -> Any:
    return core.CreateOperator("SparseLinearTrain", *train_blobs(worker, valued), **args)


def add_worker(net: core.Net, worker: int, valued: bool, **args: Any) -> core.Net:
    net.AtomicFetchAdd64(["cursor", "batch"], ["cursor", f"start_{worker}"])
    net.SparseLinearTrain(*train_blobs(worker, valued), **args)
    net.GE([f"start_{worker}", "limit"], f"done_{worker}")
    return net


def worker_net(worker: int, valued: bool, **args: Any) -> core.Net:
    return add_worker(core.Net(f"worker_{worker}"), worker, valued, **args)


# ---- against the twin ---------------------------------------------------------------------------


@given(
    seed=st.integers(0, 10**6),
    valued=st.booleans(),
    intercept=st.booleans(),
    loss=st.sampled_from(["log", "squared"]),
    step=st.sampled_from(["sgd", "adagrad"]),
    l2=st.sampled_from([0.0, 0.2]),
    decay=st.sampled_from([0.0, 1.5]),
    batch=st.integers(1, 20),
    limit=st.integers(1, 60),
    base=st.integers(0, 40),
)
@settings(max_examples=120, deadline=None)
def test_one_worker(
    seed: int,
    valued: bool,
    intercept: bool,
    loss: str,
    step: str,
    l2: float,
    decay: float,
    batch: int,
    limit: int,
    base: int,
) -> None:
    """One worker is serial SGD, or AdaGrad, to the precision of float32."""
    rows = make_rows(seed, count=17, features=11, most=6, valued=valued, labels="targets")
    args = {"loss": loss, "step": step, "l2": l2, "decay": decay, "lr": 0.05}
    args |= {"batch_size": batch, "intercept": intercept}
    shared = shared_state(limit, batch)
    own = own_state(11, limit, batch, 1 + (step == "adagrad"), intercept)
    own["ledger"][BASE] = base
    share(rows)
    share(shared)
    share(own, "_0")
    share({"batch": np.array(batch, np.int64), "limit": np.array(limit, np.int64)})
    workspace.RunPlan(
        core.execution_step("s", worker_net(0, valued, **args), should_stop_blob="done_0")
    )
    twin = Twin(rows, 11, **args)
    twin.train(limit, base)
    weights = own["weights"] if step == "sgd" else own["weights"][:, 0]
    slots = 11 + intercept
    np.testing.assert_allclose(weights, twin.weights[:slots], rtol=2e-3, atol=2e-4)
    if step == "adagrad":
        np.testing.assert_allclose(own["weights"][:, 1], twin.squares[:slots], rtol=2e-3, atol=1e-4)
    np.testing.assert_allclose(shared["log"], twin.slopes, rtol=2e-3, atol=5e-4)
    np.testing.assert_allclose(own["loss"], twin.loss, rtol=1e-3, atol=1e-3)
    assert own["ledger"][SENT] == own["ledger"][RECEIVED] == limit
    bits = shared["log"].view(np.uint32).astype(np.int64)
    assert own["ledger"][SENT_SUM] == (np.arange(1, limit + 1) * bits).sum()
    assert own["ledger"][RECEIVED_SUM] == own["ledger"][SENT_SUM]
    assert shared["marks"].all()


@pytest.mark.parametrize("valued", [False, True])
@pytest.mark.parametrize("step", ["sgd", "adagrad"])
def test_score(valued: bool, step: str) -> None:
    rows = make_rows(1, count=40, features=9, most=7, valued=valued, labels="targets")
    weights = np.random.default_rng(2).normal(size=(10, 2)).astype(np.float32)
    if step == "sgd":
        weights = np.ascontiguousarray(weights[:, 0])
    share(rows)
    workspace.FeedBlob("w", weights)
    inputs = ["indptr", "indices", "w"] + ["values"] * valued
    op = core.CreateOperator("SparseLinearScore", inputs, ["y"], step=step, intercept=True)
    workspace.RunOperatorOnce(op)
    twin = Twin(rows, 9, intercept=True)
    twin.weights = (weights if step == "sgd" else weights[:, 0]).astype(np.float64)
    want = [twin.score(r) for r in range(40)]
    np.testing.assert_allclose(workspace.FetchBlob("y"), want, rtol=1e-4, atol=1e-5)


# ---- several workers ----------------------------------------------------------------------------

# Without l2, which shrinks weights between the steps: their order would show in the weights.
BUSY = {"batch_size": 8, "lr": 0.01, "loss": "log", "l2": 0.0, "intercept": True}


def check_ledgers(ledgers: Array, limit: int) -> None:
    assert ledgers[:, SENT].sum() == limit
    assert (ledgers[:, RECEIVED] == limit).all()
    assert (ledgers[:, RECEIVED_SUM] == ledgers[:, SENT_SUM].sum()).all()


@pytest.mark.parametrize("workers", [2, 3])
def test_threads_lose_nothing(workers: int) -> None:
    """All of a plan's workers receive all that any sent; so their weights agree, too."""
    rows = make_rows(5, count=4000, features=30, most=8, valued=True, labels="targets")
    limit = 20_000
    share(rows)
    share(shared_state(limit, 8))
    share({"batch": np.array(8, np.int64), "limit": np.array(limit, np.int64)})
    states = [own_state(30, limit, 8, 1, True) for _ in range(workers)]
    nets = [worker_net(k, True, **BUSY) for k in range(workers)]
    for k, state in enumerate(states):
        share(state, f"_{k}")
    steps = [
        core.execution_step(f"w{k}", net, should_stop_blob=f"done_{k}")
        for k, net in enumerate(nets)
    ]
    workspace.RunPlan(core.execution_step("all", steps, concurrent_substeps=True))
    workspace.RunPlan(core.execution_step("rest", nets))
    check_ledgers(np.stack([state["ledger"] for state in states]), limit)
    for state in states:
        np.testing.assert_allclose(state["weights"], states[0]["weights"], atol=1e-3)


def test_asyncnet_runs_it() -> None:
    """Two workers in one net: they write one log, so the net orders them, and nothing changes."""
    rows = make_rows(6, count=64, features=12, most=6, valued=False, labels="targets")
    share(rows)
    share(shared_state(64, 8))
    share({"batch": np.array(8, np.int64), "limit": np.array(64, np.int64)})
    states = [own_state(12, 64, 8, 1, True) for _ in range(2)]
    net = core.Net("both")
    for k, state in enumerate(states):
        share(state, f"_{k}")
        add_worker(net, k, False, **BUSY)
    run = asyncnet.AsyncNet(net, workers=2)
    for _ in range(5):
        run.run()
    check_ledgers(np.stack([state["ledger"] for state in states]), 64)


def process_body(worker: int, shared: dict[str, SharedArray], limit: int) -> None:
    for name, one in shared.items():
        workspace.ShareBlob(name, one.array)
    share({"batch": np.array(8, np.int64), "limit": np.array(limit, np.int64)})
    net = worker_net(worker, True, **BUSY)
    workspace.RunPlan(core.execution_step("w", net, should_stop_blob=f"done_{worker}"))


def test_processes_lose_nothing() -> None:
    limit = 60_000
    arrays = make_rows(7, count=3000, features=30, most=8, valued=True, labels="targets")
    arrays |= shared_state(limit, 8)
    for k in range(2):
        arrays |= {f"{n}_{k}": a for n, a in own_state(30, limit, 8, 1, True).items()}
    shared = {name: SharedArray.create(array.shape, array.dtype) for name, array in arrays.items()}
    try:
        for name, array in arrays.items():
            shared[name].array[...] = array
        spawn = multiprocessing.get_context("spawn")
        workers = [spawn.Process(target=process_body, args=(k, shared, limit)) for k in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
        assert [worker.exitcode for worker in workers] == [0, 0]
        for k in range(2):  # what the other's last batches left to apply
            process_body(k, shared, limit)
        check_ledgers(np.stack([shared[f"ledger_{k}"].array for k in range(2)]), limit)
        workspace.ResetWorkspace()
    finally:
        for one in shared.values():
            one.close()
            one.unlink()


# ---- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "wrong", "error", "message"),
    [
        ("indptr", np.array([0, 2, 1], np.int64), IndexError, "row 1: .*'indptr'"),
        ("indptr", np.array([0, 1, 9], np.int64), IndexError, "row 1"),
        ("indptr", np.array([0], np.int64), ValueError, "at least 2 elements"),
        ("indptr", np.array([0, 1, 2], np.int32), TypeError, "int64"),
        ("indices", np.array([0, 3], np.int32), IndexError, "0 <= index < 3"),
        ("indices", np.array([0, -1], np.int32), IndexError, "0 <= index < 3"),
        ("targets", np.array([0], np.float32), ValueError, "at least 2 elements"),
        ("values", np.array([1], np.float32), ValueError, "at least 2 elements"),
        ("log", np.zeros(2), TypeError, "float32"),
        ("marks", np.zeros(1, np.uint8), ValueError, "'marks'.* at least 2 elements"),
        ("marks", np.ones(2, np.uint8), ValueError, "trained already"),
        ("applied_0", np.ones(2, np.uint8), ValueError, "trained already"),
        ("weights_0", np.zeros(3), TypeError, "float32"),
        ("ledger_0", np.zeros(5, np.int64), ValueError, "at least 6 elements"),
        ("ledger_0", np.array([-1, 0, 0, 0, 0, 0]), ValueError, "0 to 2\\^62"),
        ("start_0", np.array(1, np.int64), ValueError, "multiple of batch_size 2"),
        ("start_0", np.array(-2, np.int64), ValueError, "must not be negative"),
    ],
)
def test_wrong_inputs_change_nothing(
    name: str, wrong: Array, error: type[Exception], message: str
) -> None:
    rows = {
        "indptr": np.array([0, 1, 2], np.int64),
        "indices": np.array([0, 1], np.int32),
        "targets": np.array([0, 1], np.float32),
        "values": np.ones(2, np.float32),
    }
    own, shared = own_state(3, 4, 2, 1, True), shared_state(4, 2)
    share(rows)
    share(shared)
    share(own, "_0")
    workspace.FeedBlob("start_0", np.zeros((), np.int64))
    workspace.ShareBlob(name, wrong)
    with pytest.raises(error, match=message):
        workspace.RunOperatorOnce(train_op(0, True, **{**BUSY, "batch_size": 2}))
    assert not own["weights"].any()
    assert not own["ledger"].any()
    assert not shared["log"].any()
    assert not shared["marks"].any()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({}, "'batch_size' .* is missing"),
        ({"batch_size": 0}, "at least 1"),
        ({"batch_size": 1, "lr": float("inf")}, "finite and at least 0"),
        ({"batch_size": 1, "lr": 0.1, "loss": "hinge"}, "one of log, squared"),
        ({"batch_size": 1, "lr": 0.1, "step": "adam"}, "one of sgd, adagrad"),
    ],
)
def test_wrong_arguments(args: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        workspace.RunOperatorOnce(train_op(0, False, **args))
