"""Feature hashing and CSR rows."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from caffe2op.examples.features import dense_rows, hash_fields, one_hot_rows, split

pytest.importorskip("pandas")


def test_a_feature_for_each_field_and_row() -> None:
    color = np.array(["red", "blue", "red", "red"], object)
    size = np.array([1, 1, 2, 1])
    numbers, used = hash_fields({"color": [color], "size": [size], "both": [color, size]}, 20)
    assert numbers.shape == (4, 3)
    assert numbers.dtype == np.int32
    assert used == 2 + 2 + 3
    assert sorted(np.unique(numbers)) == list(range(used))
    red, blue, one, two = numbers[0, 0], numbers[1, 0], numbers[0, 1], numbers[2, 1]
    assert numbers[:, 0].tolist() == [red, blue, red, red]
    assert numbers[:, 1].tolist() == [one, one, two, one]
    assert numbers[0, 2] == numbers[3, 2]
    assert len({numbers[0, 2], numbers[1, 2], numbers[2, 2]}) == 3


def test_hot_features_come_first() -> None:
    value = np.array([7] * 5 + [8] * 3 + [9] * 4)
    numbers, _ = hash_fields({"value": [value]}, 20)
    assert numbers[[0, 5, 8], 0].tolist() == [0, 2, 1]


def test_values_that_meet_in_a_bucket_share_a_feature() -> None:
    value = np.arange(5)
    buckets = [zlib.crc32(f"value={v}".encode()) & 1 for v in value]
    numbers, used = hash_fields({"value": [value]}, 1)
    assert used == len(set(buckets))
    for a in range(5):
        for b in range(5):
            assert (numbers[a, 0] == numbers[b, 0]) == (buckets[a] == buckets[b])


def test_a_missing_value_is_a_value() -> None:
    column = np.array(["x", None, "y", None], object)
    numbers, used = hash_fields({"column": [column]}, 20)
    assert used == 3
    assert numbers[1, 0] == numbers[3, 0]


@pytest.mark.parametrize("bits", [0, 32])
def test_bits_out_of_range(bits: int) -> None:
    with pytest.raises(ValueError, match="bits must be 1 to 31"):
        hash_fields({"x": [np.arange(2)]}, bits)


def test_one_hot_rows() -> None:
    rows = one_hot_rows(np.array([[3, 1], [0, 2]], np.int32), np.array([True, False]))
    assert rows.indptr.tolist() == [0, 2, 4]
    assert rows.indices.tolist() == [3, 1, 0, 2]
    assert rows.values is None
    assert rows.labels.tolist() == [1, 0]
    assert len(rows) == 2


def test_dense_rows_hold_the_matrix_and_a_bias() -> None:
    matrix = np.array([[0, 0.5, 0], [0.25, 0, 1], [0, 0, 0]], np.float32)
    rows = dense_rows(matrix, np.array([0, 1, 1]))
    back = np.zeros((3, 4), np.float32)
    for r in range(3):
        span = slice(rows.indptr[r], rows.indptr[r + 1])
        assert rows.values is not None
        back[r, rows.indices[span]] = rows.values[span]
    assert np.array_equal(back[:, :3], matrix)
    assert back[:, 3].tolist() == [1, 1, 1]


def test_split_takes_every_row_once() -> None:
    parts = split(1000, seed=3, monitored=30)
    assert [len(p) for p in parts] == [800, 30, 170]
    assert sorted(np.concatenate(parts)) == list(range(1000))
    assert all(np.array_equal(a, b) for a, b in zip(parts, split(1000, 3, 30), strict=True))
    assert not np.array_equal(parts[0], split(1000, 4, 30)[0])
