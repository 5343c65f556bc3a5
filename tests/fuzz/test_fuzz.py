"""The fuzzer: about ten thousand hostile inputs by default, as many as CAFFE2OP_FUZZ_INPUTS says.

Each property runs in a process of its own (child.py), so that a crash or a hang is seen for what
it is; several at the same time, as there are processors. CAFFE2OP_FUZZ_SEED begins elsewhere. A
failure prints the command that repeats it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

CHILD = Path(__file__).with_name("child.py")
INPUTS = int(os.environ.get("CAFFE2OP_FUZZ_INPUTS", "10000"))
SEED = int(os.environ.get("CAFFE2OP_FUZZ_SEED", "0"))

# In ten thousand inputs: fewer of what takes longer.
SHARES = {
    "elements": 1500,
    "buffers": 1000,
    "bulk": 700,
    "waiting": 1000,
    "mutex": 500,
    "effects": 700,
    "shared_arrays": 500,
    "operators": 1000,
    "tensor_operators": 600,
    "nets": 600,
    "plan_definitions": 200,
    "builders": 500,
    "workspaces": 600,
    "threads": 600,
}

Run = subprocess.CompletedProcess[str]


def run(name: str) -> Run:
    inputs = max(1, INPUTS * SHARES[name] // sum(SHARES.values()))
    return subprocess.run(
        [sys.executable, str(CHILD), name, str(SEED), str(inputs)],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )


@pytest.fixture(scope="module")
def runs() -> Iterator[dict[str, Future[Run]]]:
    """All of them, under way."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        started = {name: pool.submit(run, name) for name in SHARES}
        yield started
        for future in started.values():
            future.cancel()


@pytest.mark.timeout(600 if INPUTS <= 10_000 else 0)  # the first may wait for all
@pytest.mark.parametrize("name", SHARES)
def test_fuzz(name: str, runs: dict[str, Future[Run]]) -> None:
    done = runs[name].result()
    assert done.returncode == 0, f"{' '.join(done.args)}\n{done.stdout[-20_000:]}"
    assert f"{name}: " in done.stdout.splitlines()[-1]


def test_every_property_has_its_share() -> None:
    names = subprocess.run([sys.executable, str(CHILD)], text=True, capture_output=True, check=True)
    assert set(names.stdout.split()) == set(SHARES)
