"""Processes are killed inside bulk adds, adds of one word, and steps of training; what they had
acknowledged is there, and of what they were in the midst of at most once.

Every worker adds the same amount to every slot in each of its calls, and counts the call in memory
of its own once it has returned. So after `n` acknowledged calls in all and `k` deaths, a slot holds
between n and n + k + (living workers) times that amount: a call that was cut short has reached some
slots and not others, but none twice.

Training counts in the words themselves: each word of SparseLogisticSGD's weights has a count of its
updates in the same 8 bytes, and `sent` is the operator's own acknowledgement.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import fleet
import numpy as np

from caffe2op import core, workspace
from caffe2op.atomics import AtomicArray
from caffe2op.examples.own_workspace import own_workspace

WORKERS = 3
SLOTS = 3000
TIMES = 3  # that each slot comes in a scatter-add


@dataclass
class Adds:
    """Kills of workers that add, and how the sums came out."""

    deaths: int
    cut_short: int  # calls that a death left between nothing and all


def _kill(
    times: int,
    seed: int,
    work: fleet.Body,
    acknowledged: fleet.Array,
    check: Callable[[int], None],
) -> None:
    def steps(number: int) -> int:
        return int(acknowledged[number].sum())

    killings = fleet.killings(WORKERS, work, times, seed, steps, 5e-4)
    for deaths, (workers, number) in enumerate(killings, 1):
        workers.kill(number)
        check(deaths)


def add(times: int, seed: int = 0) -> Adds:
    """Kills inside add_at, add, fetch_add_at and fetch_add, on int64 and float64."""
    tables = [fleet.shared(SLOTS, dtype) for dtype in (np.int64, np.float64)]
    tables += [fleet.shared(SLOTS, np.int64), fleet.shared(1)]
    scattered, dense, fetched, one = map(AtomicArray, tables)
    each = [TIMES, 1, TIMES, 1]  # what a call adds to every slot
    indices = np.random.default_rng(seed).permutation(np.repeat(np.arange(SLOTS), TIMES))
    acknowledged = fleet.shared((WORKERS, len(tables)))

    def work(number: int) -> None:
        count, ones = acknowledged[number], np.ones(SLOTS)
        calls: list[tuple[Callable[[], object], int]] = [  # the short ones more often
            (lambda: scattered.add_at(indices, 1), 1),
            (lambda: dense.add(ones), 20),
            (lambda: fetched.fetch_add_at(indices, 1), 1),
            (lambda: one.fetch_add(0, 1), 20),
        ]
        while True:
            for k, (call, often) in enumerate(calls):
                for _ in range(often):
                    call()
                    count[k] += 1

    def check(deaths: int) -> None:
        for k, table in enumerate(tables):
            least = int(acknowledged[:, k].sum())
            now = table.copy()  # the living go on meanwhile
            most = int(acknowledged[:, k].sum()) + deaths + WORKERS
            assert least * each[k] <= now.min(), (k, least, now.min())
            assert now.max() <= most * each[k], (k, now.max(), most)

    _kill(times, seed, work, acknowledged, check)
    return Adds(times, sum(int(table.max() != table.min()) for table in tables[:3]))


ROWS, FEATURES, OF_A_ROW, BATCH = 400, 300, 8, 50


def train(times: int, seed: int = 0) -> Adds:
    """Kills inside SparseLogisticSGD on shared weights; half of the workers add row by row."""
    rng = np.random.default_rng(seed)
    weights, cursor = fleet.shared(FEATURES), fleet.shared(1)
    sent = fleet.shared((WORKERS, 1))
    arrays = {
        "weights": weights,
        "cursor": cursor,
        "indptr": np.arange(0, ROWS * OF_A_ROW + 1, OF_A_ROW, np.int64),
        "indices": rng.integers(FEATURES, size=ROWS * OF_A_ROW, dtype=np.int32),
        "labels": rng.integers(2, size=ROWS).astype(np.float32),
    }

    def check(deaths: int) -> None:
        least = int(sent.sum())
        words = weights.copy().view([("weight", np.float32), ("updates", np.uint32)])
        updates = int(words["updates"].sum(dtype=np.int64))
        most = int(sent.sum()) + (deaths + WORKERS) * BATCH * OF_A_ROW
        assert least <= updates <= most, (least, updates, most)
        assert np.isfinite(words["weight"]).all()

    with own_workspace("proof"):
        for name, array in arrays.items():
            workspace.ShareBlob(name, array)
        workspace.FeedBlob("batch_size", np.int64(BATCH))
        nets = [_worker_net(k, sent[k]) for k in range(WORKERS)]

        def work(number: int) -> None:
            while True:
                workspace.RunNet(nets[number])

        _kill(times, seed, work, sent, check)
        assert weights.any(), "nothing was trained"
    return Adds(times, 0)


def _worker_net(number: int, sent: fleet.Array) -> str:
    start, table, count = (f"{name}_{number}" for name in ("start", "table", "sent"))
    workspace.FeedBlob(table, np.zeros(2 * FEATURES, np.int64))
    workspace.ShareBlob(count, sent)
    net = core.Net(f"train_{number}")
    net.AtomicFetchAdd64(["cursor", "batch_size"], ["cursor", start])
    net.SparseLogisticSGD(
        [start, "cursor", "indptr", "indices", "labels", "weights", table, count],
        ["weights", table, count],
        batch_size=BATCH,
        lr=0.01,
        merge="row" if number % 2 else "batch",
    )
    workspace.CreateNet(net)
    return net.Proto().name
