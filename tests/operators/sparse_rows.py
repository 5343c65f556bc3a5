"""Random rows in CSR form, for the operators that train linear models."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def make_rows(
    seed: int, count: int, features: int, most: int, valued: bool, labels: str = "labels"
) -> dict[str, Array]:
    """Rows of 0 to `most` features, and whether each is positive under the name `labels`; with
    values of the features, or without, which means ones."""
    random = np.random.default_rng(seed)
    widths = random.integers(0, most + 1, count)
    rows = {
        "indptr": np.concatenate([[0], np.cumsum(widths)]).astype(np.int64),
        "indices": random.integers(0, features, widths.sum()).astype(np.int32),
        labels: random.integers(0, 2, count).astype(np.float32),
    }
    if valued:
        rows["values"] = random.normal(size=widths.sum()).astype(np.float32)
    return rows
