"""Sparse logistic regression by asynchronous SGD: steps, loss, probabilities, a monitor.

Rows come in CSR form: `indptr` int64 (rows + 1,), row r being the elements indptr[r] up to
indptr[r + 1] of `indices` int32 and, where features are not all 0 or 1, of `values` float32;
`labels` float32 (rows,), 0 or 1. The weights are int64 words that all workers share, each a
float32 weight and, behind it, a uint32 count of the updates that this weight has had:

    WORD = np.dtype([("weight", np.float32), ("updates", np.uint32)])
    words = np.zeros(features, WORD)           # words.view(np.int64) is what the operators take

The kernels are in csrc/kernels_linear.c and kernels_linear_eval.c. Any number of workers may run
them on the same rows and weights at the same time; none waits.

Errors, when they run: another dtype (TypeError), sizes that do not fit together (ValueError), an
index or a row that leads outside (IndexError), found before any weight changes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from caffe2op.operators.schema import Arg, Schema, register


def _at_least(least: float) -> Callable[[Any], str | None]:
    def check(value: Any) -> str | None:
        fits = value >= least and math.isfinite(value)
        return None if fits else f"must be finite and at least {least}"

    return check


def _one_of(*accepted: str) -> Callable[[Any], str | None]:
    def check(value: Any) -> str | None:
        return None if value in accepted else f"must be one of {', '.join(accepted)}"

    return check


_BATCH = Arg("batch_size", "int", doc="rows of a batch", check=_at_least(1))
_LIMIT = Arg(
    "limit",
    "int",
    default=-1,
    doc="batches end here, however far start has come; negative: no limit",
)

register(
    Schema(
        "SparseLogisticSGD",
        inputs=(8, 9),
        outputs=(3, 4),
        input_names=(
            "start",
            "cursor",
            "indptr",
            "indices",
            "labels",
            "weights",
            "table",
            "sent",
            "values",
        ),
        output_names=("weights", "table", "sent", "loss"),
        enforce_in_place=((5, 0), (6, 1), (7, 2)),
        args=(
            _BATCH,
            _LIMIT,
            Arg("lr", "float", doc="length of a step", check=_at_least(0)),
            Arg(
                "decay",
                "float",
                default=0.0,
                check=_at_least(0),
                doc="in pass p over the rows (a fraction) the step is lr / (1 + decay * p)",
            ),
            Arg(
                "l2",
                "float",
                default=0.0,
                check=_at_least(0),
                doc="each step also shrinks the weights that it touches by step * l2",
            ),
            Arg(
                "merge",
                "str",
                default="batch",
                check=_one_of("batch", "row"),
                doc="batch: step on private copies of the weights, add the differences to the "
                "shared ones after the batch; row: step on the shared weights",
            ),
            Arg(
                "max_ahead",
                "int",
                default=-1,
                doc="with merge=batch: when others took more rows than this during the batch, do "
                "it again on fresh weights, up to 8 times; negative: never",
            ),
            Arg(
                "update",
                "str",
                default="atomic",
                check=_one_of("atomic", "racy"),
                doc="atomic: every add by compare-exchange, none is lost; racy: load, then store",
            ),
        ),
        doc="""One batch of SGD, row by row, on the rows start, start + 1, ... modulo their number.

    Inputs: start, an int64 scalar, and the shared cursor that it was taken from (which is only
    looked at; start itself will do for a single worker); the rows; weights, shared by all;
    table, int64 (2 * weights,), zeros at first, and sent, an int64 scalar, both this worker's
    own; values, optional. Outputs: weights, table and sent in place; loss (optional), float32
    (1,), the mean of the rows' log-losses, each before its own step.

    `sent` grows by one for each element of each row. Once no worker runs, the sum of all `sent`
    equals the sum of the words' counters (modulo 2^32 each), unless updates were lost, which
    "atomic" never does. Weights and counter change together, so the one proves the other.
    """,
    )
)

register(
    Schema(
        "SparseLogisticLoss",
        inputs=(4, 5),
        outputs=(1, 1),
        input_names=("indptr", "indices", "labels", "weights", "values"),
        output_names=("loss",),
        doc="Mean log-loss (natural logarithm) of the rows, float32 (1,).",
    )
)

register(
    Schema(
        "SparseLogisticPredict",
        inputs=(3, 4),
        outputs=(1, 1),
        input_names=("indptr", "indices", "weights", "values"),
        output_names=("probabilities",),
        doc="The probability of label 1 for each row, float32 (rows,).",
    )
)

register(
    Schema(
        "SparseLogisticMonitor",
        inputs=(6, 7),
        outputs=(2, 2),
        input_names=("start", "indptr", "indices", "labels", "weights", "history", "values"),
        output_names=("history", "reached"),
        enforce_in_place=((5, 0),),
        args=(
            _BATCH,
            _LIMIT,
            Arg("every", "int", doc="rows of training between two looks", check=_at_least(1)),
            Arg("target", "float", default=0.0, doc="the mean log-loss to reach"),
        ),
        doc="""The mean log-loss on rows kept apart, each time training has come by `every` rows.

    Stands behind SparseLogisticSGD in a worker's net, with the same start, batch_size and limit.
    The worker whose batch crosses a multiple k * every evaluates, and writes row k - 1 of
    `history`, float64 (points, 3): seconds of the monotonic clock (time.monotonic() on Linux),
    rows, loss; the loss last, so a reader who finds it finds the others. For the other batches
    it costs nothing. Outputs: history in place; reached, bool (1,): this very look found the
    loss at most `target`. ValueError when history has no room for the point.
    """,
    )
)
