"""The operators of sparse logistic regression against a NumPy twin; what they refuse; and that
workers on the same weights lose nothing."""

from __future__ import annotations

import signal
import threading
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sparse_rows import make_rows

from caffe2op import core, workspace
from caffe2op._core import lib

Array = np.ndarray[Any, Any]
WORD = np.dtype([("weight", np.float32), ("updates", np.uint32)])


# ---- the twin -----------------------------------------------------------------------------------


def sigmoid(score: float) -> float:
    return 1 / (1 + np.exp(-score))


def row_of(rows: dict[str, Array], r: int) -> tuple[Array, Array]:
    span = slice(rows["indptr"][r], rows["indptr"][r + 1])
    indices = rows["indices"][span]
    return indices, rows["values"][span] if "values" in rows else np.ones(len(indices))


def losses(scores: Array, labels: Array) -> Array:
    return np.logaddexp(0, np.where(labels > 0.5, -scores, scores))


def twin_scores(rows: dict[str, Array], weights: Array) -> Array:
    return np.array(
        [np.dot(weights[i], v) for i, v in (row_of(rows, r) for r in range(len(rows["labels"])))]
    )


def twin_sgd(
    rows: dict[str, Array],
    weights: Array,
    updates: Array,
    start: int,
    n: int,
    rate: float,
    l2: float,
) -> float:
    """Row by row, in float64; returns the mean loss before each step."""
    total = 0.0
    for k in range(start, start + n):
        r = k % len(rows["labels"])
        indices, values = row_of(rows, r)
        score, label = float(np.dot(weights[indices], values)), rows["labels"][r]
        total += float(losses(np.array(score), label))
        step = rate * (label - sigmoid(score))
        for i, v in zip(indices, values, strict=True):  # one by one: an index may come twice
            weights[i] = (1 - rate * l2) * weights[i] + step * v
            updates[i] += 1
    return total / n if n else 0.0


# ---- data ---------------------------------------------------------------------------------------


def feed(rows: dict[str, Array], weights: Array, start: int = 0, worker: int = 0) -> None:
    for name, array in rows.items():
        workspace.FeedBlob(name, array)
    workspace.ShareBlob("weights", weights)
    workspace.FeedBlob(f"start_{worker}", np.array(start, np.int64))
    workspace.FeedBlob(f"table_{worker}", np.zeros(2 * len(weights), np.int64))
    workspace.FeedBlob(f"sent_{worker}", np.zeros((), np.int64))


def sgd(valued: bool, worker: int = 0, outputs: tuple[str, ...] = (), **args: Any) -> Any:
    own = [f"table_{worker}", f"sent_{worker}"]
    inputs = [f"start_{worker}", f"start_{worker}", "indptr", "indices", "labels", "weights", *own]
    return core.CreateOperator(
        "SparseLogisticSGD", inputs + ["values"] * valued, ["weights", *own, *outputs], **args
    )


# ---- against the twin ---------------------------------------------------------------------------


@given(
    seed=st.integers(0, 10**6),
    valued=st.booleans(),
    merge=st.sampled_from(["batch", "row"]),
    update=st.sampled_from(["atomic", "racy"]),
    start=st.integers(0, 50),
    batch=st.integers(1, 60),
    limit=st.integers(-1, 60),
    l2=st.sampled_from([0.0, 0.3]),
    decay=st.sampled_from([0.0, 2.0]),
)
@settings(max_examples=80, deadline=None)
def test_one_batch(
    seed: int,
    valued: bool,
    merge: str,
    update: str,
    start: int,
    batch: int,
    limit: int,
    l2: float,
    decay: float,
) -> None:
    rows = make_rows(seed, count=17, features=11, most=6, valued=valued)
    weights = np.zeros(11, WORD)
    weights["weight"] = np.random.default_rng(seed).normal(size=11)
    want, updates = weights["weight"].astype(np.float64), np.zeros(11, np.int64)
    n = batch if limit < 0 else max(0, min(batch, limit - start))
    loss = twin_sgd(rows, want, updates, start, n, 0.3 / (1 + decay * start / 17), l2)
    feed(rows, weights.view(np.int64), start)
    workspace.RunOperatorOnce(
        sgd(
            valued,
            outputs=("loss",),
            batch_size=batch,
            limit=limit,
            lr=0.3,
            decay=decay,
            l2=l2,
            merge=merge,
            update=update,
        )
    )
    np.testing.assert_allclose(weights["weight"], want, rtol=2e-4, atol=2e-5)
    assert weights["updates"].tolist() == updates.tolist()
    assert workspace.FetchBlob("sent_0") == updates.sum()
    assert workspace.FetchBlob("loss").tolist() == pytest.approx([loss], rel=1e-4, abs=1e-6)
    assert not workspace.FetchBlob("table_0")[:11].any()


