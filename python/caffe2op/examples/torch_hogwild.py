"""Hogwild with PyTorch, and nothing lost: python -m caffe2op.examples.torch_hogwild

Several processes train one small convolutional network (the one of PyTorch's own example
mnist_hogwild) on scikit-learn's handwritten digits, scaled up to 28 x 28. First with
torch.multiprocessing, where the workers' updates of the shared weights overwrite each other; then
with caffe2op.interop, where each is an atomic add. Both count: next to the weights lies a vector
of the same size to which each worker adds 1 with every update, by the same operations. At the
end it should hold the number of updates everywhere.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any

try:
    import torch
    from sklearn.datasets import load_digits
    from torch import nn
    from torch.nn import functional as F
except ImportError as missing:
    sys.exit(f"{missing}: this example needs torch and scikit-learn")

from caffe2op.interop import SharedParameters
from caffe2op.interop.torch import AtomicSGD, bind, share

RATE, MOMENTUM, BATCH = 0.05, 0.5, 64


class Net(nn.Module):
    """Two layers of convolution, two that are fully connected; 21,840 weights."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 10, 5)
        self.conv2 = nn.Conv2d(10, 20, 5)
        self.fc1 = nn.Linear(320, 50)
        self.fc2 = nn.Linear(50, 10)

    def forward(self, x: Any) -> Any:
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(F.dropout2d(self.conv2(x), training=self.training), 2))
        x = F.dropout(F.relu(self.fc1(x.flatten(1))), training=self.training)
        return F.log_softmax(self.fc2(x), dim=1)


def digits() -> tuple[Any, Any, Any, Any]:
    """Images and labels to train with, images and labels to test with."""
    images, labels = load_digits(return_X_y=True)
    x = torch.tensor(images / 16, dtype=torch.float32).view(-1, 1, 8, 8)
    x = F.interpolate(x, size=28, mode="bilinear")
    y = torch.tensor(labels)
    return x[:1500], y[:1500], x[1500:], y[1500:]


def train(model: nn.Module, optimizer: Any, count: Any, steps: int, seed: int, gate: Any) -> None:
    """One worker: `steps` batches of its own choice."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)  # the workers are what runs in parallel
    x, y, _, _ = digits()
    gate.wait()
    for _ in range(steps):
        rows = torch.randint(0, len(x), (BATCH,))
        optimizer.zero_grad()
        F.nll_loss(model(x[rows]), y[rows]).backward()
        optimizer.step()
        count()
    gate.wait()


def torch_worker(model: nn.Module, counter: Any, steps: int, seed: int, gate: Any) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM)
    train(model, optimizer, lambda: counter.add_(1.0), steps, seed, gate)


def our_worker(
    store: SharedParameters, counter: SharedParameters, steps: int, seed: int, gate: Any
) -> None:
    model = bind(Net(), store)
    one = torch.ones(counter["count"].shape).numpy()
    optimizer = AtomicSGD(model, store, lr=RATE, momentum=MOMENTUM)
    train(model, optimizer, lambda: counter["count"].add(one), steps, seed, gate)


def timed(worker: Any, arguments: tuple[Any, ...], workers: int, steps: int) -> float:
    """Seconds from the moment that all are ready until all are done."""
    context = torch.multiprocessing.get_context("spawn")
    gate = context.Barrier(workers + 1)
    crew = [
        context.Process(target=worker, args=(*arguments, steps, seed, gate))
        for seed in range(workers)
    ]
    for process in crew:
        process.start()
    gate.wait()
    begin = time.perf_counter()
    gate.wait()
    seconds = time.perf_counter() - begin
    for process in crew:
        process.join()
    return seconds


def accuracy(model: nn.Module) -> float:
    _, _, x, y = digits()
    model.eval()
    with torch.no_grad():
        return float((model(x).argmax(1) == y).float().mean())


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m caffe2op.examples.torch_hogwild",
        description="Train a PyTorch model by several processes, with and without lost updates.",
    )
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--steps", type=int, default=300, help="batches of 64 for each worker")
    options = parser.parse_args(arguments)
    for name in ("workers", "steps"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be 1 or more, got {getattr(options, name)}")

    torch.manual_seed(0)
    ours, theirs = Net(), Net()
    theirs.load_state_dict(ours.state_dict())
    weights = sum(p.numel() for p in ours.parameters())
    sent = options.workers * options.steps * weights
    rows = options.workers * options.steps * BATCH

    theirs.share_memory()
    plain = torch.zeros(weights).share_memory_()
    seconds = [timed(torch_worker, (theirs, plain), options.workers, options.steps)]
    found = [int(plain.double().sum())]

    counter = SharedParameters({"count": torch.zeros(weights).numpy()}, processes=True)
    with share(ours, processes=True) as store, counter:
        seconds.append(timed(our_worker, (store, counter), options.workers, options.steps))
        found.append(int(counter["count"].array.sum(dtype=float)))

    print(f"{options.workers} workers, {options.steps} steps each, {weights:,} weights\n")
    print(f"{'':24}{'rows/s':>9}{'accuracy':>10}{'sent':>15}{'arrived':>15}{'lost':>12}")
    for name, model, took, arrived in zip(
        ("torch.multiprocessing", "caffe2op.interop"), (theirs, ours), seconds, found, strict=True
    ):
        print(
            f"{name:24}{rows / took:>9,.0f}{accuracy(model):>10.1%}{sent:>15,}{arrived:>15,}"
            f"{sent - arrived:>12,}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
