"""Two pieces of code measured in turn, round by round.

Machines drift: the same loop can be 10-30 % slower a minute later, so two figures taken one
after the other do not compare. Here each round runs the reference first and the subject right
after it; what is claimed is the median over the rounds of the quotient of the two, and the
figures themselves come with it.

A nanosecond operation is measured as users pay for it: inside a Python loop, the same loop for
everyone, its own cost included. The empty loop is a row of its own.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

Code = Callable[[], object]
UNITS = {"ns": 1e9, "us": 1e6, "ms": 1e3, "s": 1.0}


def loop(statement: str, names: dict[str, Any], n: int) -> Code:
    """A function that runs `statement` n times. `names` are its variables, locals of the loop."""
    parameters = ", ".join(f"{name}={name}" for name in names)
    scope = dict(names)
    exec(f"def run({parameters}):\n    for _ in range({n}):\n        {statement}\n", scope)
    run: Code = scope["run"]
    return run


def seconds(code: Code) -> float:
    """How long the code takes, or the time that it gives back as a float where it has its own
    clock (to leave out its setting up)."""
    began = time.perf_counter()
    own = code()
    return own if isinstance(own, float) else time.perf_counter() - began


def calibrate(statement: str, names: dict[str, Any], wanted: float) -> int:
    """How many times the statement runs in about `wanted` seconds, alone."""
    probe = 1000
    loop(statement, names, probe)()
    return max(100, round(probe * wanted / seconds(loop(statement, names, probe))))


@dataclass(frozen=True)
class Claim:
    """A target that this row decides: `measured` must be at most `limit`.

    Rows that share a name decide it together: the worst of them counts.
    """

    name: str
    limit: float
    unit: str = "x"  # of the limit: a quotient, or the row's own unit

    def decided(self, measured: float) -> dict[str, Any]:
        """The claim with its figure, as the report reads it."""
        return {**asdict(self), "measured": measured}


@dataclass
class Bench:
    """Measures one row of one table; what the report needs goes into extra_info."""

    benchmark: BenchmarkFixture
    rounds: int
    scale: float

    def size(self, n: int, least: int = 1) -> int:
        """n, or less of it in a quick run."""
        return max(least, round(n * self.scale))

    def row(
        self,
        table: str,
        row: str,
        column: str,
        subject: Code,
        *,
        per: int = 1,
        unit: str = "ns",
        reference: Code | None = None,
        reference_per: int | None = None,
        quotient: str = "ours / this",
        claim: Claim | None = None,
        setup: Code | None = None,
        teardown: Code | None = None,
        rounds: int | None = None,
    ) -> None:
        """Time `subject`, which does `per` operations, in turn with `reference`.

        quotient: "ours / this" (the reference is ours) or "this / alone" (the reference is the
        same code, undisturbed). setup and teardown surround the subject alone, untimed.
        """
        references: list[float] = []
        subjects: list[float] = []

        def before() -> None:
            if reference is not None:
                references.append(seconds(reference))
            if setup is not None:
                setup()

        def timed() -> None:
            subjects.append(seconds(subject))

        def after() -> None:
            if teardown is not None:
                teardown()

        rounds = rounds or self.rounds
        self.benchmark.group = table
        self.benchmark.pedantic(
            timed, setup=before, teardown=after, rounds=rounds, iterations=1, warmup_rounds=2
        )
        subjects, references = subjects[-rounds:], references[-rounds:]
        factor = UNITS[unit] / per
        value = statistics.median(subjects) * factor
        info: dict[str, Any] = {"table": table, "row": row, "column": column, "unit": unit}
        info["value"] = value
        info["best"] = min(subjects) * factor
        measured = value
        if reference is not None:
            share = per / (reference_per or per)
            quotients = [r * share / s for r, s in zip(references, subjects, strict=True)]
            if quotient == "this / alone":
                quotients = [1 / q for q in quotients]
            info["quotient"] = quotient
            info["ratio"] = measured = statistics.median(quotients)
            info["reference"] = statistics.median(references) * share * factor
        if claim is not None:
            if claim.unit != "x":
                measured = value
            info["claim"] = claim.decided(measured)
        self.benchmark.extra_info["rows"] = [info]

    def program(self, table: str, run: Callable[[], list[dict[str, Any]]]) -> None:
        """Run once something that measures by itself and gives its rows: row, column, unit,
        value, and claim where there is one."""
        self.benchmark.group = table
        rows = self.benchmark.pedantic(run, rounds=1, iterations=1)
        self.benchmark.extra_info["rows"] = [{"table": table, **row} for row in rows]


def require(module: str) -> Any:
    """The peer's module, or a skip that says what is missing."""
    missing = f"{module} is not installed here"
    return pytest.importorskip(module, reason=missing, exc_type=ImportError)
