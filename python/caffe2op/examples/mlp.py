"""A small network on handwritten digits, trained by replicas: python -m caffe2op.examples.mlp

The model and the ways of training it are in mlp_training.py. The same batches train one replica,
several that wait for each other (synchronous) and several that do not (asynchronous), in turn, and
a table compares steps per second and accuracy. See --help.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from caffe2op.examples import mlp_processes, mlp_training
from caffe2op.examples.command_line import (
    check_picture,
    cpus,
    interruptible,
    positive,
    positive_int,
    seed,
)
from caffe2op.examples.datasets import EXTRA, DataError, digit_images
from caffe2op.examples.mlp_training import Curve, Settings

DESCRIPTION = """\
Train a network of three layers on scikit-learn's handwritten digits, by stochastic gradient
descent, with replicas of the network that share its weights.

  1 replica      the plain loop: one net, run for every batch
  synchronous    every batch is split among the replicas, a barrier waits for all their gradients,
                 which are summed: the weights are those of one replica, up to rounding
  asynchronous   every replica takes batches of its own and updates the weights when it is ready

A step is one batch. steps/s and times leave out the looks at the accuracy on held-out digits.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog="python -m caffe2op.examples.mlp",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument(
        "--replicas",
        type=positive_int,
        default=cpus(),
        help="how many (default: the processors, %(default)s)",
    )
    p.add_argument(
        "--processes",
        action="store_true",
        help="replicas are processes on shared memory, not threads",
    )
    p.add_argument(
        "--update",
        choices=("atomic", "locked", "racy"),
        default="atomic",
        help="how asynchronous replicas write the weights (default: %(default)s)",
    )
    p.add_argument("--epochs", type=positive_int, default=20, help="default: %(default)s")
    p.add_argument("--batch", type=positive_int, default=64, help="default: %(default)s")
    p.add_argument("--lr", type=positive, default=0.2, help="default: %(default)s")
    p.add_argument("--seed", type=seed, default=0, help="of the weights and batches (default: 0)")
    p.add_argument("--repeats", type=positive_int, default=3, help="default: %(default)s")
    p.add_argument(
        "--plot",
        type=Path,
        default=Path("mlp.png"),
        help="where the picture of accuracy against time goes (default: %(default)s)",
    )
    p.add_argument("--no-plot", action="store_true", help="no picture")
    return p


def table(curves: Mapping[str, Sequence[Curve]], target: float) -> str:
    """One line for each way of training; of several runs the median of each figure."""
    lines = [f"{'':<28}{'steps/s':>10}{'accuracy':>10}{f'time to {100 * target:g} %':>16}"]
    for label, runs in curves.items():
        times = [t for run in runs if (t := run.seconds_to(target)) is not None]
        reached = f"{median(times):.2f} s" if len(times) * 2 > len(runs) else "not met"
        lines.append(
            f"{label:<28}{median(r.steps_per_second for r in runs):>10,.0f}"
            f"{100 * median(r.accuracy for r in runs):>8.1f} %{reached:>16}"
        )
    return "\n".join(lines)


def plot(curves: Mapping[str, Sequence[Curve]], path: Path) -> None:
    """Accuracy against time as a picture. ImportError without matplotlib."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(xlabel="time [s]", ylabel="accuracy on held-out digits")
    for label, runs in curves.items():
        run = sorted(runs, key=lambda r: r.steps_per_second)[len(runs) // 2]
        axes.plot(run.points[:, 0], run.points[:, 1], marker="o", markersize=3, label=label)
    axes.set_ylim(0.8, 1)
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


@interruptible
def main(argv: Sequence[str] | None = None) -> int:
    """Run the example with the arguments of the command line. Returns the exit status."""
    p = parser()
    args = p.parse_args(argv)
    if not args.no_plot:
        check_picture(p, args.plot)
    try:
        data = digit_images(args.seed)
    except DataError as error:
        p.error(str(error))
    sizes = (data.x_train.shape[1], 256, 128, 10)
    one = Settings(sizes, 1, args.batch, args.epochs, args.lr, args.seed, "racy")
    several = one._replace(replicas=args.replicas)
    way = mlp_processes if args.processes else mlp_training
    noun = "processes" if args.processes else "threads"
    kinds = {
        "1 replica": (mlp_training.train_sync, one),
        f"synchronous, {args.replicas} {noun}": (way.train_sync, several),
        f"asynchronous, {args.replicas} {noun}": (
            way.train_async,
            several._replace(update=args.update),
        ),
    }
    print(
        f"{len(data.x_train)} digits to train on, {len(data.x_test)} held out; "
        f"{' - '.join(map(str, sizes))}, batches of {args.batch}, {one.steps(data)} steps; "
        f"median of {args.repeats}"
    )
    curves: dict[str, list[Curve]] = {label: [] for label in kinds}
    try:
        for _ in range(args.repeats):
            for label, (train, settings) in kinds.items():
                curves[label].append(train(data, settings))
    except ValueError as error:
        p.error(str(error))
    print(table(curves, 0.97))
    if not args.no_plot:
        try:
            plot(curves, args.plot)
            print(f"accuracy against time: {args.plot}")
        except ImportError:
            print(f"no picture: it needs matplotlib, {EXTRA}")
        except OSError as error:
            p.error(f"--plot: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
