"""scikit-learn estimators whose passes are made by several threads: what stands where
SGDClassifier and SGDRegressor stood.

Differences from those: the step is AdaGrad's unless step="sgd"; the penalty is L2 and is part of
the gradient of the weights that a row touches, so that rare features are shrunk more rarely; rows
are shuffled once, before the first pass; arithmetic is in float32; there are no sample weights.
With n_jobs=1 the same random_state gives the same weights. With more, the order in which workers'
steps arrive differs from run to run, and so do the weights, by little.

fit and partial_fit block, without the GIL but for their preparations, and may be called for
different estimators by several threads at once.
"""

from __future__ import annotations

import math
import numbers
import warnings
from dataclasses import replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from joblib import effective_n_jobs
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from caffe2op.linear_model.training import Rows, Settings, Trainer, batch_for, steady_batch

Array = npt.NDArray[Any]

_LEAST_ROWS = 1024  # of a pass for each thread: 20 us of work, and waking one takes 20-50 us

_PARAMETERS = """
    Parameters
    ----------
    step : "adagrad" or "sgd". AdaGrad divides each weight's step by the root of the sum of its
        squared gradients, which makes learning_rate a matter of little care.
    initial_accumulator_value : what AdaGrad's sums begin with, at least 0. Above 0, a feature's
        first steps are shorter than learning_rate: with 1 and a rate a third higher, one pass over
        rows of many rare features comes to less loss (docs/linear-models.md has figures).
    learning_rate : length of a step, above 0.
    decay : in pass p of a call the step is learning_rate / (1 + decay * p).
    alpha : strength of the L2 penalty, at least 0; the intercept has none.
    fit_intercept : whether there is an intercept.
    max_iter : most passes of fit; partial_fit makes one.
    tol : fit ends when the mean loss of a pass was not below the best by tol for n_iter_no_change
        passes in a row; None: after max_iter passes.
    n_iter_no_change : see tol.
    shuffle : put the rows into a random order once, before the first pass.
    random_state : of the shuffling.
    n_jobs : most threads; None is 1 (or what joblib's context says), -1 all processors. Each has
        1024 rows or more: with less, waking it takes longer than what it would do.
    batch_size : rows that a worker takes at a time; None: by the number of rows, 192 at most, and
        with step="sgd" fewer where rows are long or steps are large, which bear less delay. What
        weights lack of the other workers' steps is about one batch of each.
"""


