"""Hogwild with PyTorch, and nothing lost: python -m caffe2op.examples.torch_hogwild

Several processes train one small convolutional network (the one of PyTorch's own example
mnist_hogwild) on scikit-learn's handwritten digits, scaled up to 28 x 28: with
torch.multiprocessing, where the workers' updates of the shared weights may overwrite each other,
and with caffe2op.interop, where none is lost. The two take turns, so that neither has the quieter
machine. Both count: next to the weights lies a vector of the same size to which each worker adds 1
with every update, by the same operation as the update. At the end it should hold the number of
updates everywhere.

Two updates meet rarely where a batch takes long. Smaller batches and more workers than processors,
`--batch 8 --workers 4`, show what is lost then.

This package's workers also let the C library keep the memory that a step frees for the next one
(`keep_freed_memory`), without which a third of a step may go into page faults. That is no
matter of who adds how: with `--alike` PyTorch's workers do the same.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from threading import BrokenBarrierError
from typing import Any, NamedTuple

try:
    import torch
    from sklearn.datasets import load_digits
    from torch import nn
    from torch.nn import functional as F
except ImportError as missing:
    sys.exit(f"{missing}: this example needs what caffe2op[torch] installs")

from caffe2op.examples.command_line import interruptible
from caffe2op.interop import SharedParameters, keep_freed_memory
from caffe2op.interop.torch import AtomicSGD, bind, share

RATE, MOMENTUM = 0.05, 0.5
PATIENCE = 300  # seconds until workers that do not answer are given up


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


class Work(NamedTuple):
    """What each worker does in a round."""

    batch: int
    steps: int
    alike: bool = False  # PyTorch's workers keep freed memory too


class Crew:
    """Processes that train together for a round whenever `run` is called, and sleep else."""

    def __init__(self, worker: Callable[..., None], shared: tuple[Any, ...], n: int, work: Work):
        spawn = torch.multiprocessing.get_context("spawn")
        self._gate, self._stop = spawn.Barrier(n + 1), spawn.Event()
        self._workers = [
            spawn.Process(
                target=worker, args=(*shared, work, k, self._gate, self._stop), daemon=True
            )
            for k in range(n)
        ]
        # Ctrl-C reaches all of us: the children ignore it, as they inherit, and we end them.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        for process in self._workers:
            process.start()
        signal.signal(signal.SIGINT, before)

    def run(self) -> float:
        """Seconds of one round, from the moment that all are ready until all are done."""
        try:
            self._gate.wait(PATIENCE)
            begin = time.perf_counter()
            self._gate.wait(PATIENCE)
        except BrokenBarrierError:
            codes = [process.exitcode for process in self._workers]
            raise RuntimeError(f"workers failed; their exit codes: {codes}") from None
        return time.perf_counter() - begin

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        if kind is None:
            self._stop.set()
            self._gate.wait(PATIENCE)
        else:
            for process in self._workers:
                process.terminate()
        for process in self._workers:
            process.join()


def train(
    model: nn.Module,
    optimizer: Any,
    count: Callable[[], object],
    work: Work,
    seed: int,
    gate: Any,
    stop: Any,
) -> None:
    """One worker: in each round `steps` batches of its own choice."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)  # the workers are what runs in parallel
    x, y, _, _ = digits()
    try:
        while True:
            gate.wait()
            if stop.is_set():
                return
            for _ in range(work.steps):
                rows = torch.randint(0, len(x), (work.batch,))
                optimizer.zero_grad()
                F.nll_loss(model(x[rows]), y[rows]).backward()
                optimizer.step()
                count()
            gate.wait()
    except BaseException:
        gate.abort()  # or the others would wait for this one
        raise


def torch_worker(model: nn.Module, counter: Any, work: Work, *rest: Any) -> None:
    """With PyTorch alone: each adds to the shared tensors as if they were its own."""
    if work.alike:
        keep_freed_memory()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM)
    train(model, optimizer, lambda: counter.add_(1.0), work, *rest)


