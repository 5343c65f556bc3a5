"""The same training by processes on shared memory.

Everything that the workers share, rows, weights, cursor, points and a flag, lies in one block of
shared memory, and each process runs the net of training.py on it: the same operators, the same
atomic words, but batch by batch, since the flag that stops all is a byte in the block (AtomicBool)
and not a blob. Workers are spawned, wait at a gate until all are there, and start together.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import time
from collections.abc import Sequence
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe2op import workspace
from caffe2op.atomics import AtomicArray, AtomicBool
from caffe2op.examples import training
from caffe2op.examples.features import Dataset
from caffe2op.examples.training import Run, Settings, Watch, unwatched

Array = npt.NDArray[Any]
Layout = dict[str, tuple[int, tuple[int, ...], str]]  # name: offset, shape, dtype

LINE = 64  # bytes of a cache line: arrays begin on lines of their own
READY, OPEN = 0, 1  # elements of the gate: workers that are there; 1 once they may start
PATIENCE = 60.0  # seconds for all workers to come to the gate


def lay_out(arrays: dict[str, Array]) -> tuple[Layout, int]:
    """Where each array begins in a block, and the block's bytes."""
    layout: Layout = {}
    end = 0
    for name, array in arrays.items():
        layout[name] = (end, array.shape, array.dtype.str)
        end += -(-array.nbytes // LINE) * LINE
    return layout, end


def views(block: SharedMemory, layout: Layout) -> dict[str, Array]:
    """The arrays of a block."""
    return {name: np.ndarray(shape, dtype, block.buf, offset)
            for name, (offset, shape, dtype) in layout.items()}


def train(data: Dataset, settings: Settings, watch: Watch = unwatched) -> Run:
    """Train with processes. Blocks. RuntimeError when one ends badly; the others are stopped."""
    arrays = training.shared_arrays(data, settings)
    control: dict[str, Array] = {
        "stop": np.zeros(1, np.bool_),
        "gate": np.zeros(2, np.int32),
        "sent": np.zeros((settings.workers, LINE // 8), np.int64),  # a line for each
        "ended": np.zeros(settings.workers, np.float64),
    }
    layout, size = lay_out(arrays | control)
    block = SharedMemory(create=True, size=size)
    try:
        shared = views(block, layout)
        for name, array in (arrays | control).items():
            shared[name][...] = array
        with watch(shared["cursor"]):
            began = run_workers(block.name, layout, settings, shared)
        for name in ("cursor", "weights", "history"):
            arrays[name] = shared[name].copy()
        seconds = float(shared["ended"].max()) - began
        sent = int(shared["sent"].sum())
    finally:
        shared = {}
        block.close()
        block.unlink()
    return training.result(data, settings, arrays, began, seconds, sent)


def run_workers(block: str, layout: Layout, settings: Settings, shared: dict[str, Array]) -> float:
    """Spawn the workers, open the gate once all are there, wait for their end. Returns when the
    gate was opened."""
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=work, args=(k, block, layout, settings), daemon=True)
               for k in range(settings.workers)]
    gate = AtomicArray(shared["gate"])
    stop = AtomicBool(shared["stop"])
    try:
        for worker in workers:
            worker.start()
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
        connection.wait([worker.sentinel for worker in running])
        if any(worker.exitcode for worker in running):
            stop.store(True)
        running = [worker for worker in running if worker.exitcode is None]


def check(workers: Sequence[BaseProcess], accepted: tuple[int, ...] = (0,)) -> None:
    """RuntimeError for a worker that ended in another way than accepted."""
    for worker in workers:
        if worker.exitcode not in accepted:
            raise RuntimeError(f"{worker.name} ended with status {worker.exitcode}")


def work(k: int, name: str, layout: Layout, settings: Settings) -> None:
    """What worker process k does."""
    block = SharedMemory(name)
    with contextlib.suppress(KeyboardInterrupt):  # the parent gets it too, and says so
        train_on(k, views(block, layout), settings)
    with contextlib.suppress(BufferError):  # something of ours still looks at it: the exit will do
        block.close()


def train_on(k: int, shared: dict[str, Array], settings: Settings) -> None:
    """Batches, until somebody raises the flag."""
    control = {name: shared.pop(name) for name in ("stop", "gate", "sent", "ended")}
    stop, gate = AtomicBool(control["stop"]), AtomicArray(control["gate"])
    own = {f"reached_{k}": np.zeros(1, np.bool_), f"finished_{k}": np.zeros((), np.bool_)}
    try:
        training.share(shared | own)
        net = training.worker_net(k, shared, settings, control["sent"][k, :1])
        workspace.CreateNet(net)
        gate.fetch_add(READY, 1)
        gate.notify(READY, 1)
        while gate.load(OPEN) == 0 and not stop:
            gate.wait(OPEN, 0, timeout=1)
        while not stop:
            workspace.RunNet(net)
            stop.set_if(bool(any(own.values())))
        control["ended"][k] = time.monotonic()
    finally:
        stop.store(True)  # whatever ended this worker ends the others
        workspace.ResetWorkspace()
