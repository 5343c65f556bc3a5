"""Linear models: passes over real rows, time to a held-out loss, what the loss comes to,
and what it is by then, which loss_curves.py draws.

Everybody trains the same logistic regression with the same constant step and order of rows: this
package's Trainer, scikit-learn's SGDClassifier, a plain C loop (native/racy.c), and Hogwild in
torch.multiprocessing. A look at the held-out loss is not part of any time.
"""

from __future__ import annotations

import functools
import statistics
import time
from typing import Any

import cffi
import numpy as np
import pytest

import torch_hogwild
from caffe2op.linear_model import Rows, Settings, Trainer
from linear_data import Task, first, log_loss, shuffled, task
from native_tasks import built
from paired import Bench, Claim, Code, require

NAMES = ("flights", "census", "verses")
TWO = "caffe2op, 2 workers"
ROWS = "Linear: a pass of sparse logistic regression, ns per row"
TORCH = "torch.multiprocessing Hogwild, 2 processes, batch 64"
TIME = "Linear: time to the same held-out loss, ms"
MOST_PASSES = 40


def of(name: str, bench: Bench) -> Task:
    whole = task(name)
    if bench.scale >= 1:
        return whole
    return whole._replace(
        train=first(whole.train, max(500, round(len(whole.train.targets) * bench.scale)))
    )


# ---- who trains ---------------------------------------------------------------------------------


class Ours:
    """This package; a pass is a run."""

    def __init__(self, data: Task, workers: int, step: str = "sgd") -> None:
        lr, weights = data.lr, np.zeros(data.features, np.float32)
        if step == "adagrad":
            lr, weights = data.adagrad_lr, np.zeros((data.features, 2), np.float32)
            weights[:, 1] = data.adagrad_start
        settings = Settings(step=step, lr=lr, intercept=False, workers=workers)
        self.trainer = Trainer(data.train, weights, settings)

    def one_pass(self) -> float:
        began = time.perf_counter()
        self.trainer.run()
        return time.perf_counter() - began

    def weights(self) -> Any:
        weights = self.trainer.weights
        return weights if weights.ndim == 1 else weights[:, 0]


class ScikitLearn:
    """SGDClassifier, the same step; its penalty cannot be quite 0."""

    def __init__(self, data: Task) -> None:
        linear, sparse = require("sklearn.linear_model"), require("scipy.sparse")
        rows = data.train
        self.rows = sparse.csr_matrix(
            (np.ones(len(rows.indices), np.float32), rows.indices, rows.indptr),
            shape=(len(rows.targets), data.features),
        )
        self.labels = rows.targets.astype(np.int32)
        self.model = linear.SGDClassifier(
            loss="log_loss", alpha=1e-12, learning_rate="constant", eta0=data.lr, shuffle=False,
            fit_intercept=False,
        )  # fmt: skip

    def one_pass(self) -> float:
        began = time.perf_counter()
        self.model.partial_fit(self.rows, self.labels, classes=[0, 1])
        return time.perf_counter() - began

    def weights(self) -> Any:
        return self.model.coef_[0]


class Racy:
    """The plain loop in C."""

    def __init__(self, data: Task, threads: int) -> None:
        self.ffi, self.lib = racy()
        self.data, self.threads = data, threads
        self.found = np.zeros(data.features, np.float32)

    def one_pass(self) -> float:
        rows = self.data.train
        arrays = (rows.indptr, rows.indices, rows.targets)
        pointers = [
            self.ffi.from_buffer(f"{kind}[]", array)
            for kind, array in zip(("int64_t", "int32_t", "float"), arrays, strict=True)
        ]
        count, weights = len(rows.targets), self.ffi.from_buffer("float[]", self.found)
        took = self.lib.bench_racy(*pointers, count, weights, self.data.lr, self.threads)
        return float(took)

    def weights(self) -> Any:
        return self.found


@functools.cache
def racy() -> tuple[Any, Any]:
    ffi = cffi.FFI()
    ffi.cdef(
        "double bench_racy(const int64_t *, const int32_t *, const float *, int64_t, float *, "
        "float, int);"
    )
    options = ("-std=c11", "-O3", "-D_GNU_SOURCE", "-shared", "-fPIC", "-lm")
    return ffi, ffi.dlopen(str(built("racy.so", "racy.c", "cc", *options)))


