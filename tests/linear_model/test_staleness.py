"""How old the weights are that a row is scored with: in rows, counted.

Every row has the one feature that there is, and the target 1. With a squared loss and a tiny rate
each step adds the rate to the weight, so that a row's slope tells how many rows' steps its score
knew of.
"""

from __future__ import annotations

import numpy as np
import pytest

from caffe2op import core
from caffe2op.linear_model import Rows, Settings, Trainer
from caffe2op.linear_model.training import worker_net

BATCH, BATCHES, RATE = 16, 40, 1e-6
ROWS = BATCH * BATCHES


def a_trainer(workers: int) -> Trainer:
    ones = np.ones(ROWS, np.float32)
    rows = Rows(np.arange(ROWS + 1), np.zeros(ROWS, np.int32), None, ones)
    settings = Settings("squared", "sgd", RATE, 0, 0, False, workers, BATCH)
    return Trainer(rows, np.zeros(1, np.float32), settings)


def known(trainer: Trainer) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Of how many rows' steps each row's score knew."""
    return np.rint((1 - trainer._shared["log"].astype(np.float64)) / RATE).astype(np.int64)


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
@pytest.mark.parametrize("seed", range(5))
def test_a_row_lacks_a_batch_of_each_worker_at_most(workers: int, seed: int) -> None:
    """Each worker takes a batch and, some time later, trains it; in any order of the workers. When
    it begins, the weights lack the batches that others have not finished, one of each, and of the
    newest finished one a row is applied before each own row but the first eight."""
    random, trainer = np.random.default_rng(seed), a_trainer(workers)
    settings = Settings("squared", "sgd", RATE, 0, 0, False, workers, BATCH)
    steps = []
    for k in range(workers):
        net = core.Net(f"batch_{k}")
        net.Proto().op.append(worker_net(k, settings, BATCH, False).Proto().op[1])
        steps.append(core.execution_step(f"batch_{k}", net))
    cursor, taken, done, worst = 0, {}, 0, 0
    lacks = np.zeros(ROWS, np.int64)
    while done < BATCHES:
        k = int(random.integers(workers))
        if k not in taken:
            if cursor < ROWS:
                taken[k], cursor = cursor, cursor + BATCH
            continue
        start = taken.pop(k)
        trainer._workers[k].start[()] = start
        trainer._shared["cursor"][0] = cursor
        trainer._workspace.run_plan(steps[k])
        done += 1
        span = slice(start, start + BATCH)
        own = np.arange(BATCH)
        finished = (done - 1) * BATCH  # by anybody, before this batch began
        lacks[span] = finished + own - known(trainer)[span]
        unfinished = cursor - finished - BATCH  # which others have taken
        worst = max(worst, int(lacks[span].max()) + unfinished)
    assert lacks.min() >= 0
    assert lacks.max() <= (BATCH if workers > 1 else 0)
    assert worst <= workers * BATCH
    assert worst >= (workers - 1) * BATCH  # the bound is no wider than it must be
