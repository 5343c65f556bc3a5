"""Linear models trained by several threads at once: the SparseLinearTrain operator as a plan.

Each worker has weights of its own and runs, over and over, the net

    AtomicFetchAdd64     takes the next batch from the shared cursor, without a lock
    SparseLinearTrain    applies what the others logged, trains, logs its own (csrc/train_run.c)
    GE                   was that beyond the last row?

until the run's rows are done; then each applies what is left. One run is one call into C, without
the GIL. No scikit-learn here: the estimators are in estimators.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from caffe2op import core
from caffe2op.workspace.blob import Blob
from caffe2op.workspace.workspaces import Workspace

Array = npt.NDArray[Any]

SENT, SENT_SUM, RECEIVED, RECEIVED_SUM, BASE, LEDGER = 1, 2, 3, 4, 5, 6  # as in csrc/train.h
LINE = 64  # bytes of a cache line: what one worker writes shares none with another's
MOST_LOGGED = 1 << 24  # positions of a run: the log takes four bytes for each


class Rows(NamedTuple):
    """Rows in CSR form, with their targets."""

    indptr: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int32]
    values: npt.NDArray[np.float32] | None  # None: all 1
    targets: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Settings:
    """How to train; the arguments of SparseLinearTrain."""

    loss: str = "log"
    step: str = "sgd"
    lr: float = 0.05
    decay: float = 0.0
    l2: float = 0.0
    intercept: bool = True
    workers: int = 1
    batch_size: int | None = None  # None: by how many rows there are


class LostError(RuntimeError):
    """What the workers received is not what they sent. Never seen; it is looked for all the
    same."""


def batch_for(rows: int, workers: int) -> int:
    """Rows of a batch: 128; up to 192 where each worker gets 256 batches of a pass or more, and
    fewer than 128 where it would get less than 32.

    What a row's weights lack is about a batch of each other worker, which must be little beside
    the data. A batch costs about 0.1 us beside its rows, and 1 us where cores are far apart."""
    return max(1, min(rows // (32 * workers), max(128, min(192, rows // (256 * workers)))))


def steady_batch(settings: Settings, length: float) -> int:
    """The most rows of a batch with which SGD bears the delay. Steps that a worker does not know
    of yet add up, so that their number times the rate times the loss's curvature must stay below
    a constant; it was found on dense rows. `length` is the mean squared length of a row."""
    curvature = 0.25 if settings.loss == "log" else 1.0
    others = max(1, settings.workers - 1)
    delayed = 1 / max(settings.lr * curvature * (length + settings.intercept) * others, 1e-9)
    return max(1, int(min(delayed, 1 << 30)))


def zeros(count: int, dtype: npt.DTypeLike) -> Array:
    """Zeros that begin at a cache line and have their last to themselves."""
    itemsize = np.dtype(dtype).itemsize
    raw = np.zeros((count * itemsize // LINE + 2) * LINE, np.uint8)
    at = -raw.ctypes.data % LINE
    return raw[at : at + count * itemsize].view(dtype)


Zeros = Callable[[int, npt.DTypeLike], Array]


class Worker:
    """What one worker has of its own."""

    def __init__(self, weights: Array, batches: int, zeros: Zeros = zeros) -> None:
        self.weights = zeros(weights.size, np.float32).reshape(weights.shape)
        self.weights[...] = weights
        self.applied = zeros(batches, np.uint8)
        self.ledger = zeros(LEDGER, np.int64)
        self.loss = zeros(1, np.float64)
        self.start = zeros(1, np.int64).reshape(())
        self.done = zeros(1, np.bool_).reshape(())


def share(workspace: Workspace, arrays: dict[str, Array], suffix: str = "") -> None:
    """Makes blobs of the arrays, on their memory."""
    for name, array in arrays.items():
        workspace.put(f"{name}{suffix}", partial(Blob.share, array=array))


def worker_net(k: int, settings: Settings, batch: int, valued: bool) -> core.Net:
    """One batch of worker k."""
    own = [f"{name}_{k}" for name in ("weights", "applied", "ledger", "loss")]
    net = core.Net(f"worker_{k}")
    net.AtomicFetchAdd64(["cursor", "batch"], ["cursor", f"start_{k}"])
    net.SparseLinearTrain(
        [f"start_{k}", "cursor", "indptr", "indices", "targets", "log", "marks", *own]
        + ["values"] * valued,
        ["log", "marks", *own],
        batch_size=batch,
        lr=settings.lr,
        decay=settings.decay,
        l2=settings.l2,
        loss=settings.loss,
        step=settings.step,
        intercept=settings.intercept,
    )
    net.GE([f"start_{k}", "limit"], f"done_{k}")
    return net


def worker_step(k: int, net: core.Net) -> core.ExecutionStep:
    """Worker k's batches until the run's rows are done."""
    return core.execution_step(f"work_{k}", net, should_stop_blob=f"done_{k}")


class Trainer:
    """Trains on fixed rows, in the order in which they are given.

    `weights` are where to begin, float32 (features + intercept,), or (features + intercept, 2) for
    step="adagrad"; they are copied. A Trainer is for one caller at a time.

    After a run every worker has had every step. SGD's steps are sums, so the workers' weights are
    the same but for rounding. AdaGrad's depend on the steps before, and each worker has them in an
    order of its own: its workers' weights differ a little, and each run ends with their mean.
    """

    def __init__(self, rows: Rows, weights: Array, settings: Settings, passes: int = 1) -> None:
        """`passes` is how many passes one run makes; a run of more than MOST_LOGGED rows is cut
        to a pass. ValueError and TypeError as SparseLinearTrain has them, when it runs."""
        count = len(rows.targets)
        self._passes = passes if passes * count <= MOST_LOGGED else 1
        self._limit = self._passes * count
        batch = settings.batch_size or batch_for(count, settings.workers)
        batches = -(-self._limit // batch)
        self._averaged = settings.step == "adagrad" and settings.workers > 1
        self._done = 0
        self._shared = self._in_common(rows, batch, batches)
        self._workers = [Worker(weights, batches, self._zeros) for _ in range(settings.workers)]
        self._workspace = Workspace("linear_model")
        share(self._workspace, self._shared)
        for k, worker in enumerate(self._workers):
            share(self._workspace, vars(worker), f"_{k}")
        valued = rows.values is not None
        nets = [worker_net(k, settings, batch, valued) for k in range(settings.workers)]
        self._plan = self._plan_of(nets)

    def _zeros(self, count: int, dtype: npt.DTypeLike) -> Array:
        return zeros(count, dtype)

    def _in_common(self, rows: Rows, batch: int, batches: int) -> dict[str, Array]:
        """What all workers have, by the names of the blobs."""
        arrays = {
            "cursor": self._zeros(1, np.int64),
            "log": self._zeros(self._limit, np.float32),
            "marks": self._zeros(batches, np.uint8),
            "indptr": rows.indptr,
            "indices": rows.indices,
            "targets": rows.targets,
            "batch": np.array(batch, np.int64),
            "limit": np.array(self._limit, np.int64),
        }
        return arrays if rows.values is None else arrays | {"values": rows.values}

    def _plan_of(self, nets: list[core.Net]) -> core.ExecutionStep:
        """What trains, and then, when no worker trains any more, applies the rest."""
        steps = [worker_step(k, net) for k, net in enumerate(nets)]
        train = core.execution_step("train", steps, concurrent_substeps=True)
        return core.execution_step("run", [train, core.execution_step("finish", nets)])

    @property
    def weights(self) -> Array:
        """The first worker's weights. To be read between runs."""
        return self._workers[0].weights

    @property
    def passes(self) -> int:
        """How many passes run() makes."""
        return self._passes

    def run(self) -> float:
        """Train `passes` passes with all workers. Returns the rows' mean loss, each before its own
        step. Blocks, without the GIL. LostError when the count does not come out."""
        self._shared["cursor"][0] = 0
        self._shared["marks"][:] = 0
        for worker in self._workers:
            worker.applied[:] = 0
            worker.loss[:] = 0
            worker.ledger[:] = 0
            worker.ledger[BASE] = self._done
        self._work()
        self._done += self._limit
        self._count_all()
        if self._averaged:
            mean = np.mean([worker.weights for worker in self._workers], axis=0)
            for worker in self._workers:
                worker.weights[...] = mean
        return float(sum(worker.loss[0] for worker in self._workers)) / self._limit

    def _work(self) -> None:
        self._workspace.run_plan(self._plan)

    def _count_all(self) -> None:
        ledgers = [worker.ledger.tolist() for worker in self._workers]
        sent = sum(ledger[SENT] for ledger in ledgers)
        check = sum(ledger[SENT_SUM] for ledger in ledgers) % 2**64
        if sent != self._limit or any(
            ledger[RECEIVED] != sent or ledger[RECEIVED_SUM] % 2**64 != check for ledger in ledgers
        ):
            raise LostError(f"of {self._limit} rows the workers' ledgers have {ledgers}")
