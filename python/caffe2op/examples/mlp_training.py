"""Training the network of mlp.py by replicas in threads, synchronously and asynchronously.

All of it are nets. A replica takes the number of its next batch from a shared cursor, gathers the
batch's rows, goes forward and back:

    AtomicFetchAdd64, Gather, Gather, Gather     the batch
    FC, Relu, ..., SoftmaxWithLoss, gradients    caffe2op.brew, AddGradientOperators

Synchronous: the replicas' operators are one net of the type dag, each replica on a part of the
batch, and an AsyncNetBarrier over all gradients; then a Sum and a step for each parameter. The loss
of each is scaled so that the sum is the gradient of the whole batch: the number of replicas changes
the rounding and nothing else. One replica is the plain loop.

Asynchronous: each replica is a net of its own that ends with a step on the shared parameters, and
a plan runs them side by side.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from caffe2op import brew, core, optimizer, workspace
from caffe2op.core.gradients import Gradient
from caffe2op.examples.datasets import Images
from caffe2op.examples.own_workspace import own_workspace
from caffe2op.model_helper import ModelHelper

Array = npt.NDArray[Any]


class Settings(NamedTuple):
    """How to train."""

    sizes: Sequence[int]
    replicas: int
    batch_size: int
    epochs: int
    lr: float
    seed: int
    update: str  # of asynchronous replicas

    def steps_of_epoch(self, data: Images) -> int:
        """Whole batches in one pass, a multiple of the replicas."""
        steps = len(data.x_train) // self.batch_size
        return steps - steps % self.replicas

    def steps(self, data: Images) -> int:
        """Batches in all passes."""
        return self.epochs * self.steps_of_epoch(data)

    def check(self, data: Images) -> None:
        """ValueError for numbers that cannot be divided."""
        if self.batch_size % self.replicas:
            raise ValueError(
                f"a batch of {self.batch_size} cannot be divided among {self.replicas} replicas"
            )
        if self.steps_of_epoch(data) < 1:
            raise ValueError(
                f"{len(data.x_train)} rows are no {self.replicas} batches of {self.batch_size}"
            )


class Curve(NamedTuple):
    """What came out."""

    points: Array  # (looks, 2): seconds of training until then, accuracy
    steps: int
    parameters: list[Array]

    @property
    def accuracy(self) -> float:
        return float(self.points[-1, 1])

    @property
    def steps_per_second(self) -> float:
        return self.steps / float(self.points[-1, 0])

    def seconds_to(self, accuracy: float) -> float | None:
        """When a look first found this accuracy; None: never."""
        met = self.points[self.points[:, 1] >= accuracy]
        return float(met[0, 0]) if len(met) else None


def batches(data: Images, settings: Settings, parts: int) -> Array:
    """The rows of each batch, `parts` lines for each: every pass is a permutation."""
    random = np.random.default_rng(settings.seed)
    rows = settings.steps_of_epoch(data) * settings.batch_size
    passes = [random.permutation(len(data.x_train))[:rows] for _ in range(settings.epochs)]
    return np.concatenate(passes).reshape(-1, settings.batch_size // parts)


# ---- the model -----------------------------------------------------------------------------------


def layers(model: ModelHelper, x: core.BlobReference, sizes: Sequence[int]) -> core.BlobReference:
    """The network: fully connected layers of these sizes, Relu between them. Returns its logits."""
    for k, (dim_in, dim_out) in enumerate(pairwise(sizes)):
        x = brew.fc(model, x, f"fc{k}", dim_in, dim_out)
        if k < len(sizes) - 2:
            x = brew.relu(model, x, f"relu{k}")
    return x


def share(data: Images, settings: Settings, parts: int) -> dict[str, Array]:
    """Blobs that all replicas read, and the cursor; returns the arrays."""
    arrays: dict[str, Array] = {
        "x_train": data.x_train,
        "y_train": data.y_train,
        "batches": batches(data, settings, parts),
        "cursor": np.zeros(1, np.int64),
        "one": np.ones(1, np.int64),
    }
    for name, array in arrays.items():
        workspace.ShareBlob(name, array)
    return arrays


def replica(
    k: int, settings: Settings, scale: float = 1.0, first: ModelHelper | None = None
) -> ModelHelper:
    """Replica k: a batch, forward and back. The first has the parameters."""
    with core.NameScope(f"replica_{k}"):
        model = ModelHelper(f"replica_{k}", settings.seed, params_of=first)
        net = model.net
        shared = [core.BlobReference(name) for name in ("cursor", "one")]
        rows, x, y = (core.BlobReference(name) for name in ("batches", "x_train", "y_train"))
        net.AddExternalInput(*shared, rows, x, y)
        _, turn = net.AtomicFetchAdd64(shared, [shared[0], "turn"])
        batch = net.Gather([rows, turn], "batch")
        # One element, so one line of batches: its rows, not a list of one list of them.
        line, _ = net.Reshape(batch, ["rows", "line_shape"], shape=[-1])
        images, labels = net.Gather([x, line], "images"), net.Gather([y, line], "labels")
        logits = layers(model, images, settings.sizes)
        _, loss = brew.softmax_with_loss(model, logits, labels, scale=scale)
        model.AddGradientOperators([loss])
    return model


def replicas(settings: Settings, scale: float = 1.0) -> list[ModelHelper]:
    """All replicas; the parameters are those of the first."""
    models = [replica(0, settings, scale)]
    models += [replica(k, settings, scale, models[0]) for k in range(1, settings.replicas)]
    return models


def joined(models: Sequence[ModelHelper], settings: Settings) -> ModelHelper:
    """One net of all replicas: a barrier over their gradients, the sums, one step."""
    whole = ModelHelper("step")
    first = models[0]
    for model in models:
        whole.net.Proto().op.extend(model.net.Proto().op)
    whole.net.Proto().external_input.extend(first.net.Proto().external_input)
    whole.params, whole.param_init_net = first.params, first.param_init_net
    whole.param_to_grad = summed(whole.net, models)
    optimizer.build_sgd(whole, settings.lr, update="racy")  # nobody else writes meanwhile
    if len(models) > 1:
        whole.net.Proto().type = "dag"
        whole.net.Proto().num_workers = len(models)
    return whole


def summed(net: core.Net, models: Sequence[ModelHelper]) -> dict[core.BlobReference, Gradient]:
    """A barrier over the gradients of all replicas, then their sums."""
    if len(models) == 1:
        return models[0].param_to_grad
    gradients = [str(g) for model in models for g in model.param_to_grad.values()]
    every = [core.BlobReference(g) for g in gradients]
    net.AsyncNetBarrier(every, every)
    totals: dict[core.BlobReference, Gradient] = {}
    for p in models[0].params:
        parts = [core.BlobReference(str(model.param_to_grad[p])) for model in models]
        totals[p] = net.Sum(parts, f"{p.GetUnscopedName()}_total")
    return totals


# ---- training -----------------------------------------------------------------------------------


def accuracy(data: Images, parameters: Sequence[Array]) -> float:
    """On the held-out rows, in NumPy."""
    h = data.x_test
    for k in range(0, len(parameters), 2):
        h = h @ parameters[k].T + parameters[k + 1]
        if k < len(parameters) - 2:
            h = np.maximum(h, 0)
    return float((h.argmax(axis=1) == data.y_test).mean())


def follow(
    data: Images,
    settings: Settings,
    epoch: Callable[[], object],
    parameters: Callable[[], list[Array]],
) -> Curve:
    """Run `epoch` for each pass; the clock stands while the accuracy is looked at."""
    points, seconds = [(0.0, accuracy(data, parameters()))], 0.0
    for _ in range(settings.epochs):
        began = time.perf_counter()
        epoch()
        seconds += time.perf_counter() - began
        points.append((seconds, accuracy(data, parameters())))
    return Curve(np.array(points), settings.steps(data), parameters())


def train_sync(data: Images, settings: Settings) -> Curve:
    """Replicas that wait for each other. Blocks. ValueError for a batch that cannot be divided."""
    settings.check(data)
    with own_workspace("mlp"):
        share(data, settings, settings.replicas)
        whole = joined(replicas(settings, scale=1 / settings.replicas), settings)
        workspace.RunNetOnce(whole.param_init_net)
        workspace.CreateNet(whole.net)
        steps = settings.steps_of_epoch(data)
        return follow(
            data,
            settings,
            lambda: workspace.RunNet(whole.net, num_iter=steps),
            lambda: workspace.FetchBlobs(whole.params),
        )


def async_models(settings: Settings, mutex: str | None = None) -> list[ModelHelper]:
    """Replicas that each end with a step on the shared parameters."""
    models = replicas(settings)
    for k, model in enumerate(models):
        with core.NameScope(f"replica_{k}"):
            optimizer.build_sgd(
                model,
                settings.lr,
                update=settings.update,
                mutex=None if mutex is None else core.BlobReference(mutex),
            )
    return models


def train_async(data: Images, settings: Settings) -> Curve:
    """Replicas that do not wait. Blocks. ValueError as train_sync."""
    settings.check(data)
    with own_workspace("mlp"):
        share(data, settings, 1)
        models = async_models(settings)
        for model in models:
            workspace.RunNetOnce(model.param_init_net)
        each = settings.steps_of_epoch(data) // settings.replicas
        plan = core.Plan("epoch")
        steps = [core.execution_step(m.name, m.net, num_iter=each) for m in models]
        plan.AddStep(core.execution_step("replicas", steps, concurrent_substeps=True))
        return follow(
            data,
            settings,
            lambda: workspace.RunPlan(plan),
            lambda: workspace.FetchBlobs(models[0].params),
        )
