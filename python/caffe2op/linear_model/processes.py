"""A Trainer whose workers are processes: the same operators on shared memory.

Everything that workers read and write, the rows too, is in SharedArrays, which each process maps.
The processes are spawned once and wait for the next run; a run is a word to each and an answer from
each. When all have answered, the caller applies what is left for each of them, and counts: what a
process sent equals what every other received, or LostError tells.

A process that dies, even in the middle of a batch, holds nobody up, as nobody waits for a batch;
the run then ends with an error that names its worker, and the trainer is closed.
"""

from __future__ import annotations

import multiprocessing
from contextlib import suppress
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from caffe2op import core
from caffe2op.atomics.shared import SharedArray
from caffe2op.linear_model.training import (
    Array,
    Rows,
    Settings,
    Trainer,
    share,
    worker_net,
    worker_step,
)
from caffe2op.workspace.workspaces import Workspace

SECONDS = 60.0  # that a process may take to start, or to end


def work(
    k: int, blobs: dict[str, tuple[SharedArray, tuple[int, ...]]], job: tuple[Any, ...], gate: Any
) -> None:
    """One process: a run for each word that comes, until the other end is closed."""
    workspace = Workspace("linear_model")
    share(workspace, {name: one.array.reshape(shape) for name, (one, shape) in blobs.items()})
    settings, batch = job
    step = worker_step(k, worker_net(k, settings, batch, "values" in blobs))
    gate.send(None)  # ready
    while True:
        try:
            gate.recv()
        except (EOFError, OSError, KeyboardInterrupt):
            return
        try:
            workspace.run_plan(step)
            gate.send(None)
        except Exception as error:
            gate.send(error)


class ProcessTrainer(Trainer):
    """Trainer with settings.workers processes instead of threads. For the rest see there.

    The rows are copied into shared memory. Processes are spawned, so that the caller's main module
    must be importable without side effects, as always with multiprocessing. close(), or the end of
    a `with`, ends them; the memory stays as long as somebody has `weights`. An error in a run
    closes it too.
    """

    def __init__(self, rows: Rows, weights: Array, settings: Settings, passes: int = 1) -> None:
        """As Trainer's. Blocks until the processes have started. RuntimeError when one did not."""
        self._memory: list[SharedArray] = []
        self._places: dict[int, SharedArray] = {}
        self._gates: list[Connection] = []
        self._processes: list[Any] = []
        try:
            super().__init__(rows, weights, settings, passes)
            self._spawn(settings)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the processes and let go of the memory. May be called again."""
        for gate in self._gates:
            gate.close()
        for process in self._processes:
            process.join(SECONDS)
            if process.is_alive():
                process.kill()
                process.join()
        self._processes.clear()
        self._gates.clear()
        for shared in self._memory:
            shared.close()
        self._memory.clear()
        self._places.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # ---- memory ----------------------------------------------------------------------------

    def _zeros(self, count: int, dtype: npt.DTypeLike) -> Array:
        shared = SharedArray.create(max(count, 1), np.dtype(dtype))
        self._memory.append(shared)
        array = shared.array[:count]
        self._places[array.ctypes.data] = shared
        return array

    def _in_common(self, rows: Rows, batch: int, batches: int) -> dict[str, Array]:
        arrays = super()._in_common(rows, batch, batches)
        for name, array in arrays.items():
            if array.ctypes.data not in self._places:
                arrays[name] = self._zeros(array.size, array.dtype).reshape(array.shape)
                arrays[name][...] = array
        return arrays

    # ---- processes -------------------------------------------------------------------------

    def _spawn(self, settings: Settings) -> None:
        spawn = multiprocessing.get_context("spawn")
        job = (settings, int(self._shared["batch"]))
        for k, worker in enumerate(self._workers):
            arrays = self._shared | {f"{name}_{k}": a for name, a in vars(worker).items()}
            blobs = {name: (self._places[a.ctypes.data], a.shape) for name, a in arrays.items()}
            here, there = spawn.Pipe()
            self._gates.append(here)
            process = spawn.Process(target=work, args=(k, blobs, job, there), daemon=True)
            process.start()
            there.close()  # so that its end is seen
            self._processes.append(process)
        self._answers()

    def _answers(self) -> None:
        """Waits for a word from each process; the first error of any is raised."""
        errors = []
        for k, gate in enumerate(self._gates):
            try:
                error = gate.recv()
            except (EOFError, OSError):
                error = RuntimeError(f"the process of worker {k} is gone")
            if error is not None:
                errors.append(error)
        if errors:
            raise errors[0]

    def _plan_of(self, nets: list[core.Net]) -> core.ExecutionStep:
        return core.execution_step("finish", nets)

    def _work(self) -> None:
        if not self._processes:
            raise ValueError("this ProcessTrainer is closed")
        try:
            for gate in self._gates:
                with suppress(OSError):  # a process that is gone: its answer tells
                    gate.send(None)
            self._answers()
            super()._work()
        except BaseException:  # who still works would answer the next run
            self.close()
            raise
