"""Asynchronous SGD: N workers on one set of weights.

Each worker runs the same net over and over (runners.py says how):

    AtomicFetchAdd64        takes the next batch from the shared cursor, without a lock
    SparseLogisticSGD       trains on it, adds to the shared weights by compare-exchange
    SparseLogisticMonitor   every so many rows, one worker looks at the loss on rows kept apart
    GE                      has the cursor come to the last pass's end?
    ConditionalSetAtomicBool, twice: either raises the flag that stops all workers

Everything from the first batch to the last is one call into C, without the GIL. The weights, the
cursor and the points of the monitor are NumPy arrays that the blobs share, so that whoever has
the arrays can look at them meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe2op import core, workspace
from caffe2op.examples import metrics
from caffe2op.examples.features import Dataset, Rows
from caffe2op.examples.own_workspace import own_workspace
from caffe2op.examples.runners import RUNNERS

Array = npt.NDArray[Any]

WORD = np.dtype([("weight", np.float32), ("updates", np.uint32)])
"""What the operators keep in each int64 of the weights."""

AHEAD = 4
"""A batch during which the workers took more than so many batches each is done again."""

LOOKS = 4  # of the monitor, in one pass over the rows


@dataclass(frozen=True)
class Settings:
    """How to train."""

    workers: int
    batch_size: int
    lr: float
    decay: float
    l2: float
    epochs: int  # at most so many passes
    target: float  # stop at this mean log-loss on the rows kept apart
    merge: str = "batch"
    update: str = "atomic"
    runner: str = "asyncnet"  # of runners.py: what has the workers that are threads

    def limit(self, rows: int) -> int:
        """Rows in all passes over `rows`."""
        return self.epochs * rows

    def every(self, rows: int) -> int:
        """Rows between two looks of the monitor."""
        return max(1, rows // LOOKS)


@dataclass(frozen=True)
class Run:
    """What came out of training once."""

    seconds: float  # from the start of the first worker to the end of the last
    rows: int
    points: Array  # (looks, 3): seconds since the start, rows, loss
    target: float
    sent: int  # updates that the workers sent
    found: int  # updates that the weights' counters have
    log_loss: float  # on the held-out rows
    auc: float

    @property
    def rows_per_second(self) -> float:
        return self.rows / self.seconds

    @property
    def seconds_to_target(self) -> float | None:
        """When a look first found the loss at the target; None: never."""
        met = self.points[self.points[:, 2] <= self.target]
        return float(met[0, 0]) if len(met) else None


def shared_arrays(data: Dataset, settings: Settings) -> dict[str, Array]:
    """What all workers share, by blob name: the cursor at the first row, the weights 0."""
    rows = len(data.train)
    arrays: dict[str, Array] = {
        "cursor": np.zeros(1, np.int64),
        "weights": np.zeros(data.features, np.int64),
        "history": np.zeros((settings.limit(rows) // settings.every(rows), 3), np.float64),
    }
    for name, part in (("train", data.train), ("monitor", data.monitor)):
        arrays |= {
            f"{name}/{field}": array for field, array in part._asdict().items() if array is not None
        }
    return arrays


def share(arrays: dict[str, Array]) -> None:
    """Make each array the blob of its name in the current workspace."""
    for name, array in arrays.items():
        workspace.ShareBlob(name, array)


def worker_net(k: int, arrays: dict[str, Array], settings: Settings, sent: Array) -> core.Net:
    """One batch of worker k, whose count of updates goes to `sent`. Makes the worker's own blobs
    and the constants in the current workspace, which shares `arrays` already."""
    limit = settings.limit(len(arrays["train/labels"]))
    span = {"batch_size": settings.batch_size, "limit": limit}
    for name, value in span.items():
        workspace.FeedBlob(name, np.array(value, np.int64))
    start, table, sent_k, reached = f"start_{k}", f"table_{k}", f"sent_{k}", f"reached_{k}"
    workspace.FeedBlob(table, np.zeros(2 * len(arrays["weights"]), np.int64))
    workspace.ShareBlob(sent_k, sent)

    def rows(name: str) -> list[str]:
        return [f"{name}/indptr", f"{name}/indices", f"{name}/labels", "weights"]

    def values(name: str) -> list[str]:
        return [f"{name}/values"] if f"{name}/values" in arrays else []

    net = core.Net(f"batch_{k}")
    net.AtomicFetchAdd64(["cursor", "batch_size"], ["cursor", start])
    net.SparseLogisticSGD(
        [start, "cursor", *rows("train"), table, sent_k, *values("train")],
        ["weights", table, sent_k],
        **span,
        lr=settings.lr,
        decay=settings.decay,
        l2=settings.l2,
        merge=settings.merge,
        update=settings.update,
        max_ahead=AHEAD * settings.workers * settings.batch_size,
    )
    net.SparseLogisticMonitor(
        [start, *rows("monitor"), "history", *values("monitor")],
        ["history", reached],
        **span,
        every=settings.every(len(arrays["train/labels"])),
        target=settings.target,
    )
    net.GE([start, "limit"], f"finished_{k}")
    return net


Watch = Callable[[Array], AbstractContextManager[None]]
"""Given the cursor, what is entered while training runs: a progress bar, say."""


def unwatched(cursor: Array) -> AbstractContextManager[None]:
    """Watches nothing."""
    return nullcontext()


def train(data: Dataset, settings: Settings, watch: Watch = unwatched) -> Run:
    """Train with threads. Blocks, without the GIL."""
    arrays = shared_arrays(data, settings)
    sent = [np.zeros(1, np.int64) for _ in range(settings.workers)]
    with own_workspace("hogwild"):
        share(arrays)
        workspace.RunOperatorOnce(core.CreateOperator("CreateAtomicBool", [], ["stop"]))
        batches = [worker_net(k, arrays, settings, sent[k]) for k in range(settings.workers)]
        for k, net in enumerate(batches):
            net.ConditionalSetAtomicBool(["stop", f"reached_{k}"], [])
            net.ConditionalSetAtomicBool(["stop", f"finished_{k}"], [])
        run = RUNNERS[settings.runner](batches, "stop")
        with watch(arrays["cursor"]):
            began = time.monotonic()
            run()
            seconds = time.monotonic() - began
    return result(data, settings, arrays, began, seconds, sum(int(one[0]) for one in sent))


def result(
    data: Dataset,
    settings: Settings,
    arrays: dict[str, Array],
    began: float,
    seconds: float,
    sent: int,
) -> Run:
    """Look at the arrays of a training that is over."""
    points = arrays["history"][arrays["history"][:, 2] > 0] - [began, 0, 0]
    probabilities = predict(arrays["weights"], data.test)
    return Run(
        seconds=seconds,
        rows=min(int(arrays["cursor"][0]), settings.limit(len(data.train))),
        points=points[np.argsort(points[:, 0])],
        target=settings.target,
        sent=sent,
        found=int(arrays["weights"].view(WORD)["updates"].sum(dtype=np.int64)),
        log_loss=metrics.log_loss(data.test.labels, probabilities),
        auc=metrics.auc(data.test.labels, probabilities),
    )


def predict(weights: Array, rows: Rows) -> Array:
    """The probability of label 1 for each row."""
    arrays: dict[str, Array] = {"indptr": rows.indptr, "indices": rows.indices, "weights": weights}
    if rows.values is not None:
        arrays["values"] = rows.values
    with own_workspace("hogwild"):
        share(arrays)
        workspace.RunOperatorOnce(
            core.CreateOperator("SparseLogisticPredict", list(arrays), ["probabilities"])
        )
        found: Array = workspace.FetchBlob("probabilities")
        return found
