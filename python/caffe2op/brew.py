"""Layers for a ModelHelper, one function each: parameters and operators under Caffe2's names.

A function takes the model, its input blobs, the name of its output (made up when None) and its
sizes, and returns the output's reference. Operators without parameters can as well be added to
`model.net` themselves. Below, N is the number of rows of a batch.

Definitions only: nothing runs, and nothing waits. ValueError for a parameter's name that is taken
and for arguments that the operator does not have; shapes are checked when the net runs.
"""

from __future__ import annotations

from typing import Any

from caffe2op.core.names import BlobLike, BlobReference, Blobs, references
from caffe2op.model_helper import ModelHelper

__all__ = [
    "Init",
    "concat",
    "dropout",
    "embedding",
    "fc",
    "relu",
    "sigmoid",
    "softmax",
    "softmax_with_loss",
    "sum",
    "tanh",
]

Init = tuple[str, dict[str, Any]]
"""The type of a fill operator, and its arguments."""


def __dir__() -> list[str]:
    return sorted(__all__)


def fc(
    model: ModelHelper,
    blob_in: BlobLike,
    blob_out: str,
    dim_in: int,
    dim_out: int,
    weight_init: Init = ("XavierFill", {}),
    bias_init: Init = ("ConstantFill", {}),
    **args: Any,
) -> BlobReference:
    """A fully connected layer, (N, dim_in) to (N, dim_out): x w^T + b with the parameters
    blob_out_w (dim_out, dim_in) and blob_out_b (dim_out,), which is zero at first."""
    weight = model.create_param(
        f"{blob_out}_w", (dim_out, dim_in), weight_init[0], **weight_init[1]
    )
    bias = model.create_param(f"{blob_out}_b", (dim_out,), bias_init[0], **bias_init[1])
    return _one(model, "FC", [blob_in, weight, bias], blob_out, **args)


def relu(model: ModelHelper, blob_in: BlobLike, blob_out: str | None = None) -> BlobReference:
    """The larger of each element and 0; any shape."""
    return _one(model, "Relu", blob_in, blob_out)


def sigmoid(model: ModelHelper, blob_in: BlobLike, blob_out: str | None = None) -> BlobReference:
    """1 / (1 + exp(-x)) of each element; any shape."""
    return _one(model, "Sigmoid", blob_in, blob_out)


def tanh(model: ModelHelper, blob_in: BlobLike, blob_out: str | None = None) -> BlobReference:
    """The hyperbolic tangent of each element; any shape."""
    return _one(model, "Tanh", blob_in, blob_out)


def softmax(
    model: ModelHelper, blob_in: BlobLike, blob_out: str | None = None, axis: int = 1
) -> BlobReference:
    """Probabilities of each row's classes, which sum to 1: dimensions before `axis` are rows, the
    others classes."""
    return _one(model, "Softmax", blob_in, blob_out, axis=axis)


def dropout(
    model: ModelHelper,
    blob_in: BlobLike,
    blob_out: str | None = None,
    ratio: float = 0.5,
    is_test: bool = False,
    **args: Any,
) -> BlobReference:
    """In training each element becomes 0 with probability `ratio`, and the others are divided by
    1 - ratio; with is_test nothing changes."""
    (source,) = references(blob_in)
    name = blob_out or model.net.NextName("Dropout")
    out, _ = model.net.Dropout(
        [source], [name, f"{name}_mask"], ratio=ratio, is_test=is_test, **args
    )
    result: BlobReference = out
    return result


def concat(
    model: ModelHelper, blobs_in: Blobs, blob_out: str | None = None, axis: int = 1
) -> BlobReference:
    """Blobs side by side along dimension `axis`; the others must be alike."""
    name = blob_out or model.net.NextName("Concat")
    out, _ = model.net.Concat(references(blobs_in), [name, f"{name}_split_info"], axis=axis)
    result: BlobReference = out
    return result


def sum(model: ModelHelper, blobs_in: Blobs, blob_out: str | None = None) -> BlobReference:
    """The sum of blobs of one shape."""
    return _one(model, "Sum", blobs_in, blob_out)


def embedding(
    model: ModelHelper,
    indices: BlobLike,
    lengths: BlobLike,
    blob_out: str,
    rows: int,
    dim: int,
    weight_init: Init = ("XavierFill", {}),
) -> BlobReference:
    """Sums of rows of a table, parameter blob_out_w (rows, dim): for each of `lengths` (N,), int32,
    the next so many of `indices`, int32 or int64. Gives (N, dim). Its gradient is rows only."""
    table = model.create_param(f"{blob_out}_w", (rows, dim), weight_init[0], **weight_init[1])
    return _one(model, "SparseLengthsSum", [table, indices, lengths], blob_out)


def softmax_with_loss(
    model: ModelHelper,
    logits: BlobLike,
    labels: BlobLike,
    name: str = "softmax",
    scale: float = 1.0,
) -> tuple[BlobReference, BlobReference]:
    """Probabilities (N, classes), blob `name`, and the loss (), blob name_loss: the mean of
    -log(probability of the label), times scale. labels: int32 or int64, one for each
    row."""
    softmax, loss = model.net.SoftmaxWithLoss([logits, labels], [name, f"{name}_loss"], scale=scale)
    return softmax, loss


def _one(
    model: ModelHelper, type_: str, inputs: Blobs, blob_out: str | None, **args: Any
) -> BlobReference:
    outputs = None if blob_out is None else [blob_out]
    result: BlobReference = getattr(model.net, type_)(inputs, outputs, **args)
    return result
