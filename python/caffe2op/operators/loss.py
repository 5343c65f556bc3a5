"""What is minimised: SoftmaxWithLoss, LabelCrossEntropy, AveragedLoss. float32 or float64.

Labels are int32 or int64, one for each row, 0 <= label < classes (IndexError otherwise, before
anything is written). None of these blocks.
"""

from __future__ import annotations

import math

from caffe2op.operators.activation import CLASSES
from caffe2op.operators.gradient import GradientRequest, register_gradient
from caffe2op.operators.schema import Arg, Schema, register


def _wrong_scale(value: float) -> str | None:
    return None if math.isfinite(value) else "must be finite"


_SOFTMAX = (
    CLASSES,
    Arg("scale", "float", 1.0, "What the loss is multiplied by.", _wrong_scale),
    Arg("label_prob", "bool", False, "Labels are probabilities, of the logits' dtype and shape."),
)

register(
    Schema(
        "SoftmaxWithLoss",
        (2, 3),
        (2, 2),
        _SOFTMAX,
        input_names=("logits", "labels", "weights"),
        output_names=("softmax", "loss"),
        doc="softmax is that of the logits; loss (0-D) the mean over the rows, weighted where "
        "`weights` has one for each row, of -log(the probability of the row's label).",
    )
)
register(
    Schema(
        "SoftmaxWithLossGradient",
        (4, 5),
        (1, 1),
        _SOFTMAX,
        input_names=("logits", "labels", "weights or softmax", "softmax or dloss", "dloss"),
        output_names=("dlogits",),
        doc="The gradient of SoftmaxWithLoss's logits. Inputs: as there, then softmax and the "
        "gradient of loss.",
    )
)
register(
    Schema(
        "LabelCrossEntropy",
        (2, 2),
        (1, 1),
        input_names=("X", "labels"),
        output_names=("Y",),
        doc="Y[r] = -log(X[r, labels[r]]) of probabilities X (rows, classes); a probability below "
        "1e-20 counts as 1e-20.",
    )
)
register(
    Schema(
        "LabelCrossEntropyGradient",
        (3, 3),
        (1, 1),
        input_names=("X", "labels", "dY"),
        output_names=("dX",),
        doc="The gradient of LabelCrossEntropy's X.",
    )
)
register(
    Schema(
        "AveragedLoss",
        (1, 1),
        (1, 1),
        input_names=("X",),
        output_names=("loss",),
        doc="The mean of all elements, 0-D; 0 where there are none.",
    )
)
register(
    Schema(
        "AveragedLossGradient",
        (2, 2),
        (1, 1),
        input_names=("X", "dloss"),
        output_names=("dX",),
        doc="The gradient of AveragedLoss's X.",
    )
)


def _softmax_with_loss(r: GradientRequest) -> None:
    r.refuse(0)
    inputs = [r.I(k) for k in range(len(r.op.input))]
    r.add("SoftmaxWithLossGradient", [*inputs, r.O(0), r.GO(1)], [r.GI(0)], **r.args)


def _label_cross_entropy(r: GradientRequest) -> None:
    r.add("LabelCrossEntropyGradient", [r.I(0), r.I(1), r.GO(0)], [r.GI(0)])


def _averaged_loss(r: GradientRequest) -> None:
    r.add("AveragedLossGradient", [r.I(0), r.GO(0)], [r.GI(0)])


register_gradient("SoftmaxWithLoss", _softmax_with_loss)
register_gradient("LabelCrossEntropy", _label_cross_entropy)
register_gradient("AveragedLoss", _averaged_loss)
