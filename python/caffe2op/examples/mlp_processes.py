"""The same training by processes on shared memory.

Parameters, data, batches, cursor, gradients and a mutex lie in shared arrays; each process runs the
net of its replica on them. Synchronous: a Rendezvous after the gradients, then each process sums
and steps some of the parameters, then another Rendezvous. Asynchronous: a step of each, as threads
have it; "locked" is on a mutex of the shared memory.

Processes are spawned and run pass by pass: all meet before and after each, so that the parent can
look at the accuracy while nobody writes.
"""

from __future__ import annotations

import contextlib
import multiprocessing
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe2op import core, workspace
from caffe2op.asyncnet import Rendezvous
from caffe2op.atomics.shared import SharedArray
from caffe2op.examples import mlp_training
from caffe2op.examples.datasets import Images
from caffe2op.examples.mlp_training import Curve, Settings

Array = npt.NDArray[Any]

PATIENCE = 60.0  # seconds that a party waits for the others


def train_sync(data: Images, settings: Settings) -> Curve:
    """Replicas that wait for each other. Blocks. RuntimeError when a process ends badly."""
    return _train(data, settings, synchronous=True)


def train_async(data: Images, settings: Settings) -> Curve:
    """Replicas that do not wait. Blocks. RuntimeError when a process ends badly."""
    return _train(data, settings, synchronous=False)


def _train(data: Images, settings: Settings, synchronous: bool) -> Curve:
    settings.check(data)
    arrays = _arrays(data, settings, synchronous)
    names = [f"parameter_{k}" for k in range(2 * (len(settings.sizes) - 1))]
    with contextlib.ExitStack() as stack:
        shared: dict[str, SharedArray] = {}
        for name, array in arrays.items():
            shared[name] = stack.enter_context(SharedArray.create(array.shape, array.dtype))
            shared[name].array[...] = array
        spawn = multiprocessing.get_context("spawn")
        workers = [
            spawn.Process(target=_work, args=(k, settings, shared, synchronous), daemon=True)
            for k in range(settings.replicas)
        ]
        passes = Rendezvous(settings.replicas + 1, shared["passes"].array)
        try:
            for worker in workers:
                worker.start()
            passes.wait(PATIENCE)  # all are built

            def epoch() -> None:
                passes.wait(PATIENCE)
                passes.wait(PATIENCE)

            return mlp_training.follow(
                data, settings, epoch, lambda: [shared[name].array.copy() for name in names]
            )
        except TimeoutError:
            ended = {w.name: w.exitcode for w in workers if w.exitcode is not None}
            raise RuntimeError(f"processes did not come; ended with a status: {ended}") from None
        finally:
            for worker in workers:
                worker.join(0 if worker.exitcode is None and passes.waiting else 1)
                if worker.is_alive():
                    worker.terminate()
                    worker.join()


def _arrays(data: Images, settings: Settings, synchronous: bool) -> dict[str, Array]:
    """Everything shared, with its first values."""
    with mlp_training.own_workspace():
        parts = settings.replicas if synchronous else 1
        arrays = mlp_training.share(data, settings, parts)
        first = mlp_training.replica(0, settings)
        workspace.RunNetOnce(first.param_init_net)
        parameters = workspace.FetchBlobs(first.params)
    arrays |= {f"parameter_{k}": p for k, p in enumerate(parameters)}
    for r in range(settings.replicas):
        arrays |= {f"gradient_{r}_{k}": np.zeros_like(p) for k, p in enumerate(parameters)}
    for word in ("mutex", "gradients_there", "steps_done", "passes"):
        arrays[word] = np.zeros(1, np.int64)
    return arrays


def _work(
    k: int, settings: Settings, shared: dict[str, SharedArray], synchronous: bool
) -> None:
    """What process k does."""
    arrays = {name: one.array for name, one in shared.items()}
    for name, array in arrays.items():
        workspace.ShareBlob(name, array)
    scale = 1 / settings.replicas if synchronous else 1.0
    if synchronous:
        models = mlp_training.replicas(settings, scale)
    else:
        mutex = "mutex" if settings.update == "locked" else None
        models = mlp_training.async_models(settings, mutex)
    model = models[k]
    workspace.RunNetOnce(models[0].param_init_net)
    if k > 0 and not synchronous:
        workspace.RunNetOnce(model.param_init_net)
    # The blobs of the parameters, and of their gradients, become the shared memory.
    for i, p in enumerate(model.params):
        workspace.ShareBlob(p, arrays[f"parameter_{i}"])
        for r, other in enumerate(models):
            gradient = other.param_to_grad[p]
            if r == k or synchronous:
                workspace.ShareBlob(str(gradient), arrays[f"gradient_{r}_{i}"])
    if synchronous:
        _add_step(model.net, k, models, settings)
    workspace.CreateNet(model.net)
    data_rows = len(arrays["batches"]) // (settings.epochs * settings.replicas)
    passes = Rendezvous(settings.replicas + 1, arrays["passes"])
    passes.wait(PATIENCE)
    for _ in range(settings.epochs):
        passes.wait(PATIENCE)
        workspace.RunNet(model.net, num_iter=data_rows)
        passes.wait(PATIENCE)


def _add_step(
    net: core.Net, k: int, models: list[Any], settings: Settings
) -> None:
    """Sums of the gradients, and steps, of every so many-th parameter."""
    n = settings.replicas
    workspace.FeedBlob("lr", np.float32(-settings.lr))
    Rendezvous(n, workspace.FetchBlob("gradients_there")).add_to(net, "gradients_there", [])
    for i, p in enumerate(models[0].params):
        if i % n == k:
            parts = [core.BlobReference(str(m.param_to_grad[p])) for m in models]
            total = net.Sum(parts, f"total_{i}")
            net.SGD([p, total, "lr"], [p], update="racy")
    Rendezvous(n, workspace.FetchBlob("steps_done")).add_to(net, "steps_done", [])
