"""Locks: `with lock: pass` by one thread, by two, and by two processes; acquire() and release().

By one thread it is the Python loop of bench_scalar.py. multiprocessing.Lock's `with` goes through
two Python functions, its acquire() and release() do not: hence both forms. By two, each does half
of the passes at the same time, and the figure is the time until both are done over all passes: what
a pass costs the program, not one caller. The children of the process row are forked before the
first round and wait on a pipe between rounds. csrc/tests/bench_mutex.c measures the lock in C.
"""

from __future__ import annotations

import mmap
import multiprocessing
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from caffe2op.atomics import Mutex
from paired import Bench, Claim, Code, loop, require

PASSES = 20_000
fork = multiprocessing.get_context("fork")
Lock = AbstractContextManager[object, object]


@dataclass(frozen=True)
class Kind:
    name: str
    make: Callable[[], Lock]
    crosses_processes: bool


OURS = Kind("caffe2op Mutex", lambda: Mutex(memoryview(mmap.mmap(-1, mmap.PAGESIZE))[:8]), True)
PEERS = (
    Kind("multiprocessing.Lock", lambda: fork.Lock(), True),
    Kind("threading.Lock", lambda: threading.Lock(), False),
    Kind("fastrlock", lambda: require("fastrlock.rlock").FastRLock(), False),
)
BETWEEN_PROCESSES = tuple(kind for kind in (OURS, *PEERS) if kind.crosses_processes)
TABLE = "Locks, ns per pass, Python loop included"
FORMS = {"with": "with lock: pass", "acquire(), release()": "lock.acquire(); lock.release()"}


def alone(lock: Lock, n: int, form: str = "with") -> Code:
    return loop(FORMS[form], {"lock": lock}, n)


def two_threads(lock: Lock, n: int) -> Code:
    half = alone(lock, n // 2)

    def run() -> None:
        other = threading.Thread(target=half)
        other.start()
        half()
        other.join()

    return run


@contextmanager
def two_processes(lock: Lock, n: int) -> Iterator[Code]:
    """Code that has two children do half of the passes each, and waits for both."""
    half = alone(lock, n // 2)
    pipes = [fork.Pipe() for _ in range(2)]

    def child(mine: int) -> None:
        _, end = pipes[mine]
        while end.recv():
            half()
            end.send(True)

    children = [fork.Process(target=child, args=(k,), daemon=True) for k in range(2)]
    for process in children:
        process.start()

    def tell(go: bool) -> None:
        for end, _ in pipes:
            end.send(go)

    def run() -> None:
        tell(True)
        for end, _ in pipes:
            end.recv()

    try:
        yield run
    finally:
        tell(False)
        for process in children:
            process.join()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", [OURS, *PEERS], ids=lambda kind: kind.name)
def test_alone(bench: Bench, kind: Kind, form: str) -> None:
    n = bench.size(PASSES, least=100)
    claimed = kind.name == "multiprocessing.Lock"
    bench.row(
        TABLE,
        kind.name,
        form,
        alone(kind.make(), n, form),
        per=n,
        reference=None if kind is OURS else alone(OURS.make(), n, form),
        claim=Claim(f"Mutex / multiprocessing.Lock, {form}", 1.0) if claimed else None,
        rounds=bench.rounds * 2,
    )


@pytest.mark.parametrize("kind", [OURS, *PEERS], ids=lambda kind: kind.name)
def test_two_threads(bench: Bench, kind: Kind) -> None:
    n = bench.size(PASSES * 4, least=100)
    bench.row(
        TABLE,
        kind.name,
        "with, 2 threads",
        two_threads(kind.make(), n),
        per=n,
        reference=None if kind is OURS else two_threads(OURS.make(), n),
        rounds=max(3, bench.rounds // 4),
    )


@pytest.mark.parametrize("kind", BETWEEN_PROCESSES, ids=lambda kind: kind.name)
def test_two_processes(bench: Bench, kind: Kind) -> None:
    n = bench.size(PASSES * 4, least=100)
    with two_processes(kind.make(), n) as subject, two_processes(OURS.make(), n) as ours:
        bench.row(
            TABLE,
            kind.name,
            "with, 2 processes",
            subject,
            per=n,
            reference=None if kind is OURS else ours,
            rounds=max(3, bench.rounds // 4),
        )


def in_c() -> list[dict[str, Any]]:
    """The rows of csrc/tests/bench_mutex.c: a name and a figure for each column, 0.0 for none."""
    csrc = Path(__file__).resolve().parents[1] / "csrc"
    done = subprocess.run(
        ["make", "-s", "-C", str(csrc), "bench", "BENCHES=bench_mutex"],
        capture_output=True,
        text=True,
        check=True,
    )
    rows: list[dict[str, Any]] = []
    found: dict[str, float] = {}
    lines = iter(done.stdout.splitlines())
    for line in lines:
        if line.startswith("ns per lock + unlock"):
            break
    for line in lines:
        name, *figures = re.split(r"\s{2,}", line.strip())
        if len(figures) != 3:
            break
        found[name] = float(figures[0])
        for column, value in zip(("alone", "2 threads", "2 processes"), figures, strict=True):
            if float(value) > 0:
                rows.append({"row": name, "column": column, "unit": "ns", "value": float(value)})
    claim = Claim("Mutex in C / pthread's shared robust mutex", 1.2)
    ratio = found["caffe2op, called"] / found["pthread shared robust"]
    ours = next(row for row in rows if (row["row"], row["column"]) == ("caffe2op, called", "alone"))
    ours["claim"] = claim.decided(ratio)
    return rows


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed here")
def test_in_c(bench: Bench) -> None:
    bench.program("Locks in C, ns per lock + unlock", in_c)
