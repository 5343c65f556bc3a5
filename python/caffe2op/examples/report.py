"""What the example shows: a progress bar, a table, a plot."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from caffe2op.atomics import AtomicArray
from caffe2op.examples.training import Run

REFRESH = 0.05  # seconds between two looks at the cursor


class Progress:
    """A bar on stderr over `runs` trainings of at most `rows` rows each, drawn while they run by a
    thread of its own. Nothing is shown where stderr is no terminal or tqdm is not installed."""

    def __init__(self, runs: int, rows: int) -> None:
        self._rows = rows
        self._begun = 0
        self._bar: Any = None
        with suppress(ImportError):
            from tqdm import tqdm

            if sys.stderr.isatty():
                self._bar = tqdm(total=runs * rows, unit="rows", unit_scale=True, leave=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()

    @contextmanager
    def watch(self, label: str, cursor: npt.NDArray[np.int64]) -> Iterator[None]:
        """Follow the cursor of the next run while the body runs. A run that stops early counts as
        all its rows afterwards."""
        before = self._begun * self._rows
        self._begun += 1
        if self._bar is None:
            yield
            return
        rows = AtomicArray(cursor).cell(0)
        over = threading.Event()

        def follow() -> None:
            while not over.wait(REFRESH):
                self._show(before + min(rows.load(), self._rows))

        self._bar.set_description(label)
        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self._show(before + self._rows)

    def _show(self, rows: int) -> None:
        self._bar.n = rows
        self._bar.refresh()


def median(runs: list[Run]) -> Run:
    """The run in the middle by time to the target; one that never met it comes after all that
    did. Of an even number, the later one of the two in the middle."""

    def rank(run: Run) -> tuple[bool, float]:
        to_target = run.seconds_to_target
        return to_target is None, run.seconds if to_target is None else to_target

    return sorted(runs, key=rank)[len(runs) // 2]


HEADS = ("", "rows/s", "time to target", "log-loss", "AUC", "updates sent", "found", "lost")


def table(runs: Mapping[str, Run]) -> str:
    """The runs as text, one line each."""
    lines = [HEADS]
    for label, run in runs.items():
        to_target = run.seconds_to_target
        lines.append(
            (
                label,
                f"{run.rows_per_second:,.0f}",
                "not met" if to_target is None else f"{1000 * to_target:.1f} ms",
                f"{run.log_loss:.4f}",
                f"{run.auc:.4f}",
                f"{run.sent:,}",
                f"{run.found:,}",
                f"{run.sent - run.found:,}",
            )
        )
    widths = [max(len(line[k]) for line in lines) for k in range(len(HEADS))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if k == 0 else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def plot(runs: Mapping[str, Run], title: str, path: Path) -> None:
    """Loss on the rows kept apart against time, one line for each run, as a picture in `path`.
    ImportError without matplotlib, OSError or ValueError where it cannot be written."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(xlabel="time [ms]", ylabel="log-loss on rows kept apart", title=title)
    for label, run in runs.items():
        axes.plot(1000 * run.points[:, 0], run.points[:, 2], marker="o", markersize=3, label=label)
    axes.axhline(next(iter(runs.values())).target, color="grey", linestyle=":", label="target")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
