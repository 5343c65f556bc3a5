"""What each operator means, in NumPy: slow, obvious, and with the same arguments.

TWINS maps an operator type to a function of the input arrays and the arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def _older(a: Array, b: Array, broadcast: int, axis: int) -> Array:
    """b with ones behind its shape, as Caffe2's older broadcasting lays it against a."""
    if not broadcast or axis < 0:
        return b
    return b.reshape((*b.shape, *[1] * (a.ndim - axis - b.ndim)))


def _binary(function: Callable[[Array, Array], Array]) -> Callable[..., Array]:
    def twin(a: Array, b: Array, broadcast: int = 0, axis: int = -1) -> Array:
        return np.asarray(function(a, _older(a, b, broadcast, axis)))

    return twin


def total(*xs: Array) -> Array:
    out = xs[0].copy()
    for x in xs[1:]:
        out = np.asarray(out + x)
    return out


def weighted_sum(*inputs: Array, atomic: bool = False) -> Array:
    products = [x * w.ravel()[0] for x, w in zip(inputs[::2], inputs[1::2], strict=True)]
    if atomic and len(products) > 1:  # what is added is summed first
        return np.asarray(products[0] + total(*products[1:]))
    return total(*products)


def sigmoid(x: Array) -> Array:
    one = x.dtype.type(1)  # NumPy 1 would make float64 of a 0-D float32 and a Python number
    return np.asarray(one / (one + np.exp(-x)))


def scale(x: Array, scale: float = 1.0) -> Array:
    return np.asarray(x * x.dtype.type(scale))


def relu(x: Array) -> Array:
    return np.asarray(np.maximum(x, x.dtype.type(0)))


# ---- rows by index ----------------------------------------------------------------------------


def gather(data: Array, indices: Array) -> Array:
    return data[indices]


def sparse_lengths_weighted_sum(
    data: Array, weights: Array, indices: Array, lengths: Array
) -> Array:
    out = np.zeros((len(lengths), *data.shape[1:]), data.dtype)
    k = 0
    for s, length in enumerate(lengths):
        for _ in range(length):
            out[s] += data[indices[k]] * weights[k]
            k += 1
    return out


def sparse_lengths_sum(data: Array, indices: Array, lengths: Array) -> Array:
    return sparse_lengths_weighted_sum(data, np.ones(len(indices), data.dtype), indices, lengths)


def scatter_assign(data: Array, indices: Array, slices: Array) -> Array:
    out = data.copy()
    for place in np.ndindex(indices.shape):
        out[indices[place]] = slices[place]
    return out


def scatter_weighted_sum(x0: Array, w0: Array, indices: Array, *pairs: Array) -> Array:
    out = x0.copy()
    for place in np.ndindex(indices.shape):
        update = weighted_sum(*[p[place] if k % 2 == 0 else p for k, p in enumerate(pairs)])
        out[indices[place]] = out[indices[place]] * w0.ravel()[0] + update
    return out


# ---- fills ------------------------------------------------------------------------------------


def constant_fill(shape: Sequence[int] = (), value: Any = 0.0, dtype: Any = "float32") -> Array:
    return np.full(shape, value, dtype)


def random_bits(seed: int, n: int) -> Array:
    """The first n numbers of SplitMix64 (Steele, Lea, Flood, 2014), uint64."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed % 2**64) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(
            0x9E3779B97F4A7C15
        )
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def uniform_fill(
    shape: Sequence[int] = (), min: float = 0.0, max: float = 1.0, seed: int = 0
) -> Array:
    unit = (random_bits(seed, int(np.prod(shape))) >> np.uint64(40)).astype(float) / 2**24
    return (min + (max - min) * unit).astype(np.float32).reshape(shape)


def gaussian_fill(
    shape: Sequence[int] = (), mean: float = 0.0, std: float = 1.0, seed: int = 0
) -> Array:
    n = int(np.prod(shape))
    bits = random_bits(seed, n + n % 2).reshape(-1, 2)
    u = ((bits[:, 0] >> np.uint64(11)).astype(float) + 1) / 2**53
    angle = 2 * np.pi * (bits[:, 1] >> np.uint64(40)).astype(float) / 2**24
    radius = std * np.sqrt(-2 * np.log(u))
    pairs = np.stack([mean + radius * np.cos(angle), mean + radius * np.sin(angle)], axis=1)
    return pairs.ravel()[:n].astype(np.float32).reshape(shape)


def xavier_fill(shape: Sequence[int], seed: int = 0) -> Array:
    most = np.sqrt(3 / np.prod(shape[1:]))
    return uniform_fill(shape, -most, most, seed)


TWINS: dict[str, Callable[..., Array]] = {
    "Add": _binary(np.add),
    "Sub": _binary(np.subtract),
    "Mul": _binary(np.multiply),
    "LT": _binary(np.less),
    "LE": _binary(np.less_equal),
    "GT": _binary(np.greater),
    "GE": _binary(np.greater_equal),
    "EQ": _binary(np.equal),
    "NE": _binary(np.not_equal),
    "And": _binary(np.logical_and),
    "Or": _binary(np.logical_or),
    "Xor": _binary(np.logical_xor),
    "Not": np.logical_not,
    "Copy": np.copy,
    "Sum": total,
    "WeightedSum": weighted_sum,
    "Relu": relu,
    "Sigmoid": sigmoid,
    "Scale": scale,
    "Gather": gather,
    "SparseLengthsSum": sparse_lengths_sum,
    "SparseLengthsWeightedSum": sparse_lengths_weighted_sum,
    "ScatterAssign": scatter_assign,
    "ScatterWeightedSum": scatter_weighted_sum,
    "ConstantFill": constant_fill,
    "UniformFill": uniform_fill,
    "GaussianFill": gaussian_fill,
    "XavierFill": xavier_fill,
}
