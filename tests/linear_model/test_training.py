"""Trainer: its workers against one, the count, and that no scikit-learn is needed."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from caffe2op.linear_model import LostError, Rows, Settings, Trainer
from caffe2op.linear_model.training import RECEIVED, SENT, batch_for, zeros


def make_rows(count: int = 3000, features: int = 50, width: int = 8) -> Rows:
    """Labels that come from a linear rule over features of uneven frequency."""
    random = np.random.default_rng(0)
    indices = (features * random.random((count, width)) ** 3).astype(np.int32)
    truth = random.normal(size=features)
    targets = (truth[indices].sum(axis=1) > 0).astype(np.float32)
    return Rows(np.arange(0, count * width + 1, width), indices.ravel(), None, targets)


@pytest.mark.parametrize("step", ["sgd", "adagrad"])
@pytest.mark.parametrize("loss", ["log", "squared"])
def test_workers_agree_with_one(step: str, loss: str) -> None:
    """Two and three workers reach the loss that one does, and what one sent the others have."""
    rows = make_rows()
    shape = (51, 2) if step == "adagrad" else (51,)
    lr = 0.1 if step == "adagrad" else 0.01
    losses = []
    for workers in (1, 2, 3):
        settings = Settings(loss=loss, step=step, lr=lr, workers=workers)
        trainer = Trainer(rows, np.zeros(shape, np.float32), settings)
        for _ in range(6):
            mean = trainer.run()
        losses.append(mean)
        ledgers = np.stack([worker.ledger for worker in trainer._workers])
        assert ledgers[:, SENT].sum() == 3000
        assert (ledgers[:, RECEIVED] == 3000).all()
        for worker in trainer._workers:
            np.testing.assert_allclose(worker.weights, trainer.weights, atol=1e-3)
    np.testing.assert_allclose(losses, losses[0], rtol=0.1)


def test_a_slope_that_is_lost_is_told() -> None:
    """The count does not trust what it counts: a batch that was marked before it was done."""
    trainer = Trainer(make_rows(200), np.zeros(51, np.float32), Settings(workers=2, batch_size=10))
    trainer.run()
    trainer._workers[0].ledger[RECEIVED] -= 1
    with pytest.raises(LostError, match="of 200 rows"):
        trainer._count_all()


def test_runs_of_several_passes_are_passes() -> None:
    rows = make_rows(300)
    settings = Settings(lr=0.05, decay=0.5, batch_size=10)
    one = Trainer(rows, np.zeros(51, np.float32), settings, passes=3)
    many = Trainer(rows, np.zeros(51, np.float32), settings)
    mean = one.run()
    np.testing.assert_allclose(mean, np.mean([many.run() for _ in range(3)]), rtol=1e-5)
    np.testing.assert_array_equal(one.weights, many.weights)


@pytest.mark.parametrize(
    ("rows", "workers", "batch"), [(10, 4, 1), (640, 2, 10), (25_000, 2, 128), (10**6, 2, 192)]
)
def test_batches_are_little_beside_the_data(rows: int, workers: int, batch: int) -> None:
    assert batch_for(rows, workers) == batch


def test_no_line_of_the_cache_is_shared() -> None:
    for count in (1, 15, 16, 17, 100):
        array = zeros(count, np.float32)
        assert array.ctypes.data % 64 == 0
        assert array.shape == (count,)
        assert (
            array.base.nbytes - (array.ctypes.data - array.base.ctypes.data) >= -(-count // 16) * 64
        )


def test_scikit_learn_is_not_imported() -> None:
    code = (
        "import sys, caffe2op, caffe2op.linear_model as l; l.Trainer;"
        "assert not {'sklearn', 'scipy', 'joblib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_an_estimator_without_scikit_learn_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['sklearn'] = None; sys.modules['joblib'] = None\n"
        "import caffe2op.linear_model as l\n"
        "try: l.SharedSGDClassifier\n"
        "except ImportError as e: assert 'caffe2op[sklearn]' in str(e), e\n"
        "else: raise SystemExit('no error')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
