"""Columns of a table -> sparse rows, by feature hashing.

Each field, a column or several columns taken together, gives a row one feature: "origin=JFK" is
hashed (CRC-32) to one of 2^bits buckets, so no dictionary has to be agreed on beforehand and new
values need no new weights (Weinberger et al., "Feature hashing for large scale multitask
learning", ICML 2009). Two values that meet in a bucket share a weight.

The buckets in use are then numbered by how many rows have them, most first. That makes the
weights as few as they can be, and puts the hot ones side by side in few cache lines.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class Rows(NamedTuple):
    """Rows in CSR form, as the SparseLogistic operators take them."""

    indptr: npt.NDArray[np.int64]  # (rows + 1,)
    indices: npt.NDArray[np.int32]
    values: npt.NDArray[np.float32] | None  # None: all 1
    labels: npt.NDArray[np.float32]  # (rows,), 0 or 1

    def __len__(self) -> int:
        return len(self.labels)


class Dataset(NamedTuple):
    """A task: rows to train on, rows to look at meanwhile, and rows for the last word."""

    name: str
    task: str  # what label 1 means
    fields: int
    features: int  # indices are below this
    train: Rows
    monitor: Rows
    test: Rows


def _codes(column: Any) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Column -> number of each row's value, and the values as text."""
    import pandas as pd

    codes, values = pd.factorize(column, use_na_sentinel=False)
    return np.asarray(codes, np.int64), [str(v) for v in values]


def hash_fields(
    fields: Mapping[str, Sequence[Any]], bits: int
) -> tuple[npt.NDArray[np.int32], int]:
    """One feature for each field and row: (rows, fields) int32, and how many features there are.

    `fields` names columns of equal length that are taken together. `bits` is 1 to 31.
    """
    if not 1 <= bits <= 31:
        raise ValueError(f"bits must be 1 to 31, got {bits}")
    coded: dict[int, tuple[npt.NDArray[np.int64], list[str]]] = {}
    buckets = []
    for name, columns in fields.items():
        codes, texts = np.zeros(len(columns[0]), np.int64), [name]
        for column in columns:
            if id(column) not in coded:
                coded[id(column)] = _codes(column)
            other, other_texts = coded[id(column)]
            pairs, codes = np.unique(codes * len(other_texts) + other, return_inverse=True)
            texts = [
                f"{texts[p // len(other_texts)]}={other_texts[p % len(other_texts)]}" for p in pairs
            ]
        hashed = [zlib.crc32(text.encode()) & ((1 << bits) - 1) for text in texts]
        buckets.append(np.array(hashed, np.int64)[codes])
    table = np.stack(buckets, axis=1)
    rows_having = np.bincount(table.ravel(), minlength=1 << bits)
    used = int(np.count_nonzero(rows_having))
    number = np.empty(1 << bits, np.int32)
    number[np.argsort(-rows_having, kind="stable")] = np.arange(1 << bits, dtype=np.int32)
    return number[table], used


def one_hot_rows(features: npt.NDArray[np.int32], labels: npt.NDArray[Any]) -> Rows:
    """Rows from (rows, fields) feature numbers, every value 1."""
    rows, fields = features.shape
    indptr = np.arange(0, rows * fields + 1, fields, dtype=np.int64)
    return Rows(indptr, np.ascontiguousarray(features).ravel(), None, labels.astype(np.float32))


def dense_rows(matrix: npt.NDArray[np.float32], labels: npt.NDArray[Any]) -> Rows:
    """Rows from the elements of a (rows, columns) matrix that are not 0, and a last feature of
    value 1 for the bias."""
    matrix = np.hstack([matrix, np.ones((len(matrix), 1), np.float32)])
    held = matrix != 0
    indptr = np.concatenate([[0], np.cumsum(held.sum(axis=1))]).astype(np.int64)
    return Rows(
        indptr, np.nonzero(held)[1].astype(np.int32), matrix[held], labels.astype(np.float32)
    )


def split(
    rows: int, seed: int, monitored: int = 8192
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Row numbers, drawn at random: four fifths to train on; of the rest up to a quarter, at most
    `monitored`, to look at while training; the others for the end."""
    order = np.random.default_rng(seed).permutation(rows)
    held_out = order[rows * 4 // 5 :]
    looks = min(len(held_out) // 4, monitored)
    return order[: rows * 4 // 5], held_out[:looks], held_out[looks:]
