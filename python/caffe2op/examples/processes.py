"""The same training by processes on shared memory.

Everything that the workers share, rows, weights, cursor, points and a flag, lies in shared arrays,
and each process runs the net of training.py on them: the same operators, the same atomic words,
but batch by batch, since the flag that stops all is a byte in shared memory (AtomicBool) and not a
blob. Workers are spawned, wait at a gate until all are there, and start together.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import time
from collections.abc import Sequence
from multiprocessing import connection, resource_tracker
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe2op import workspace
from caffe2op.atomics import AtomicArray, AtomicBool
from caffe2op.atomics.shared import SharedArray
from caffe2op.examples import training
from caffe2op.examples.features import Dataset
from caffe2op.examples.training import Run, Settings, Watch, unwatched

Array = npt.NDArray[Any]

LINE = 8  # int64 words of a cache line: no two workers count in the same one
READY, OPEN = 0, 1  # elements of the gate: workers that are there; 1 once they may start
PATIENCE = 60.0  # seconds for all workers to come to the gate


def train(data: Dataset, settings: Settings, watch: Watch = unwatched) -> Run:
    """Train with processes. Blocks. RuntimeError when one ends badly; the others are stopped."""
    arrays = training.shared_arrays(data, settings)
    control: dict[str, Array] = {
        "stop": np.zeros(1, np.bool_),
        "gate": np.zeros(2, np.int32),
        "sent": np.zeros((settings.workers, LINE), np.int64),
        "ended": np.zeros(settings.workers, np.float64),
    }
    with contextlib.ExitStack() as stack:
        shared: dict[str, SharedArray] = {}
        for name, array in (arrays | control).items():
            shared[name] = stack.enter_context(SharedArray.create(array.shape, array.dtype))
            shared[name].array[...] = array
        with watch(shared["cursor"].array):
            began = run_workers(settings, shared)
        for name in ("cursor", "weights", "history"):
            arrays[name] = shared[name].array.copy()
        seconds = float(shared["ended"].array.max()) - began
        sent = int(shared["sent"].array.sum())
    return training.result(data, settings, arrays, began, seconds, sent)


def run_workers(settings: Settings, shared: dict[str, SharedArray]) -> float:
    """Spawn the workers, open the gate once all are there, wait for their end. Returns when the
    gate was opened."""
    spawn = multiprocessing.get_context("spawn")
    workers = [
        spawn.Process(target=work, args=(k, settings, shared), daemon=True)
        for k in range(settings.workers)
    ]
    gate, stop = shared["gate"].atomic(), shared["stop"].boolean()
    try:
        start(workers)
        wait_for_all(gate, workers)
        began = time.monotonic()
        gate.store(OPEN, 1)
        gate.notify(OPEN, len(workers))
        wait_for_end(workers, stop)
    finally:
        for worker in workers:
            if worker.is_alive():
                worker.terminate()
                worker.join()
    check(workers)
    return began


def start(workers: Sequence[BaseProcess]) -> None:
    """Start processes that Ctrl-C does not reach: a terminal sends it to all, and theirs would
    each say so with a traceback. The parent, whose own stays pending meanwhile, ends them."""
    resource_tracker.ensure_running()  # it would be started below, and unblocks the signal then
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # they inherit it
    try:
        for worker in workers:
            worker.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def wait_for_all(gate: AtomicArray, workers: Sequence[BaseProcess]) -> None:
    """Block until every worker is at the gate. RuntimeError when one has ended before it."""
    give_up = time.monotonic() + PATIENCE
    while (there := gate.load(READY)) < len(workers):
        gate.wait(READY, there, timeout=0.1)
        check([w for w in workers if w.exitcode is not None], accepted=())
        if time.monotonic() > give_up:
            raise RuntimeError(f"{there} of {len(workers)} processes came within {PATIENCE:.0f} s")


def wait_for_end(workers: Sequence[BaseProcess], stop: AtomicBool) -> None:
    """Block until every worker has ended; one that ends badly stops the others."""
    running = list(workers)
    while running:
        for ended in connection.wait([worker.sentinel for worker in running]):
            worker = next(one for one in running if one.sentinel == ended)
            worker.join()  # its end of the sentinel closes a moment before its status is there
            running.remove(worker)
            if worker.exitcode != 0:
                stop.store(True)


def check(workers: Sequence[BaseProcess], accepted: tuple[int, ...] = (0,)) -> None:
    """RuntimeError for a worker that ended in another way than accepted."""
    for worker in workers:
        if worker.exitcode not in accepted:
            raise RuntimeError(f"{worker.name} ended with status {worker.exitcode}")


def work(k: int, settings: Settings, shared: dict[str, SharedArray]) -> None:
    """What worker process k does: batches, until somebody raises the flag."""
    stop, gate = shared["stop"].boolean(), shared["gate"].atomic()
    arrays = {name: one.array for name, one in shared.items()}
    sent, ended = arrays["sent"][k, :1], arrays["ended"]
    own = {f"reached_{k}": np.zeros(1, np.bool_), f"finished_{k}": np.zeros((), np.bool_)}
    training.share(arrays | own)
    net = training.worker_net(k, arrays, settings, sent)
    workspace.CreateNet(net)
    gate.fetch_add(READY, 1)
    gate.notify(READY, 1)
    while gate.load(OPEN) == 0:
        gate.wait(OPEN, 0, timeout=1)
    while not stop:
        workspace.RunNet(net)
        stop.set_if(any(own.values()))
    ended[k] = time.monotonic()