@pytest.mark.parametrize("valued", [False, True])
def test_loss_and_predict(valued: bool) -> None:
    rows = make_rows(1, count=40, features=9, most=5, valued=valued)
    weights = np.zeros(9, WORD)
    weights["weight"] = np.linspace(-30, 30, 9)  # scores that are far out, too
    feed(rows, weights.view(np.int64))
    scores = twin_scores(rows, weights["weight"].astype(np.float64))
    more = ["values"] * valued
    workspace.RunOperatorsOnce(
        [
            core.CreateOperator(
                "SparseLogisticLoss", ["indptr", "indices", "labels", "weights", *more], ["loss"]
            ),
            core.CreateOperator(
                "SparseLogisticPredict", ["indptr", "indices", "weights", *more], ["p"]
            ),
        ]
    )
    assert workspace.FetchBlob("loss") == pytest.approx(
        losses(scores, rows["labels"]).mean(), rel=1e-5
    )
    np.testing.assert_allclose(workspace.FetchBlob("p"), sigmoid(scores), rtol=1e-4, atol=1e-30)


def test_two_passes_learn() -> None:
    """Labels that the weights can tell apart are told apart."""
    random = np.random.default_rng(0)
    rows = make_rows(2, count=400, features=20, most=8, valued=False)
    truth = random.normal(size=20) * 3
    rows["labels"] = (twin_scores(rows, truth) > 0).astype(np.float32)
    weights = np.zeros(20, WORD)
    feed(rows, weights.view(np.int64))
    workspace.RunOperatorOnce(sgd(False, batch_size=4000, lr=0.2))
    right = (twin_scores(rows, weights["weight"]) > 0) == rows["labels"]
    assert right.mean() > 0.95


def monitor(**args: Any) -> Any:
    return core.CreateOperator(
        "SparseLogisticMonitor",
        ["start_0", "indptr", "indices", "labels", "weights", "history"],
        ["history", "reached"],
        **args,
    )


def test_monitor_looks_once_for_every_so_many_rows() -> None:
    rows = make_rows(3, count=30, features=5, most=4, valued=False)
    weights = np.zeros(5, WORD)
    weights["weight"] = [1, -1, 0.5, 2, -2]
    feed(rows, weights.view(np.int64))
    want = losses(twin_scores(rows, weights["weight"].astype(np.float64)), rows["labels"]).mean()
    history = np.zeros((4, 3))
    workspace.ShareBlob("history", history)
    seen = []
    before = time.monotonic()
    for start in range(0, 110, 8):
        workspace.FeedBlob("start_0", np.array(start, np.int64))
        workspace.RunOperatorOnce(monitor(batch_size=8, every=25, limit=100, target=want + 1e-9))
        seen.append(bool(workspace.FetchBlob("reached")))
    # batches 24..31, 48..55, 72..79 and 96..99 cross or end at 25, 50, 75 and 100
    assert [k for k, now in enumerate(seen) if now] == [3, 6, 9, 12]
    assert history[:, 1].tolist() == [25, 50, 75, 100]
    np.testing.assert_allclose(history[:, 2], want, rtol=1e-6)
    assert (np.diff(history[:, 0]) >= 0).all()
    assert before <= history[0, 0] <= history[-1, 0] <= time.monotonic()


def test_monitor_misses_its_target() -> None:
    feed(make_rows(3, 30, 5, 4, valued=False), np.zeros(5, np.int64))
    workspace.FeedBlob("history", np.zeros((1, 3)))
    workspace.RunOperatorOnce(monitor(batch_size=30, every=30, target=0.69))  # it is log 2
    assert not workspace.FetchBlob("reached")
    assert workspace.FetchBlob("history")[0, 2] == pytest.approx(np.log(2))


def test_monitor_without_room() -> None:
    feed(make_rows(3, 30, 5, 4, valued=False), np.zeros(5, np.int64), start=60)
    workspace.FeedBlob("history", np.zeros((2, 3)))
    workspace.FeedBlob("reached", "as it was")
    with pytest.raises(ValueError, match="room for 2 points; this is point 3"):
        workspace.RunOperatorOnce(monitor(batch_size=30, every=30))
    assert workspace.FetchBlob("reached") == "as it was"


# ---- workers ------------------------------------------------------------------------------------