WHO = {
    "caffe2op, 1 worker": lambda data: Ours(data, 1),
    TWO: lambda data: Ours(data, 2),
    "racy C loop, 1 thread": lambda data: Racy(data, 1),
    "racy C loop, 2 threads": lambda data: Racy(data, 2),
    "scikit-learn SGDClassifier": ScikitLearn,
}
FASTER = {"flights": 1.5, "census": 1.7, "verses": 1.0}  # than the racy loop, at least


# ---- rows ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("row", WHO)
def test_passes(bench: Bench, row: str, name: str) -> None:
    data = of(name, bench)
    ours, other = Ours(data, 2), WHO[row](data)
    claim = None
    if row == "racy C loop, 1 thread":
        limit = round(1 / FASTER[name], 3)
        claim = Claim(f"training with 2 workers / a racy C loop, {name}", limit)
    bench.row(
        ROWS,
        row,
        name,
        other.one_pass,
        per=len(data.train.targets),
        reference=None if row == TWO else ours.one_pass,
        quotient="2 workers / this",
        claim=claim,
        rounds=max(3, bench.rounds // 4),
    )


@pytest.mark.parametrize("name", NAMES)
def test_torch(bench: Bench, name: str) -> None:
    require("torch")
    data = of(name, bench)
    rows, ours = data.train, Ours(data, 2)
    batches = max(2, bench.size(1500))

    def run() -> list[dict[str, Any]]:
        took = torch_hogwild.train(rows.indptr, rows.indices, rows.targets, data.features, data.lr,
                                   batches)  # fmt: skip
        each = 1e9 * took / (2 * batches * torch_hogwild.BATCH)
        own = statistics.median(ours.one_pass() for _ in range(20)) * 1e9 / len(rows.targets)
        claim = Claim("training with 2 workers / torch.multiprocessing Hogwild, batch 64", 0.1)
        return [
            {
                "row": TORCH,
                "column": name,
                "unit": "ns",
                "value": each,
                "ratio": own / each,
                "quotient": "2 workers / this",
                "claim": claim.decided(own / each),
            }
        ]

    bench.program(ROWS, run)


# ---- time to a loss -----------------------------------------------------------------------------


def time_to_loss(make: Any, data: Task) -> float:
    """Seconds of the passes until the held-out loss is the task's target."""
    trainer, spent = make(data), 0.0
    for _ in range(MOST_PASSES):
        spent += trainer.one_pass()
        if log_loss(data.held_out, trainer.weights()) <= data.target:
            break
    return spent


def adagrad(data: Task) -> Ours:
    return Ours(data, 2, "adagrad")


SKLEARN = "scikit-learn SGDClassifier"
TO_LOSS = {
    **{k: v for k, v in WHO.items() if "2 threads" not in k},
    "caffe2op, 2 workers, AdaGrad": adagrad,
}
LIMITS = {"caffe2op, 1 worker": ("1 worker", 1.0), TWO: ("2 workers", 0.5)}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("row", TO_LOSS)
def test_time_to_loss(bench: Bench, row: str, name: str) -> None:
    data = of(name, bench)
    if row != SKLEARN:
        require("sklearn")
    reference: Code | None = None if row == SKLEARN else lambda: time_to_loss(ScikitLearn, data)
    claim = None
    if row in LIMITS:
        who, limit = LIMITS[row]
        claim = Claim(f"{who} / SGDClassifier, time to the same held-out loss, {name}", limit)
    bench.row(
        TIME,
        row,
        name,
        lambda: time_to_loss(TO_LOSS[row], data),
        unit="ms",
        reference=reference,
        quotient="this / SGDClassifier",
        claim=claim,
        rounds=max(3, bench.rounds // 12),
    )


# ---- the loss -----------------------------------------------------------------------------------

PASSES = 5
LOSS = (
    f"Linear: held-out loss, thousandths, after {PASSES} passes (AdaGrad: 1); mean of five orders"
)


def losses(data: Task, workers: int, step: str, passes: int) -> list[float]:
    found = []
    for seed in range(5):
        trainer = Ours(data._replace(train=shuffled(data.train, seed)), workers, step)
        for _ in range(passes):
            trainer.one_pass()
        found.append(log_loss(data.held_out, trainer.weights()))
    return found


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("step", "passes"), [("sgd", PASSES), ("adagrad", 1)])
def test_losses(bench: Bench, step: str, passes: int, name: str) -> None:
    data = of(name, bench)

    def run() -> list[dict[str, Any]]:
        one, two = (losses(data, workers, step, passes) for workers in (1, 2))
        spread = max(one) - min(one)
        off = abs(statistics.mean(two) - statistics.mean(one)) / spread
        rows = [
            {"row": f"{step}, {n} worker{'s' * (n > 1)}", "column": name, "unit": "",
             "value": 1000 * statistics.mean(found)}
            for n, found in ((1, one), (2, two))
        ]  # fmt: skip
        if step == "sgd":
            what = f"loss of 2 workers, how far off that of 1 / spread of five orders, {name}"
            rows[1]["claim"] = Claim(what, 1.0).decided(off)
        elif name == "flights":
            what = "AdaGrad's held-out loss after one pass, flights, thousandths"
            rows[0]["claim"] = Claim(what, 431).decided(1000 * statistics.mean(one))
        return rows

    bench.program(LOSS, run)


def vowpal_wabbit(data: Task, seed: int, lines: list[str]) -> float:
    """The held-out loss after one pass of VW as it comes: adaptive, normalized, invariant."""
    model = require("vowpalwabbit").pyvw.Workspace("--loss_function logistic -b 18 --quiet")
    for r in np.random.default_rng(seed).permutation(len(lines)):
        model.learn(lines[r])
    signs = np.where(data.held_out.targets > 0.5, -1, 1)
    scores = np.array([model.predict(line) for line in as_lines(data.held_out, labelled=False)])
    return float(np.logaddexp(0, signs * scores).mean())


def as_lines(rows: Rows, labelled: bool) -> list[str]:
    """Rows in VW's format."""
    names = [str(k) for k in range(int(rows.indices.max()) + 1)]
    labels = np.where(rows.targets > 0.5, "1", "-1") if labelled else [""] * len(rows.targets)
    return [
        f"{label} | {' '.join(names[k] for k in rows.indices[begin:end])}"
        for label, begin, end in zip(labels, rows.indptr[:-1], rows.indptr[1:], strict=True)
    ]


@pytest.mark.parametrize("name", NAMES)
def test_vowpal_wabbit(bench: Bench, name: str) -> None:
    """The same rows in the same orders; float weights hashed to as many slots as fit."""
    require("vowpalwabbit")
    data = of(name, bench)
    lines = as_lines(data.train, labelled=True)

    def run() -> list[dict[str, Any]]:
        theirs = statistics.mean(vowpal_wabbit(data, seed, lines) for seed in range(5))
        found = {
            "row": "Vowpal Wabbit, one pass",
            "column": name,
            "unit": "",
            "value": 1000 * theirs,
        }
        if name == "flights":
            ours = statistics.mean(losses(data, 1, "adagrad", 1))
            what = (
                "AdaGrad's held-out loss after one pass / Vowpal Wabbit's on the same rows, flights"
            )
            found["claim"] = Claim(what, 1.0).decided(ours / theirs)
        return [found]

    bench.program(LOSS, run)


# ---- loss by time -------------------------------------------------------------------------------

CURVES = "Linear: held-out loss by time"
DRAWN_PASSES, REPEATS = 12, 5


def by_passes(make: Any, data: Task) -> list[tuple[float, float]]:
    """(seconds, held-out loss) after each pass; medians of the repeats."""
    spent, losses = np.zeros((2, REPEATS, DRAWN_PASSES))
    for repeat in range(REPEATS):
        trainer = make(data)
        for k in range(DRAWN_PASSES):
            spent[repeat, k] = trainer.one_pass()
            losses[repeat, k] = log_loss(data.held_out, trainer.weights())
    return list(zip(np.median(spent, 0).cumsum(), np.median(losses, 0), strict=True))


def of_torch(data: Task) -> list[tuple[float, float]]:
    """The same, as often as one may look, as far as it comes in as many passes."""
    rows = data.train
    batches = DRAWN_PASSES * (len(rows.targets) // (2 * torch_hogwild.BATCH))
    _, looks = torch_hogwild.run(
        rows.indptr, rows.indices, rows.targets, data.features, data.lr, batches, 0.02
    )
    return [(seconds, log_loss(data.held_out, weights)) for seconds, weights in looks]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("row", [*TO_LOSS, TORCH])
def test_curves(bench: Bench, row: str, name: str) -> None:
    if row == TORCH:
        require("torch")
    data = of(name, bench)

    def run() -> list[dict[str, Any]]:
        found = of_torch(data) if row == TORCH else by_passes(TO_LOSS[row], data)
        points = [[float(f"{1000 * seconds:.4g}"), float(f"{loss:.5g}")] for seconds, loss in found]
        return [{"row": row, "column": name, "unit": "ms", "points": points, "target": data.target}]

    bench.program(CURVES, run)
