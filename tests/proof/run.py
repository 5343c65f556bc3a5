"""The proof in one command, with a table at the end:

    python tests/proof/run.py                    minutes
    python tests/proof/run.py --long             hours, with a million inputs for the fuzzer
    python tests/proof/run.py --long --only deaths soak --hours 8

What is there, for --only: tests, core, coverage, schedules, fuzz, histories, deaths, soak,
handover. Needs Linux, the installed package with its "test" extra, setuptools, make and gcc. Ends
with status 1 when anything failed. The same checks in their shortest form are ordinary tests of
`pytest`.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import deaths_adds
import deaths_lock
import deaths_rendezvous
import histories
import latency
import numpy as np
from table import Row, render

TREE = Path(__file__).resolve().parents[2]
HERE = TREE / "tests" / "proof"


@dataclass(frozen=True)
class Sizes:
    long: bool
    hours: float | None

    def pick(self, short: int, long: int) -> int:
        return long if self.long else short


class FailedError(Exception):
    """A command ended badly; its output."""


def command(*words: str, **environment: str) -> str:
    done = subprocess.run(
        words,
        cwd=TREE,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise FailedError(f"{' '.join(words)}: status {done.returncode}\n{done.stdout[-20_000:]}")
    return done.stdout


# ---- what is checked ------------------------------------------------------------------------


def tests(sizes: Sizes) -> Iterator[Row]:
    """The test-suite, this folder's short forms and the forged owners among it."""
    report = command(
        sys.executable, "-m", "pytest", "tests", "--ignore=tests/fuzz", "-o", "addopts=",
        "--strict-markers", "-p", "no:cacheprovider", "--benchmark-skip",
    )  # fmt: skip
    count = re.search(r"(\d+) passed", report)
    yield Row("the test-suite", f"{int(count[1]) if count else 0:,} tests")


def core(sizes: Sizes) -> Iterator[Row]:
    """The C core's own tests, as it is and under the sanitizers."""
    for options in [[], ["SAN=thread"], ["SAN=address,undefined"], ["PLATFORM=portable"]]:
        out = command("make", "-s", "-C", "csrc", "check", *options)
        total = re.findall(r"^(\d+) passed, 0 failed$", out, re.M)
        yield Row(f"the C core {' '.join(options)}".strip(), f"{total[-1]} tests")


def coverage(sizes: Sizes) -> Iterator[Row]:
    """What the tests reach of the core; each line that they do not has its reason."""
    out = command("make", "-s", "-C", "csrc", "coverage", f"PYTHON={sys.executable}")
    found = re.search(r"^all +(\d+) +([\d.]+%) +(\d+) +([\d.]+%)", out, re.M)
    lines, run, branches, taken = found.groups() if found else ("0", "?", "0", "?")
    yield Row(
        "what the tests reach of the core",
        f"{run} of {int(lines):,} lines",
        notes=[f"{taken} of {int(branches):,} branches; the rest: csrc/tests/COVERAGE.md"],
    )


def schedules(sizes: Sizes) -> Iterator[Row]:
    """The model checker: every schedule of the protocols, within bounds; planted bugs are found."""
    out = command("make", "-s", "-C", "csrc", "prove", *([] if sizes.long else ["SHORT=1"]))
    explored = re.findall(r"^\S.*? (\d+) +(\d+) +[\d.]+ s  \S.*$", out, re.M)
    count = sum(int(schedules) for schedules, _ in explored)
    yield Row("schedules of the core", f"{count:,} schedules, {len(explored)} programs")
    for found in re.findall(r"^planted bugs: (\d+) found, 0 not$", out, re.M):
        yield Row("the model checker finds planted bugs", f"{found} bugs", "found")


def fuzz(sizes: Sizes) -> Iterator[Row]:
    """Hostile inputs."""
    inputs = sizes.pick(10_000, 1_000_000)
    command(sys.executable, "-m", "pytest", "tests/fuzz", "-q", CAFFE2OP_FUZZ_INPUTS=str(inputs))
    yield Row("an exception or a right result", f"{inputs:,} hostile inputs")


