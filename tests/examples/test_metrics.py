"""log_loss and auc against plain definitions, and against scikit-learn where it is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe2op.examples.metrics import auc, log_loss

CASES = st.lists(st.tuples(st.booleans(), st.integers(1, 99)), min_size=2, max_size=60).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)


def columns(rows: list[tuple[bool, int]]) -> tuple[np.ndarray, np.ndarray]:
    return (
        np.array([label for label, _ in rows], np.float32),
        np.array([percent / 100 for _, percent in rows], np.float32),
    )


@given(CASES)
@settings(max_examples=60, deadline=None)
def test_against_plain_definitions(rows: list[tuple[bool, int]]) -> None:
    labels, p = columns(rows)
    ones, zeros = p[labels == 1], p[labels == 0]
    wins = sum(1.0 * (a > b) + 0.5 * (a == b) for a in ones for b in zeros)
    assert auc(labels, p) == pytest.approx(wins / (len(ones) * len(zeros)))
    loss = -np.mean(
        [np.log(float(v) if y else 1 - float(v)) for y, v in zip(labels, p, strict=True)]
    )
    assert log_loss(labels, p) == pytest.approx(loss)


def test_against_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 5000)
    p = np.round(random.uniform(0.01, 0.99, 5000), 2)
    assert auc(labels, p) == pytest.approx(sklearn.roc_auc_score(labels, p))
    assert log_loss(labels, p) == pytest.approx(sklearn.log_loss(labels, p))


def test_certain_and_wrong_is_finite() -> None:
    assert 10 < log_loss(np.array([1.0]), np.array([0.0], np.float32)) < 20


def test_refused() -> None:
    with pytest.raises(ValueError, match="same length"):
        log_loss(np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match="not empty"):
        log_loss(np.zeros(0), np.zeros(0))
    with pytest.raises(ValueError, match="both labels"):
        auc(np.ones(3), np.ones(3))
