"""Hogwild as PyTorch's users write it: processes on one model in shared memory, sparse gradients,
batches of 64. Its workers are imported from here, as they are spawned."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

BATCH = 64


def work(
    worker: int, model: Any, rows: tuple[Any, ...], lr: float, batches: int, gate: Any, took: Any
) -> None:
    """One process: `batches` batches of its half of the rows."""
    import torch

    torch.set_num_threads(1)
    indptr, indices, labels = rows
    step = torch.optim.SGD(model.parameters(), lr=lr)
    loss = torch.nn.BCEWithLogitsLoss(reduction="sum")
    half = (len(labels) // 2) // BATCH
    gate.wait()
    began = time.monotonic()
    for k in range(batches):
        first = (worker * half + k % half) * BATCH
        begin, end = int(indptr[first]), int(indptr[first + BATCH])
        step.zero_grad()
        scores = model(indices[begin:end], indptr[first : first + BATCH] - begin)
        loss(scores.squeeze(1), labels[first : first + BATCH]).backward()
        step.step()
    took.put(time.monotonic() - began)


def train(indptr: Any, indices: Any, labels: Any, features: int, lr: float, batches: int) -> float:
    """Seconds that two processes take for `batches` batches each, from their common start."""
    return run(indptr, indices, labels, features, lr, batches, None)[0]


def run(
    indptr: Any,
    indices: Any,
    labels: Any,
    features: int,
    lr: float,
    batches: int,
    every: float | None,
) -> tuple[float, list[tuple[float, Any]]]:
    """The same, and what the weights were every so many seconds: (seconds, weights)."""
    import torch
    from torch import multiprocessing

    model = torch.nn.EmbeddingBag(features, 1, mode="sum", sparse=True)
    torch.nn.init.zeros_(model.weight)
    model.share_memory()
    rows = tuple(
        torch.from_numpy(np.array(array)).share_memory_()
        for array in (indptr, indices.astype(np.int64), labels)
    )
    spawn = multiprocessing.get_context("spawn")
    gate, took = spawn.Barrier(3), spawn.SimpleQueue()
    workers = [
        spawn.Process(target=work, args=(k, model, rows, lr, batches, gate, took)) for k in (0, 1)
    ]
    for worker in workers:
        worker.start()
    gate.wait()
    began, looks = time.monotonic(), []
    while every is not None and any(worker.is_alive() for worker in workers):
        time.sleep(every)
        looks.append((time.monotonic() - began, model.weight.detach().numpy()[:, 0].copy()))
    for worker in workers:
        worker.join(120)
    if any(worker.exitcode != 0 for worker in workers):
        raise RuntimeError(f"workers ended with {[worker.exitcode for worker in workers]}")
    seconds = max(took.get() for _ in workers)
    return seconds, [look for look in looks if look[0] <= seconds]