def deaths(sizes: Sizes) -> Iterator[Row]:
    """Processes killed with SIGKILL at random moments."""
    scene = deaths_lock.kill(sizes.pick(300, 4500))
    scene.check_times()
    took = np.percentile(scene.take_over, [50, 99, 100]) * 1e3
    where = ", ".join(f"{many:,} {doing}" for doing, many in scene.doing_when_killed.most_common())
    yield Row(
        "killed around a mutex",
        f"{scene.deaths:,} kills, {int(scene.words[deaths_lock.TOLD]):,} told",
        "nothing lost",
        [
            f"killed while {where}",
            f"from the kill of an owner to its heir: p50 {took[0]:.1f} ms, p99 {took[1]:.1f} ms, "
            f"longest {took[2]:.1f} ms",
        ],
    )
    for what, kill, times in (
        ("killed inside bulk adds", deaths_adds.add, sizes.pick(100, 2000)),
        ("killed inside training", deaths_adds.train, sizes.pick(100, 2000)),
        ("killed at a rendezvous", deaths_rendezvous.kill, sizes.pick(100, 2000)),
    ):
        kill(times)
        yield Row(what, f"{times:,} kills", "nothing lost")
    owners = deaths_lock.stop(sizes.pick(5, 150), seconds=0.12)
    yield Row("stopped owners", f"{owners:,} stops", "not robbed")


def soak(sizes: Sizes) -> Iterator[Row]:
    """Everything at once, for a time."""
    seconds = 3600 * sizes.hours if sizes.hours else sizes.pick(10, 300)
    increments = sizes.pick(10**8, 10**9)
    out = command(
        sys.executable,
        str(HERE / "soak.py"),
        f"--seconds={seconds}",
        f"--increments={increments}",
    )
    counted, *usage = out.splitlines()
    yield Row("soak: every increment, no growth", counted, "holds", usage)


def handover(sizes: Sizes) -> Iterator[Row]:
    """From one owner of a mutex to the next."""
    found = [
        latency.measure(kind, workers, 2.0)
        for kind in ("threads", "processes")
        for workers in (2, 4, 8, 16, 32, 64)
    ]
    least = min(one.least_share for one in found)
    yield Row(
        "hand-over of a mutex, 2 to 64 workers",
        f"{sum(one.hand_overs for one in found):,} hand-overs",
        "nobody starves" if least >= latency.SHARE else "FAILED",
        [latency.HEAD, *map(str, found)],
    )


def linearizable(sizes: Sizes) -> Iterator[Row]:
    yield from histories.rows(sizes.pick(3, 40), 200)


PARTS: dict[str, Callable[[Sizes], Iterator[Row]]] = {
    "tests": tests,
    "core": core,
    "coverage": coverage,
    "schedules": schedules,
    "fuzz": fuzz,
    "histories": linearizable,
    "deaths": deaths,
    "soak": soak,
    "handover": handover,
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--long", action="store_true", help="the long form")
    parser.add_argument("--hours", type=float, help="how long the soak lasts")
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", default=list(PARTS))
    given = parser.parse_args()
    sizes = Sizes(given.long, given.hours)
    rows: list[Row] = []
    for part in given.only:
        began = time.monotonic()
        try:
            for row in PARTS[part](sizes):
                row.seconds, began = time.monotonic() - began, time.monotonic()
                rows.append(row)
                print(f"{row.what}: {row.how_many}: {row.verdict}", file=sys.stderr, flush=True)
        except (AssertionError, FailedError) as error:
            rows.append(Row(part, "", "FAILED", [str(error)], time.monotonic() - began))
    processors = len(os.sched_getaffinity(0))
    print(
        f"CPython {platform.python_version()}, {platform.system()} {platform.release()}, "
        f"{platform.machine()}, {processors} processors\n"
    )
    print(render(rows))
    failed = sum(row.failed for row in rows)
    print(f"\n{len(rows) - failed} hold, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
