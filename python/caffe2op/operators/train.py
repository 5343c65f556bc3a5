"""Sparse linear and logistic regression by several workers with a log in common: steps, scores.

Rows come in CSR form, as in caffe2op.operators.linear: `indptr` int64 (rows + 1,), `indices` int32
and, where features are not all 0 or 1, `values` float32; `targets` float32 (rows,), 0 or 1 for
loss="log". Each worker has weights of its own: float32 (features,) for step="sgd", (features, 2)
for "adagrad", the weight and the sum of its squared gradients; one element (or pair) more with
intercept=True, the last. What workers share is a log of one float a row. The kernel, and why this
is faster than weights in common, is in csrc/train_run.c.

A *run* is as many positions as the log has elements; position p is the row (base + p) modulo the
rows. Before a run, while no worker is in the last one: cursor, marks, and each worker's applied and
ledger[0] are zeroed, and ledger[5] (the base) has the rows of the runs before. A worker is done
once its start is beyond the run; once all are, every worker runs the operator a last time with
such a start, and then has all steps.

Errors, when they run: another dtype (TypeError), sizes that do not fit together or a batch that was
trained already (ValueError), an index or a row that leads outside (IndexError), found before any
weight changes.
"""

from __future__ import annotations

import math
from typing import Any

from caffe2op.operators.schema import Arg, Schema, register


def _at_least_0(value: Any) -> str | None:
    return None if value >= 0 and math.isfinite(value) else "must be finite and at least 0"


def _at_least_1(value: Any) -> str | None:
    return None if value >= 1 else "must be at least 1"


def _loss(value: Any) -> str | None:
    return None if value in ("log", "squared") else "must be one of log, squared"


def _step(value: Any) -> str | None:
    return None if value in ("sgd", "adagrad") else "must be one of sgd, adagrad"


_STEP = Arg(
    "step",
    "str",
    default="sgd",
    check=_step,
    doc="sgd: a weight changes by rate * gradient; adagrad: by that over the root of the sum of "
    "its squared gradients",
)
_INTERCEPT = Arg("intercept", "bool", default=False, doc="the last weight is of every row")

register(
    Schema(
        "SparseLinearTrain",
        inputs=(11, 12),
        outputs=(6, 6),
        input_names=(
            "start",
            "cursor",
            "indptr",
            "indices",
            "targets",
            "log",
            "marks",
            "weights",
            "applied",
            "ledger",
            "loss",
            "values",
        ),
        output_names=("log", "marks", "weights", "applied", "ledger", "loss"),
        enforce_in_place=((5, 0), (6, 1), (7, 2), (8, 3), (9, 4), (10, 5)),
        args=(
            Arg("batch_size", "int", doc="rows of a batch", check=_at_least_1),
            Arg("lr", "float", doc="length of a step", check=_at_least_0),
            Arg(
                "decay",
                "float",
                default=0.0,
                check=_at_least_0,
                doc="in pass p over the rows (a fraction) the step is lr / (1 + decay * p)",
            ),
            Arg(
                "l2",
                "float",
                default=0.0,
                check=_at_least_0,
                doc="l2 * weight is part of the gradient of each weight that a row touches, but "
                "the intercept's",
            ),
            Arg("loss", "str", default="log", check=_loss, doc="log (logistic), or squared"),
            _STEP,
            _INTERCEPT,
        ),
        doc="""One batch, row by row: applies what other workers did, trains, and logs its own.

    Inputs: start, an int64 scalar, a multiple of batch_size, and the shared cursor that it was
    taken from by AtomicFetchAdd64 (start itself will do for a single worker); the rows and their
    targets; shared by all, log, float32 (positions of the run,), and marks, uint8, one element for
    each batch; the worker's own, zeros at first: weights, applied, uint8, one for each batch,
    ledger, int64 (6,), and loss, float64 (1,). values is optional. Outputs: in place.

    Wait-free. When a batch begins, the weights lack at most workers * batch_size rows: one
    unfinished batch of each other worker, and the newest finished one, which is applied row by row
    meanwhile. The ledger: [0] is
    the operator's; [1] slopes that the worker sent and [2] their check sum, [3] slopes that it
    received, its own included, and [4] their check sum: after a run, the [3] and [4] of each worker
    equal the sums (modulo 2^64) of all workers' [1] and [2], or something was lost. [5] is the
    base. To `loss` the rows' losses are added, each before its own step: the logarithmic loss, of
    probabilities at least 1e-7, or half the squared error.

    With one worker this is plain SGD, or AdaGrad (Duchi, Hazan and Singer, JMLR 2011), a row at a
    time, in float32.
    """,
    )
)

register(
    Schema(
        "SparseLinearScore",
        inputs=(3, 4),
        outputs=(1, 1),
        input_names=("indptr", "indices", "weights", "values"),
        output_names=("scores",),
        args=(_STEP, _INTERCEPT),
        doc="""The sum of weight * value of each row, and the intercept: float32 (rows,).

    `weights` are those of SparseLinearTrain with the same step and intercept. For the logistic
    loss, Sigmoid makes probabilities of scores.
    """,
    )
)
