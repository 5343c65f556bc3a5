"""The example as its users run it: threads, processes, the table, the picture, wrong arguments."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from caffe2op import workspace
from caffe2op.atomics import AtomicArray
from caffe2op.examples import datasets, hogwild, processes, report, training
from caffe2op.examples.features import Dataset, Rows
from caffe2op.examples.runners import RUNNERS
from caffe2op.examples.training import Run, Settings


def small(rows: int = 4000, features: int = 40) -> Dataset:
    """Rows with hot features, whose labels a linear model can learn."""
    random = np.random.default_rng(0)
    truth = random.normal(size=features)

    def make(count: int) -> Rows:
        indices = random.integers(0, features, (count, 8)).astype(np.int32)
        indices[:, 0] = 0
        labels = truth[indices].sum(axis=1) > 0
        return Rows(
            np.arange(0, 8 * count + 1, 8, dtype=np.int64),
            indices.ravel(),
            None,
            labels.astype(np.float32),
        )

    return Dataset("small", "is positive", 8, features, make(rows), make(500), make(500))


SETTINGS = Settings(workers=2, batch_size=64, lr=0.1, decay=0.0, l2=0.0, epochs=5, target=0.0)
WAYS = [
    pytest.param(training.train, "asyncnet", id="asyncnet"),
    pytest.param(training.train, "plan", id="plan"),
    pytest.param(processes.train, "asyncnet", id="processes"),
]
runners = pytest.mark.parametrize("runner", RUNNERS)


@pytest.mark.parametrize(("train", "runner"), WAYS)
def test_the_last_pass_ends_it(train: Callable[..., Run], runner: str) -> None:
    data = small()
    run = train(data, replace(SETTINGS, runner=runner))
    assert run.rows == 5 * 4000
    assert run.sent == 5 * 4000 * 8
    assert run.found == run.sent
    assert run.seconds_to_target is None
    # every look once; two workers may end theirs in either order
    every = 4000 // training.LOOKS
    assert sorted(run.points[:, 1]) == list(range(every, 5 * 4000 + 1, every))
    assert (np.diff(run.points[:, 0]) >= 0).all()
    assert run.points[-1, 2] < run.points[0, 2] < np.log(2)
    assert 0 < run.points[0, 0] <= run.points[-1, 0] <= run.seconds
    assert run.log_loss < 0.3
    assert run.auc > 0.95


@pytest.mark.parametrize(("train", "runner"), WAYS)
def test_the_target_ends_it(train: Callable[..., Run], runner: str) -> None:
    data = small()
    run = train(data, replace(SETTINGS, epochs=1000, target=0.5, runner=runner))
    assert run.seconds_to_target is not None
    assert run.rows < 500 * 4000  # far from the last pass
    assert run.found == run.sent == 8 * run.rows


def test_one_worker_is_repeatable() -> None:
    """Whatever runs it."""
    data = small()
    one = replace(SETTINGS, workers=1)
    runs = [training.train(data, replace(one, runner=runner)) for runner in [*RUNNERS] * 2]
    assert len({(run.log_loss, *run.points[:, 2], run.sent) for run in runs}) == 1


@runners
def test_more_workers_than_processors(runner: str) -> None:
    run = training.train(small(), replace(SETTINGS, workers=9, runner=runner))
    assert (run.rows, run.found) == (5 * 4000, 5 * 4000 * 8)


@runners
def test_a_worker_that_fails_stops_the_others(runner: str) -> None:
    """The siblings are told by the run, not by the flag, and would go on for hours."""
    data = small()
    data.train.indices[8 * 2000] = 40  # of 0 to 39
    rows: list[np.ndarray] = []

    @contextmanager
    def look(cursor: np.ndarray) -> Iterator[None]:
        rows.append(cursor)
        yield

    where = r"net 'batch_[012](_\d+)?', operator 1: SparseLogisticSGD: row 2000: "
    if runner == "asyncnet":
        where = r"net 'hogwild(_\d+)?', operator [012]: While 'worker_[012]', in its " + where
    with pytest.raises(IndexError, match=f"^{where}"):
        training.train(data, replace(SETTINGS, workers=3, epochs=10**6, runner=runner), look)
    before = int(rows[0][0])
    assert 2000 < before < 10**6 * 4000 / 100
    time.sleep(0.01)  # a worker that goes on takes a batch in microseconds
    assert rows[0][0] == before


@contextmanager
def once_it_works(rows: AtomicArray, act: Callable[[], None]) -> Iterator[None]:
    """Meanwhile, as soon as a row has been taken, and at the latest at the end: `act`."""
    over = threading.Event()

    def wait_and_act() -> None:
        while rows.load(0) == 0 and not over.is_set():
            time.sleep(0.001)
        act()

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@runners
def test_ctrl_c_stops_every_worker(runner: str, no_collections: None) -> None:
    rows: list[AtomicArray] = []

    @contextmanager
    def press(cursor: np.ndarray) -> Iterator[None]:
        rows.append(AtomicArray(cursor))
        with once_it_works(rows[0], lambda: os.kill(os.getpid(), signal.SIGINT)):
            yield

    with pytest.raises(KeyboardInterrupt):
        training.train(small(), replace(SETTINGS, epochs=10**6, runner=runner), press)
    before = rows[0].load(0)
    time.sleep(0.01)  # a worker that goes on takes a batch in microseconds
    assert rows[0].load(0) == before < 10**6 * 4000


def test_the_caller_keeps_its_workspace() -> None:
    workspace.FeedBlob("cursor", np.array(7))
    before = workspace.CurrentWorkspace()
    training.train(small(200), SETTINGS)
    assert workspace.CurrentWorkspace() == before
    assert workspace.FetchBlob("cursor") == 7
    workspace.ResetWorkspace()


def test_a_process_that_dies_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="ended with status 1"):
        processes.train(small(200), replace(SETTINGS, merge="neither"))


def test_a_process_that_is_killed_stops_the_others() -> None:
    """Far from the last pass: how long anything takes on a busy machine says nothing."""
    data, settings = small(), replace(SETTINGS, epochs=10**5)
    taken = []

    @contextmanager
    def kill_one(cursor: np.ndarray) -> Iterator[None]:
        def kill() -> None:
            for worker in multiprocessing.active_children()[:1]:
                worker.kill()

        rows = AtomicArray(cursor)
        try:
            with once_it_works(rows, kill):
                yield
        finally:
            taken.append(rows.load(0))

    with pytest.raises(RuntimeError, match="ended with status -9"):
        processes.train(data, settings, kill_one)
    assert 0 < taken[0] < settings.limit(len(data.train)) / 2


# ---- the command line ---------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["asyncnet", "plan", "processes"])
def test_digits(how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    picture = tmp_path / "loss.png"
    arguments = ["--dataset", "digits", "--workers", "2", "--repeats", "1", "--plot", str(picture)]
    arguments += ["--processes"] if how == "processes" else ["--runner", how]
    assert hogwild.main(arguments) == 0
    shown = capsys.readouterr().out
    assert "64 fields, 65 features" in shown
    label = "2 processes" if how == "processes" else "2 workers"
    for kind in ("plain loop", "1 worker", label):
        line = next(line for line in shown.splitlines() if line.startswith(kind))
        cells = line[len(kind) :].split()
        rows, seconds, unit, loss, auc, sent, found, lost = cells
        assert float(rows.replace(",", "")) > 0
        assert (float(seconds) > 0, unit) == (True, "ms")
        assert float(loss) < 0.4
        assert float(auc) > 0.9
        assert (sent, lost) == (found, "0")
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", "0"], "--workers: must be a whole number from 1 to 256, got '0'"),
        (["--workers", "two"], "--workers: must be a whole number from 1 to 256, got 'two'"),
        (["--workers", "257"], "--workers: must be a whole number from 1 to 256, got '257'"),
        (["--runner", "threads"], "--runner: invalid choice: 'threads'"),
        (["--batch", "0"], "--batch: must be a whole number of at least 1, got '0'"),
        (["--seed", "-1"], "--seed: must be a whole number of at least 0, got '-1'"),
        (["--dataset", "cats"], "--dataset: invalid choice: 'cats'"),
        (["--dataset", "census"], "census needs --path"),
        (["--dataset", "census", "--path", "/nowhere.csv"], "cannot read /nowhere.csv"),
        (["--target", "-1"], "--target: must be a number greater than 0"),
        (["--lr", "inf"], "--lr: must be a number greater than 0, got 'inf'"),
        (["--plot", "/nowhere/at/all.png"], "--plot: there is no directory /nowhere/at"),
        (["--bogus"], "unrecognized arguments: --bogus"),
    ],
)
def test_wrong_arguments(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pandas")
    with pytest.raises(SystemExit) as ended:
        hogwild.main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_help_explains() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "caffe2op.examples.hogwild", "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for word in (*datasets.NAMES, *RUNNERS, "--processes", "updates sent", "exit status"):
        assert word in shown


# ---- the report ---------------------------------------------------------------------------------


def run_with(seconds_to_target: float | None, sent: int = 10, found: int = 10) -> Run:
    points = np.array(
        [[0.1, 50, 0.6]] + ([[seconds_to_target, 100, 0.4]] if seconds_to_target else [])
    )
    return Run(
        seconds=2.0,
        rows=100,
        points=points,
        target=0.5,
        sent=sent,
        found=found,
        log_loss=0.45,
        auc=0.8,
    )


def test_the_run_in_the_middle() -> None:
    fast, middle, slow, never = (run_with(s) for s in (0.5, 0.7, 0.9, None))
    assert report.median([never, fast, middle]) is middle
    assert report.median([slow]) is slow
    assert report.median([never, slow, fast, middle]) is slow


def test_the_table_shows_what_was_lost() -> None:
    text = report.table({"racy": run_with(None, sent=1234567, found=1234500)})
    assert re.search(r"racy +50 +not met +0\.4500 +0\.8000 +1,234,567 +1,234,500 +67$", text)
    assert len(set(map(len, text.splitlines()))) == 1


def test_lost_updates_are_the_exit_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(datasets, "load", lambda *_, **__: small(64))
    monkeypatch.setattr(training, "train", lambda *_: run_with(0.5, sent=10, found=9))
    arguments = ["--no-plot", "--repeats", "1", "--workers", "2"]
    assert hogwild.main(arguments) == 1
    assert "2 updates were lost" in capsys.readouterr().err  # by the atomic kinds
    assert hogwild.main([*arguments, "--update", "racy"]) == 0
