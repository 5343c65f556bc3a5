"""What probabilities are worth, in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def log_loss(labels: npt.NDArray[Any], probabilities: npt.NDArray[Any]) -> float:
    """Mean of -log(probability given to the label). Probabilities of float32 that came out as 0
    or 1 count as the nearest one that is neither. ValueError when empty."""
    labels, p = _pair(labels, probabilities)
    tiny = float(np.finfo(np.float32).eps)
    p = np.clip(p, tiny, 1 - tiny)
    return float(-np.mean(np.where(labels > 0.5, np.log(p), np.log1p(-p))))


def auc(labels: npt.NDArray[Any], scores: npt.NDArray[Any]) -> float:
    """Area under the ROC curve: how often a row of label 1 has a higher score than a row of label
    0, ties counting half. By ranks (Mann and Whitney, 1947). ValueError unless both labels
    occur."""
    labels, scores = _pair(labels, scores)
    ones = int(np.count_nonzero(labels > 0.5))
    zeros = len(labels) - ones
    if not ones or not zeros:
        raise ValueError("auc needs rows of both labels")
    _, place, ties = np.unique(scores, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(ties) - (ties - 1) / 2
    return float((mean_rank[place][labels > 0.5].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def _pair(
    labels: npt.NDArray[Any], values: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    labels, wide = np.asarray(labels), np.asarray(values, np.float64)
    if labels.shape != wide.shape or labels.ndim != 1 or not len(labels):
        raise ValueError(
            "expected two arrays of the same length, not empty; "
            f"got shapes {labels.shape} and {wide.shape}"
        )
    return labels, wide
