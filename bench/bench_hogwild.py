"""Training: the example's sparse logistic regression on the flights, one pass over the rows.

ns per row, from the start of the first worker to the end of the last. Every kind sees each row
once, with the example's settings, and looks at the loss on the rows kept apart twice meanwhile.
scikit-learn's SGDClassifier goes over the same rows in one thread, with the same loss, a constant
step, and no looks.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from caffe2op.examples import datasets, processes, training
from caffe2op.examples.features import Dataset, Rows
from caffe2op.examples.hogwild import DEFAULTS
from caffe2op.examples.training import Settings
from paired import Bench, Code, require, seconds

# One pass to its end: a loss is never below 0.
ONE_PASS = replace(DEFAULTS["flights"], epochs=1, target=0.0)
OURS = "caffe2op, 1 worker"
KINDS = {
    OURS: (ONE_PASS, training.train),
    "caffe2op, 2 workers": (replace(ONE_PASS, workers=2), training.train),
    "caffe2op, 2 processes": (replace(ONE_PASS, workers=2), processes.train),
    "plain loop (not atomic)": (replace(ONE_PASS, merge="row", update="racy"), training.train),
}


@cache
def flights() -> Dataset:
    try:
        return datasets.load("flights")
    except datasets.DataError as error:
        pytest.skip(str(error))


def shortened(data: Dataset, scale: float) -> Dataset:
    """The data with fewer rows to train on, for a quick run."""
    if scale >= 1:
        return data
    n = max(1000, round(len(data.train) * scale))
    indptr, indices, values, labels = data.train
    end = indptr[n]
    part = Rows(
        indptr[: n + 1], indices[:end], None if values is None else values[:end], labels[:n]
    )
    return data._replace(train=part)


def once(train: Any, data: Dataset, settings: Settings) -> Code:
    def run() -> float:
        trained = train(data, settings)
        if settings.update == "atomic":
            assert trained.sent == trained.found, "updates were lost"
        return float(trained.seconds)

    return run


def scikit_learn(data: Dataset) -> Code:
    linear, sparse = require("sklearn.linear_model"), require("scipy.sparse")
    rows = data.train
    values = np.ones(len(rows.indices), np.float32) if rows.values is None else rows.values
    matrix = sparse.csr_matrix(
        (values, rows.indices, rows.indptr), shape=(len(rows), data.features)
    )
    labels = rows.labels.astype(np.int32)

    def run() -> float:
        model = linear.SGDClassifier(
            loss="log_loss", alpha=1e-12, learning_rate="constant", eta0=ONE_PASS.lr, shuffle=False
        )
        return seconds(lambda: model.partial_fit(matrix, labels, classes=[0, 1]) and None)

    return run


@pytest.mark.parametrize("row", [*KINDS, "scikit-learn SGDClassifier"])
def test_one_pass(bench: Bench, row: str) -> None:
    data = shortened(flights(), bench.scale)
    ours = once(training.train, data, ONE_PASS)
    if row in KINDS:
        settings, train = KINDS[row]
        subject = once(train, data, settings)
    else:
        subject = scikit_learn(data)
    bench.row(
        "One pass of sparse logistic regression over the flights, ns per row",
        row,
        "flights",
        subject,
        per=len(data.train),
        reference=None if row == OURS else ours,
        rounds=max(3, bench.rounds // 6),
    )
