"""The estimators: scikit-learn's own checks, and what they promise beyond them."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from scipy import sparse
from sklearn.datasets import load_digits, load_iris, make_regression
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils.estimator_checks import parametrize_with_checks

from caffe2op.linear_model import SharedSGDClassifier, SharedSGDRegressor


@pytest.mark.thread_unsafe
@parametrize_with_checks(
    [
        SharedSGDClassifier(),
        SharedSGDClassifier(n_jobs=2),
        SharedSGDClassifier(step="sgd"),
        # One check has targets in the hundreds, where no loss is within tol of another: so many
        # passes, then, and no tol.
        SharedSGDRegressor(tol=None, max_iter=300),
        SharedSGDRegressor(tol=None, max_iter=300, n_jobs=2),
    ]
)
def test_as_scikit_learn_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("step", ["adagrad", "sgd"])
def test_as_good_as_an_exact_solver(step: str, n_jobs: int) -> None:
    X, y = load_digits(return_X_y=True)
    X, even = sparse.csr_matrix(X / 16), np.where(y % 2 == 0, "even", "odd")
    rows = np.tile(np.arange(1200), 3)  # enough for two threads
    # With steps that do not shrink, SGD ends somewhere around the solution, not at it.
    ours = SharedSGDClassifier(step=step, n_jobs=n_jobs, random_state=0, decay=0.1, tol=1e-4)
    ours.fit(X[rows], even[rows])
    exact = LogisticRegression(max_iter=1000).fit(X[:1200], even[:1200])
    assert ours.score(X[1200:], even[1200:]) > exact.score(X[1200:], even[1200:]) - 0.02


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_regression_finds_the_line(n_jobs: int) -> None:
    X, y = make_regression(5000, 10, noise=1, random_state=0)
    y /= y.std()
    ours = SharedSGDRegressor(n_jobs=n_jobs, alpha=0, random_state=0).fit(X[:4000], y[:4000])
    exact = Ridge(alpha=1e-6).fit(X[:4000], y[:4000])
    assert ours.score(X[4000:], y[4000:]) > exact.score(X[4000:], y[4000:]) - 0.01


def test_dense_and_sparse_rows_are_the_same() -> None:
    X, y = load_iris(return_X_y=True)
    dense = SharedSGDClassifier(random_state=0).fit(X, y)
    for kind in (sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array):
        np.testing.assert_array_equal(
            SharedSGDClassifier(random_state=0).fit(kind(X), y).coef_, dense.coef_
        )
        np.testing.assert_allclose(dense.decision_function(kind(X)), dense.decision_function(X))


def test_partial_fit_goes_on() -> None:
    """Passes by partial_fit are the passes of fit."""
    X, y = load_iris(return_X_y=True)
    whole = SharedSGDClassifier(shuffle=False, tol=None, max_iter=3, batch_size=10).fit(X, y)
    parts = SharedSGDClassifier(shuffle=False, batch_size=10)
    for _ in range(3):
        parts.partial_fit(X, y, classes=[0, 1, 2])
    np.testing.assert_allclose(parts.coef_, whole.coef_, rtol=1e-6)
    again = pickle.loads(pickle.dumps(parts)).partial_fit(X, y)
    assert not np.array_equal(again.coef_, parts.coef_)


def test_adagrad_begins_with_the_accumulators_it_is_given() -> None:
    """One row of one feature: the step is the rate times g / sqrt(initial + g * g)."""
    X, y = [[1.0], [1.0]], [0.0, 2.0]
    model = SharedSGDRegressor(
        learning_rate=0.5, initial_accumulator_value=5.0, alpha=0, fit_intercept=False,
        shuffle=False,
    ).partial_fit(X, y)  # fmt: skip
    assert model.coef_[0] == pytest.approx(0.5 * 2 / np.sqrt(5 + 4), rel=1e-4)


def test_probabilities() -> None:
    X, y = load_iris(return_X_y=True)
    many = SharedSGDClassifier(random_state=0).fit(X, y)
    p = many.predict_proba(X)
    assert p.shape == (150, 3)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_array_equal(p.argmax(axis=1), many.predict(X))
    two = SharedSGDClassifier(random_state=0).fit(X, y == 0)
    np.testing.assert_allclose(
        two.predict_proba(X)[:, 1], 1 / (1 + np.exp(-two.decision_function(X))), rtol=1e-9
    )
    assert two.predict_proba(np.full((1, 4), 1e9)).tolist() in ([[0, 1]], [[1, 0]])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"step": "adam"}, "step must be"),
        ({"learning_rate": 0}, "learning_rate must be a number greater than 0, got 0"),
        ({"learning_rate": "fast"}, "learning_rate must be"),
        (
            {"initial_accumulator_value": -1},
            "initial_accumulator_value must be a number at least 0",
        ),
        ({"alpha": -1}, "alpha must be a number at least 0"),
        ({"decay": float("nan")}, "decay must be"),
        ({"max_iter": 0}, "max_iter must be a number at least 1"),
        ({"max_iter": 1.5}, "max_iter must be a whole number"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"tol": -1.0}, "tol must be"),
    ],
)
def test_wrong_parameters(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SharedSGDClassifier(**parameters).fit([[0.0], [1.0]], [0, 1])


def test_wrong_calls() -> None:
    X, y = [[0.0], [1.0]], [0, 1]
    with pytest.raises(ValueError, match="classes must be given"):
        SharedSGDClassifier().partial_fit(X, y)
    with pytest.raises(ValueError, match="none of"):
        SharedSGDClassifier().partial_fit(X, [0, 2], classes=[0, 1])
    with pytest.raises(ValueError, match="at the first call"):
        SharedSGDClassifier().partial_fit(X, y, classes=[0, 1]).partial_fit(X, y, classes=[0, 2])


def test_what_diverges_is_told() -> None:
    model = SharedSGDRegressor(step="sgd", learning_rate=10)
    with pytest.raises(ValueError, match="lower learning_rate, which is 10"):
        model.fit(np.arange(100.0).reshape(50, 2), np.arange(50.0))