def our_worker(store: SharedParameters, counter: SharedParameters, *rest: Any) -> None:
    """With this package: the adds of all workers exclude each other."""
    keep_freed_memory()
    model = bind(Net(), store)
    one = torch.ones(counter.flat.shape).numpy()
    optimizer = AtomicSGD(model, store, lr=RATE, momentum=MOMENTUM, among="adds")
    train(model, optimizer, lambda: counter.add_flat(one, among="adds"), *rest)


def accuracy(model: nn.Module) -> float:
    _, _, x, y = digits()
    model.eval()
    with torch.no_grad():
        return float((model(x).argmax(1) == y).float().mean())


class Side:
    """One of the two ways to train: `run()` is a round of its crew, in seconds."""

    def __init__(
        self, name: str, crew: Crew, model: nn.Module, updates: int, arrived: Callable[[], int]
    ) -> None:
        self.name, self.model, self.arrived = name, model, arrived
        self.seconds: list[float] = []  # of each round
        self._crew, self._updates = crew, updates

    def run(self) -> float:
        self.seconds.append(self._crew.run())
        return self.seconds[-1]

    @property
    def sent(self) -> int:
        """Updates of single weights; `arrived()` is how many of them the counter holds."""
        return self._updates * len(self.seconds)


@contextmanager
def sides(workers: int, work: Work) -> Iterator[tuple[Side, Side]]:
    """torch.multiprocessing and this package, with the same network, ready to take turns."""
    torch.manual_seed(0)
    theirs, ours = Net(), Net()
    ours.load_state_dict(theirs.state_dict())
    theirs.share_memory()
    weights = sum(p.numel() for p in ours.parameters())
    plain = torch.zeros(weights).share_memory_()
    updates = workers * work.steps * weights
    with (
        SharedParameters({"count": torch.zeros(weights).numpy()}, processes=True) as counter,
        share(ours, processes=True) as store,
        Crew(torch_worker, (theirs, plain), workers, work) as their_crew,
        Crew(our_worker, (store, counter), workers, work) as our_crew,
    ):
        yield (
            Side(
                "torch.multiprocessing",
                their_crew,
                theirs,
                updates,
                lambda: int(plain.double().sum()),
            ),
            Side(
                "caffe2op.interop",
                our_crew,
                ours,
                updates,
                lambda: int(counter["count"].array.sum(dtype=float)),
            ),
        )


@interruptible
def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m caffe2op.examples.torch_hogwild",
        description="Train a PyTorch model by several processes, with and without lost updates.",
    )
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--batch", type=int, default=64, help="rows of a step")
    parser.add_argument("--steps", type=int, default=50, help="of each worker in a round")
    parser.add_argument("--rounds", type=int, default=6, help="of each of the two, in turn")
    parser.add_argument(
        "--alike", action="store_true", help="torch.multiprocessing's workers keep freed memory too"
    )
    options = parser.parse_args(arguments)
    for name in ("workers", "batch", "steps", "rounds"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be 1 or more, got {getattr(options, name)}")

    work = Work(options.batch, options.steps, options.alike)
    with sides(options.workers, work) as both:
        for _ in range(1 + options.rounds):
            for side in both:
                side.run()
        rows = options.workers * options.steps * options.batch
        print(f"{'':24}{'rows/s':>9}{'accuracy':>10}{'sent':>15}{'arrived':>15}{'lost':>12}")
        for side in both:
            print(
                f"{side.name:24}{rows / median(side.seconds[1:]):>9,.0f}"
                f"{accuracy(side.model):>10.1%}{side.sent:>15,}{side.arrived():>15,}"
                f"{side.sent - side.arrived():>12,}"
            )
        pairs = zip(*(side.seconds[1:] for side in both), strict=True)
        ratio = median(theirs / ours for theirs, ours in pairs)
        print(f"rows/s, caffe2op.interop / torch.multiprocessing: {ratio:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
