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
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe2op import core, workspace
from caffe2op.asyncnet import Rendezvous
from caffe2op.atomics.shared import SharedArray
from caffe2op.examples import mlp_training
from caffe2op.examples.datasets import Images
from caffe2op.examples.mlp_training import Curve, Settings
from caffe2op.examples.own_workspace import own_workspace
from caffe2op.model_helper import ModelHelper

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
        except TimeoutError:  # at a meeting that somebody did not come to
            ended = {w.name: w.exitcode for w in workers if w.exitcode is not None}
            raise RuntimeError(f"processes did not come; ended with a status: {ended}") from None
        finally:
            for worker in workers:
                worker.join(1)  # after the last pass they only have to end
                if worker.is_alive():
                    worker.terminate()
                    worker.join()


def _arrays(data: Images, settings: Settings, synchronous: bool) -> dict[str, Array]:
    """Everything shared, with its first values."""
    with own_workspace("mlp"):
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


def _work(k: int, settings: Settings, shared: dict[str, SharedArray], synchronous: bool) -> None:
    """What process k does."""
    arrays = {name: one.array for name, one in shared.items()}
    for name in ("x_train", "y_train", "batches", "cursor", "one", "mutex"):
        workspace.ShareBlob(name, arrays[name])
    if synchronous:
        models = mlp_training.replicas(settings, scale=1 / settings.replicas)
    else:
        mutex = "mutex" if settings.update == "locked" else None
        models = mlp_training.async_models(settings, mutex)
        workspace.RunNetOnce(models[k].param_init_net)  # the optimizer's own blobs
    for i, p in enumerate(models[0].params):
        workspace.ShareBlob(p, arrays[f"parameter_{i}"])
        for r, model in enumerate(models if synchronous else []):
            workspace.ShareBlob(str(model.param_to_grad[p]), arrays[f"gradient_{r}_{i}"])
    net = models[k].net
    if synchronous:
        _add_step(net, k, models, settings, arrays)
    workspace.CreateNet(net)
    # A line of batches is a whole batch or, of a synchronous replica, its part of one.
    steps = len(arrays["batches"]) // (settings.epochs * settings.replicas)
    passes = Rendezvous(settings.replicas + 1, arrays["passes"])
    passes.wait(PATIENCE)
    for _ in range(settings.epochs):
        passes.wait(PATIENCE)
        workspace.RunNet(net, num_iter=steps)
        passes.wait(PATIENCE)


def _add_step(
    net: core.Net,
    k: int,
    models: Sequence[ModelHelper],
    settings: Settings,
    arrays: dict[str, Array],
) -> None:
    """Once all gradients are there, sums and steps of every so many-th parameter; and once all
    steps are done, on. The net is of the simple type: what stands later runs later."""
    n = len(models)
    workspace.FeedBlob("lr", np.float32(-settings.lr))
    Rendezvous(n, arrays["gradients_there"]).add_to(net, "gradients_there", timeout=PATIENCE)
    for i, p in enumerate(models[0].params):
        if i % n == k:
            parts = [core.BlobReference(str(model.param_to_grad[p])) for model in models]
            net.SGD([p, net.Sum(parts, f"total_{i}"), "lr"], [p], update="racy")
    Rendezvous(n, arrays["steps_done"]).add_to(net, "steps_done", timeout=PATIENCE)