class _SharedSGD(BaseEstimator):  # type: ignore[misc]
    """What both estimators share: rows in, weights of one or several problems out."""

    _loss = ""

    def __init__(
        self,
        *,
        step: str = "adagrad",
        learning_rate: float = 0.1,
        initial_accumulator_value: float = 0.0,
        decay: float = 0.0,
        alpha: float = 1e-4,
        fit_intercept: bool = True,
        max_iter: int = 1000,
        tol: float | None = 1e-3,
        n_iter_no_change: int = 5,
        shuffle: bool = True,
        random_state: Any = None,
        n_jobs: int | None = None,
        batch_size: int | None = None,
    ) -> None:
        self.step = step
        self.learning_rate = learning_rate
        self.initial_accumulator_value = initial_accumulator_value
        self.decay = decay
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.shuffle = shuffle
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.batch_size = batch_size

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    # ---- parameters ------------------------------------------------------------------------

    def _settings(self) -> Settings:
        """The parameters, checked. ValueError names the first that is not accepted."""

        def number(name: str, least: float, above: bool, none: bool = False) -> None:
            value = getattr(self, name)
            if none and value is None:
                return
            fits = isinstance(value, numbers.Real) and math.isfinite(value)
            if not fits or value < least or (above and value == least):
                bound = f"greater than {least}" if above else f"at least {least}"
                raise ValueError(f"{name} must be a number {bound}, got {value!r}")

        number("learning_rate", 0, above=True)
        number("initial_accumulator_value", 0, above=False)
        number("decay", 0, above=False)
        number("alpha", 0, above=False)
        number("tol", 0, above=False, none=True)
        for name in ("max_iter", "n_iter_no_change", "batch_size"):
            number(name, 1, above=False, none=name == "batch_size")
            if not isinstance(getattr(self, name), numbers.Integral | None):
                raise ValueError(f"{name} must be a whole number, got {getattr(self, name)!r}")
        if self.step not in ("adagrad", "sgd"):
            raise ValueError(f"step must be 'adagrad' or 'sgd', got {self.step!r}")
        return Settings(
            loss=self._loss,
            step=self.step,
            lr=float(self.learning_rate),
            decay=float(self.decay),
            l2=float(self.alpha),
            intercept=bool(self.fit_intercept),
            workers=effective_n_jobs(self.n_jobs),
            batch_size=None if self.batch_size is None else int(self.batch_size),
        )

    # ---- rows ------------------------------------------------------------------------------

    def _checked(self, X: Any, y: Any, reset: bool) -> tuple[Any, Array]:
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse="csr",
            accept_large_sparse=False,
            dtype=np.float32,
            y_numeric=self._loss == "squared",
            reset=reset,
        )
        return sparse.csr_matrix(X), y

    def _in_order(self, X: Any, targets: Array) -> tuple[Any, Array]:
        """Rows and targets (problems, rows), shuffled where that is wanted."""
        if not self.shuffle:
            return X, targets
        order = check_random_state(self.random_state).permutation(X.shape[0])
        return X[order], targets[:, order]

    # ---- training --------------------------------------------------------------------------

    def _train(self, X: Any, targets: Array, passes: int, settings: Settings) -> None:
        """Goes on from self._weights (problems, ...) and sets what is fitted."""
        X, targets = self._in_order(X, targets)
        workers = min(settings.workers, max(1, X.shape[0] // _LEAST_ROWS))
        settings = replace(settings, workers=workers)
        if workers > 1 and settings.step == "sgd" and settings.batch_size is None:
            length = float(np.square(X.data).sum()) / X.shape[0]
            batch = min(batch_for(X.shape[0], workers), steady_batch(settings, length))
            settings = replace(settings, batch_size=batch)
        values = None if bool((X.data == 1).all()) else X.data
        indptr = X.indptr.astype(np.int64)
        self.n_iter_ = 0
        for k, labels in enumerate(targets):
            rows = Rows(indptr, X.indices, values, np.ascontiguousarray(labels, np.float32))
            trained, took = self._train_one(rows, self._weights[k], passes, settings)
            if not np.isfinite(trained).all():
                raise ValueError(
                    "the weights are not finite any more: scale the features, or lower "
                    f"learning_rate, which is {self.learning_rate!r}"
                )
            self._weights[k] = trained
            self.n_iter_ = max(self.n_iter_, took)
        weights = self._weights[..., 0] if self.step == "adagrad" else self._weights
        weights = weights.astype(np.float64)
        self.coef_ = weights[:, : self.n_features_in_]
        self.intercept_ = (
            weights[:, self.n_features_in_] if self.fit_intercept else np.zeros(len(weights))
        )

    def _train_one(
        self, rows: Rows, weights: Array, passes: int, settings: Settings
    ) -> tuple[Array, int]:
        """The weights of one problem, and how many passes were made."""
        if self.tol is None:
            trainer = Trainer(rows, weights, settings, passes)
            for _ in range(0, passes, trainer.passes):
                trainer.run()
            return trainer.weights, passes
        trainer = Trainer(rows, weights, settings)
        best, waited = math.inf, 0
        for made in range(1, passes + 1):
            loss = trainer.run()
            waited = waited + 1 if loss > best - self.tol else 0
            best = min(best, loss)
            if waited >= self.n_iter_no_change or not math.isfinite(loss):
                return trainer.weights, made
        if passes > 1:
            warnings.warn(
                f"the loss still fell after max_iter={passes} passes",
                ConvergenceWarning,
                stacklevel=4,
            )
        return trainer.weights, passes

    def _begin(self, problems: int) -> None:
        shape: tuple[int, ...] = (problems, self.n_features_in_ + bool(self.fit_intercept))
        self._weights = np.zeros(shape + (2,) * (self.step == "adagrad"), np.float32)
        if self.step == "adagrad":
            self._weights[..., 1] = self.initial_accumulator_value

    # ---- predictions -----------------------------------------------------------------------

    def _scores(self, X: Any) -> Array:
        """(rows, problems)"""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=(np.float64, np.float32), reset=False)
        scores: Array = safe_sparse_dot(X, self.coef_.T, dense_output=True) + self.intercept_
        return scores


class SharedSGDClassifier(ClassifierMixin, _SharedSGD):  # type: ignore[misc]
    __doc__ = f"""Logistic regression by SGD or AdaGrad in several threads; one against the rest
    for more than two classes.
{_PARAMETERS}
    Attributes
    ----------
    classes_, n_features_in_, n_iter_ (most passes of a class); coef_ (1 or classes, features) and
    intercept_ (1 or classes,), float64.
    """

    _loss = "log"

    def fit(self, X: Any, y: Any) -> Self:
        """Train from nothing on X (rows, features), dense or CSR, and labels y (rows,)."""
        settings = self._settings()
        X, y = self._checked(X, y, reset=True)
        check_classification_targets(y)
        self.classes_ = np.unique(y)
        if len(self.classes_) < 2:
            raise ValueError(
                f"y must have at least two classes, got one class, {self.classes_[0]!r}"
            )
        self._begin(self._problems())
        self._train(X, self._targets(y), int(self.max_iter), settings)
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """One pass more. `classes`, all there will ever be, are given at the first call."""
        settings = self._settings()
        first = not hasattr(self, "classes_")
        if first and classes is None:
            raise ValueError("classes must be given at the first call of partial_fit")
        X, y = self._checked(X, y, reset=first)
        check_classification_targets(y)
        if first:
            self.classes_ = np.unique(classes)
            if len(self.classes_) < 2:
                raise ValueError(f"classes must be at least two, got {classes!r}")
            self._begin(self._problems())
        elif classes is not None and not np.array_equal(self.classes_, np.unique(classes)):
            raise ValueError(f"classes were {self.classes_!r} at the first call, got {classes!r}")
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(f"y has {unknown[0]!r}, which is none of {self.classes_!r}")
        self._train(X, self._targets(y), 1, settings)
        return self

    def _problems(self) -> int:
        return 1 if len(self.classes_) == 2 else len(self.classes_)

    def _targets(self, y: Array) -> Array:
        positive = self.classes_[1:] if len(self.classes_) == 2 else self.classes_
        return np.array([y == label for label in positive])

    def decision_function(self, X: Any) -> Array:
        """Log odds of classes_[1], (rows,); of more than two classes, each against the rest,
        (rows, classes)."""
        scores = self._scores(X)
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, X: Any) -> Array:
        """The likeliest class of each row."""
        scores = self.decision_function(X)
        best = (scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)
        labels: Array = self.classes_[best]
        return labels

    def predict_proba(self, X: Any) -> Array:
        """(rows, classes); of more than two, each one's against the rest, brought to sum 1."""
        scores = self._scores(X)
        p = 0.5 * (1 + np.tanh(0.5 * scores))
        if p.shape[1] == 1:
            return np.hstack([1 - p, p])
        total = p.sum(axis=1, keepdims=True)
        return np.where(total > 0, p / np.where(total > 0, total, 1), 1 / p.shape[1])


class SharedSGDRegressor(RegressorMixin, _SharedSGD):  # type: ignore[misc]
    __doc__ = f"""Linear regression, squared error, by SGD or AdaGrad in several threads.
{_PARAMETERS}
    Attributes
    ----------
    n_features_in_, n_iter_ (passes); coef_ (features,) and intercept_ (1,), float64.
    """

    _loss = "squared"

    def fit(self, X: Any, y: Any) -> Self:
        """Train from nothing on X (rows, features), dense or CSR, and targets y (rows,)."""
        settings = self._settings()
        X, y = self._checked(X, y, reset=True)
        self._begin(1)
        self._train(X, y[np.newaxis], int(self.max_iter), settings)
        self.coef_ = self.coef_[0]
        return self

    def partial_fit(self, X: Any, y: Any) -> Self:
        """One pass more."""
        settings = self._settings()
        first = not hasattr(self, "coef_")
        X, y = self._checked(X, y, reset=first)
        if first:
            self._begin(1)
        self._train(X, y[np.newaxis], 1, settings)
        self.coef_ = self.coef_[0]
        return self

    def predict(self, X: Any) -> Array:
        """The expected target of each row, (rows,)."""
        return self._scores(X)
