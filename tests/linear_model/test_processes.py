"""ProcessTrainer: its processes against threads, the count, and what becomes of a process that
dies."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

from caffe2op.linear_model import ProcessTrainer, Rows, Settings, Trainer
from caffe2op.linear_model.training import RECEIVED, RECEIVED_SUM, SENT, SENT_SUM


def make_rows(count: int = 20_000, features: int = 50, width: int = 8) -> Rows:
    random = np.random.default_rng(0)
    indices = (features * random.random((count, width)) ** 3).astype(np.int32)
    values = random.normal(size=indices.size).astype(np.float32)
    scores = (values * random.normal(size=features)[indices.ravel()]).reshape(count, width)
    targets = (scores.sum(axis=1) > 0).astype(np.float32)
    return Rows(np.arange(0, count * width + 1, width), indices.ravel(), values, targets)


@pytest.mark.parametrize("step", ["sgd", "adagrad"])
def test_processes_lose_nothing_and_agree_with_one_thread(step: str) -> None:
    rows, shape = make_rows(), (51, 2) if step == "adagrad" else (51,)
    start = np.zeros(shape, np.float32)
    alone = Trainer(rows, start, Settings(step=step, lr=0.02))
    with ProcessTrainer(rows, start, Settings(step=step, lr=0.02, workers=2)) as both:
        for _ in range(3):
            loss, own = both.run(), alone.run()
            assert loss == pytest.approx(own, rel=0.05)
            ledgers = np.stack([worker.ledger for worker in both._workers])
            assert ledgers[:, SENT].sum() == 20_000
            assert (ledgers[:, RECEIVED] == 20_000).all()
            assert (ledgers[:, RECEIVED_SUM] == ledgers[:, SENT_SUM].sum()).all()
        trained = both.weights
    for worker in both._workers:
        np.testing.assert_allclose(worker.weights, trained, atol=1e-3)
    np.testing.assert_allclose(trained, alone.weights, rtol=0.1, atol=0.1)
    with pytest.raises(ValueError, match="closed"):
        both.run()


def test_a_process_that_is_killed_is_told() -> None:
    with ProcessTrainer(make_rows(2000), np.zeros(51, np.float32), Settings(workers=2)) as both:
        both.run()
        victim = both._processes[1]
        os.kill(victim.pid, signal.SIGKILL)
        victim.join(30)
        with pytest.raises(RuntimeError, match="process of worker 1 is gone"):
            both.run()
        with pytest.raises(ValueError, match="closed"):
            both.run()


def test_wrong_rows_are_told_by_the_process_that_meets_them() -> None:
    rows = make_rows(2000)
    rows.indices[-1] = 50
    with (
        ProcessTrainer(rows, np.zeros(51, np.float32), Settings(workers=2)) as both,
        pytest.raises(IndexError, match=r"0 <= index < 50"),
    ):
        both.run()