def train_with_threads(merge: str, update: str, runs: int) -> tuple[int, int]:
    """Two threads, each its own net on the same hot weights: updates sent, updates found."""
    rows = {
        "indptr": np.arange(0, 65 * 6, 6, dtype=np.int64),
        "indices": np.tile(np.arange(6, dtype=np.int32), 64),
        "labels": np.tile(np.array([0, 1], np.float32), 32),
    }
    weights = np.zeros(6, WORD)
    gate = threading.Barrier(2)
    nets = []
    for worker in range(2):
        feed(rows, weights.view(np.int64), worker=worker)
        net = core.Net("worker")
        net.Proto().op.append(
            sgd(False, worker, batch_size=16, lr=0.01, merge=merge, update=update)
        )
        nets.append(workspace.CreateNet(net))

    def work(name: str) -> None:
        gate.wait()
        workspace.RunNet(name, num_iter=runs)

    threads = [threading.Thread(target=work, args=(name,)) for name in nets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sent = sum(int(workspace.FetchBlob(f"sent_{worker}")) for worker in range(2))
    return sent, int(weights["updates"].sum(dtype=np.int64))


@pytest.mark.parametrize("merge", ["batch", "row"])
def test_threads_lose_nothing(merge: str) -> None:
    sent, found = train_with_threads(merge, "atomic", runs=5000)
    assert sent == 2 * 5000 * 16 * 6
    assert found == sent


# ---- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "wrong", "error", "message"),
    [
        ("indptr", np.array([0, 2, 1], np.int64), IndexError, "row 1: .*'indptr'"),
        ("indptr", np.array([0, 1, 9], np.int64), IndexError, "row 1"),
        ("indptr", np.array([-1, 1, 2], np.int64), IndexError, "row 0"),
        ("indptr", np.array([0], np.int64), ValueError, "at least 2 elements"),
        ("indptr", np.array([0, 1, 2], np.int32), TypeError, "int64"),
        ("indices", np.array([0, 3], np.int32), IndexError, "0 <= index < 3"),
        ("indices", np.array([0, -1], np.int32), IndexError, "0 <= index < 3"),
        ("indices", np.array([0, 1], np.int64), TypeError, "int32"),
        ("labels", np.array([0, 1, 1], np.float32), ValueError, "must have 2 elements"),
        ("labels", np.array([0, 1], np.float64), TypeError, "float32"),
        ("values", np.array([1], np.float32), ValueError, "as many as indices"),
        ("table_0", np.zeros(5, np.int64), ValueError, "must have 6 elements"),
        ("start_0", np.array(-1, np.int64), ValueError, "must not be negative"),
        ("start_0", np.zeros(2, np.int64), ValueError, "scalar"),
    ],
)
@pytest.mark.parametrize("merge", ["batch", "row"])
def test_wrong_inputs_change_nothing(
    name: str, wrong: Array, error: type[Exception], message: str, merge: str
) -> None:
    rows = {
        "indptr": np.array([0, 1, 2], np.int64),
        "indices": np.array([0, 1], np.int32),
        "labels": np.array([0, 1], np.float32),
        "values": np.ones(2, np.float32),
    }
    weights = np.zeros(3, np.int64)
    feed(rows, weights)
    workspace.FeedBlob(name, wrong)
    workspace.FeedBlob("loss_0", "as it was")
    op = sgd(True, batch_size=2, lr=0.1, merge=merge)
    op.output[3:] = ["loss_0"]
    with pytest.raises(error, match=message):
        workspace.RunOperatorOnce(op)
    assert not weights.any()
    assert workspace.FetchBlob("loss_0") == "as it was"
    assert workspace.FetchBlob("sent_0") == 0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({}, "'batch_size' .* is missing"),
        ({"batch_size": 0}, "at least 1"),
        ({"batch_size": 1, "lr": float("nan")}, "finite and at least 0"),
        ({"batch_size": 1, "lr": 0.1, "merge": "rows"}, "one of batch, row"),
        ({"batch_size": 1, "lr": 0.1, "update": "plain"}, "one of atomic, racy"),
        ({"batch_size": 1, "lr": 0.1, "l2": -1.0}, "at least 0"),
    ],
)
def test_wrong_arguments(args: dict[str, Any], message: str) -> None:
    feed(make_rows(0, 3, 3, 3, valued=False), np.zeros(3, np.int64))
    with pytest.raises(ValueError, match=message):
        workspace.RunOperatorOnce(sgd(False, **args))


def test_weights_must_be_in_place() -> None:
    feed(make_rows(0, 3, 3, 3, valued=False), np.zeros(3, np.int64))
    op = sgd(False, batch_size=1, lr=0.1)
    op.output[0] = "other"
    with pytest.raises(ValueError, match="must be the same blob"):
        workspace.RunOperatorOnce(op)


class Rung(Exception):
    pass


@pytest.mark.parametrize("merge", ["batch", "row"])
def test_a_huge_batch_can_be_interrupted(merge: str) -> None:
    """With the updates counted, or, as a batch is whole or not at all, with nothing changed."""

    def ring(*_: object) -> None:
        if lib.c2_inside():  # the operator has begun
            raise Rung

    feed(make_rows(5, 1000, 50, 20, valued=True), np.zeros(50, np.int64))
    previous = signal.signal(signal.SIGALRM, ring)
    began = time.monotonic()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
        with pytest.raises(Rung):
            workspace.RunOperatorOnce(sgd(True, batch_size=2**62, lr=0.01, merge=merge))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert time.monotonic() - began < 60
    words, sent = workspace.FetchBlob("weights").view(WORD), workspace.FetchBlob("sent_0")
    assert int(words["updates"].sum()) == sent % 2**32
    assert (sent > 0) == (merge == "row")
    if merge == "batch":
        assert not words.view(np.int64).any()
    met = workspace.FetchBlob("table_0")[:50]  # words, all zero between batches
    assert not met.any()
