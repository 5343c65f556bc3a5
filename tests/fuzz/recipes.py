"""What operators mean to get: for each type tensors, or the names of operators that make a mutex, a
counter and so on. The fuzzer begins with these and bends them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hostile import DTYPES, FLOATS, filled, small_shapes
from hypothesis import strategies as st

BINARY = ("Add", "Sub", "Mul", "LT", "LE", "GT", "GE", "EQ", "NE", "And", "Or", "Xor")
Tensor = np.ndarray[Any, Any]

Draw = Callable[[st.SearchStrategy[Any]], Any]


def tensor(draw: Draw, dtype: str, shape: tuple[int, ...], most: int = 4) -> Tensor:
    made = filled(dtype, shape)
    if made.dtype.kind in "iuf" and made.size:
        made[...] = draw(st.integers(0, most))
        made.reshape(-1)[draw(st.integers(0, made.size - 1))] = draw(st.integers(0, most))
    return made


def _elementwise(draw: Draw) -> list[Any]:
    dtype, shape = draw(st.sampled_from(DTYPES)), draw(small_shapes)
    other = draw(st.sampled_from([shape, shape[1:], (1,) * len(shape), ()]))
    return [tensor(draw, dtype, shape), tensor(draw, dtype, other)]


def _same(
    count: int, dtypes: tuple[str, ...] = ("float32", "float64", "int32", "int64")
) -> Callable[[Draw], list[Any]]:
    def recipe(draw: Draw) -> list[Any]:
        dtype, shape = draw(st.sampled_from(dtypes)), draw(small_shapes)
        return [tensor(draw, dtype, shape) for _ in range(draw(st.integers(1, count)))]

    return recipe


def _weighted(draw: Draw) -> list[Any]:
    dtype, shape = draw(st.sampled_from(FLOATS)), draw(small_shapes)
    return [
        tensor(draw, dtype, shape if k % 2 == 0 else (1,))
        for k in range(2 * draw(st.integers(1, 3)))
    ]


def _rows(draw: Draw) -> tuple[str, int, tuple[int, ...], Tensor]:
    """dtype, rows, the shape of a row, indices."""
    rows = draw(st.integers(0, 4))
    where = tensor(
        draw, draw(st.sampled_from(["int32", "int64"])), draw(small_shapes), max(rows - 1, 0)
    )
    return draw(st.sampled_from(FLOATS)), rows, draw(small_shapes), where


def _gather(draw: Draw) -> list[Any]:
    dtype, rows, row, where = _rows(draw)
    return [tensor(draw, dtype, (rows, *row)), where]


def _scatter_assign(draw: Draw) -> list[Any]:
    dtype, rows, row, where = _rows(draw)
    return [tensor(draw, dtype, (rows, *row)), where, tensor(draw, dtype, (*where.shape, *row))]


def _scatter_sum(draw: Draw) -> list[Any]:
    dtype, rows, row, where = _rows(draw)
    one = [tensor(draw, dtype, (rows, *row)), tensor(draw, dtype, (1,)), where]
    for _ in range(draw(st.integers(1, 2))):
        one += [tensor(draw, dtype, (*where.shape, *row)), tensor(draw, dtype, (1,))]
    return one


def _lengths(weighted: bool) -> Callable[[Draw], list[Any]]:
    def recipe(draw: Draw) -> list[Any]:
        dtype, rows, row, _ = _rows(draw)
        lengths = np.array(draw(st.lists(st.integers(0, 3), max_size=4)), np.int32)
        n = int(lengths.sum())
        where = tensor(draw, draw(st.sampled_from(["int32", "int64"])), (n,), max(rows - 1, 0))
        weights = [tensor(draw, dtype, (n,))] if weighted else []
        return [tensor(draw, dtype, (rows, *row)), *weights, where, lengths]

    return recipe


def _csr(draw: Draw) -> list[Any]:
    """indptr, indices, labels, weights, values."""
    rows, slots = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    counts = [draw(st.integers(0, 3)) for _ in range(rows)]
    n = sum(counts)
    return [
        np.cumsum([0, *counts]).astype(np.int64),
        tensor(draw, "int32", (n,), slots - 1),
        tensor(draw, "float32", (rows,), 1),
        np.zeros(slots, np.int64),
        tensor(draw, "float32", (n,)),
    ]


def _sgd(draw: Draw) -> list[Any]:
    *rows, scales = _csr(draw)
    start = np.array(draw(st.integers(0, 5)), np.int64)
    own = [np.zeros(2 * rows[3].size, np.int64), np.array(0, np.int64)]
    return [start, *rows, *own, *([scales] if draw(st.booleans()) else [])]


def _train(draw: Draw) -> list[Any]:
    indptr, indices, targets, weights, scales = _csr(draw)
    start = np.array(draw(st.integers(0, 5)), np.int64)
    shared = [np.zeros(4, np.float32), np.zeros(4, np.uint8)]
    own = [weights.astype(np.float32), np.zeros(4, np.uint8), np.zeros(6, np.int64), np.zeros(1)]
    rows = [start, start.copy(), indptr, indices, targets]
    return [*rows, *shared, *own, *([scales] if draw(st.booleans()) else [])]


def _score(draw: Draw) -> list[Any]:
    indptr, indices, _, weights, scales = _csr(draw)
    return [indptr, indices, weights.astype(np.float32), scales]


def _monitor(draw: Draw) -> list[Any]:
    *rows, _ = _csr(draw)
    return [np.array(draw(st.integers(0, 5)), np.int64), *rows, np.zeros((3, 3))]


def _fixed(*inputs: Any) -> Callable[[Draw], list[Any]]:
    return lambda draw: [i if isinstance(i, str) else i.copy() for i in inputs]


def _scalar(dtype: str) -> Tensor:
    return np.ones((), dtype)


def _shapes(*shapes: tuple[int, ...]) -> Callable[[Draw], list[Any]]:
    """Floats of these shapes, in which dimension n is 0 to 3 for all."""

    def recipe(draw: Draw) -> list[Any]:
        dtype, sizes = draw(st.sampled_from(FLOATS)), draw(st.tuples(*[st.integers(0, 3)] * 3))
        return [tensor(draw, dtype, tuple(sizes[n] for n in shape)) for shape in shapes]

    return recipe


def _labels(draw: Draw) -> list[Any]:
    x, dy = _shapes((0, 1), (0,))(draw)
    return [x, tensor(draw, "int32", (len(x),), max(x.shape[1] - 1, 0)), dy]


RECIPES: dict[str, Callable[[Draw], list[Any]]] = {
    **dict.fromkeys(BINARY, _elementwise),
    **dict.fromkeys(("Relu", "Sigmoid", "Scale", "Copy", "Not"), _same(1, ("float32", "bool"))),
    "Sum": _same(4),
    "FC": _shapes((0, 1), (2, 1), (2,)),
    "FCGradient": _shapes((0, 1), (2, 1), (0, 2)),
    "MatMul": _shapes((0, 1), (1, 2)),
    "Concat": _same(3),
    **dict.fromkeys(("Softmax", "Tanh", "Reshape", "Split"), _shapes((0, 1))),
    **dict.fromkeys(("AddGradient", "MulGradient"), _shapes((0, 1), (0, 1), (1,))),
    **dict.fromkeys(("ReluGradient", "SoftmaxGradient"), _shapes((0, 1), (0, 1))),
    "LabelCrossEntropyGradient": _labels,
    **dict.fromkeys(("SoftmaxWithLoss", "LabelCrossEntropy"), lambda d: _labels(d)[:2]),
    "SGD": _shapes((0, 1), (0, 1), ()),
    "Adagrad": _shapes((0, 1), (0, 1), (0, 1), ()),
    "MomentumSGDUpdate": _shapes((0, 1), (0, 1), (), (0, 1)),
    "AsyncNetBarrier": _same(3),
    "WeightedSum": _weighted,
    "Gather": _gather,
    "ScatterAssign": _scatter_assign,
    "ScatterWeightedSum": _scatter_sum,
    "SparseLengthsSum": _lengths(False),
    "SparseLengthsWeightedSum": _lengths(True),
    "SparseLogisticSGD": _sgd,
    "SparseLogisticMonitor": _monitor,
    "SparseLinearTrain": _train,
    "SparseLinearScore": _score,
    "SparseLogisticLoss": _csr,
    "SparseLogisticPredict": lambda draw: [x for k, x in enumerate(_csr(draw)) if k != 2],
    "AtomicFetchAdd": _fixed("CreateMutex", _scalar("int32"), _scalar("int32")),
    "AtomicFetchAdd64": _fixed(_scalar("int64"), _scalar("int64")),
    "ConditionalSetAtomicBool": _fixed("CreateAtomicBool", _scalar("bool")),
    "While": _fixed(_scalar("bool")),
    "CheckAtomicBool": _fixed("CreateAtomicBool"),
    "AtomicIter": _fixed("CreateMutex", _scalar("int64")),
    "Iter": _fixed(_scalar("int64")),
    **dict.fromkeys(
        ("CountUp", "CountDown", "ResetCounter", "RetrieveCount", "CheckCounterDone"),
        _fixed("CreateCounter"),
    ),
    **dict.fromkeys(
        ("EnqueueBlobs", "SafeEnqueueBlobs"), _fixed("CreateBlobsQueue", _scalar("float32"))
    ),
    **dict.fromkeys(
        ("DequeueBlobs", "SafeDequeueBlobs", "CloseBlobsQueue"), _fixed("CreateBlobsQueue")
    ),
    "Python": _same(3),
}
