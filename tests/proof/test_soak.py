"""The soak for some seconds, in a process of its own; and that it would see what grows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("reads /proc", allow_module_level=True)

import soak

SCRIPT = Path(soak.__file__)


def test_everything_at_once_and_nothing_grows() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--seconds", "4", "--increments", "2e7"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    counted = re.match(r"([\d,]+) increments in (\d+) rounds", done.stdout)
    assert counted, done.stdout
    assert int(counted[1].replace(",", "")) >= 2e7
    assert int(counted[2]) >= 9


@pytest.mark.parametrize(
    ("what", "leak"),
    [
        ("files", "import os; kept = []; leak = lambda turn: kept.append(os.dup(0)) or 0"),
        ("segments", "from caffe2op.atomics import SharedArray; kept = []\n"
         "leak = lambda turn: kept.append(SharedArray.create(1, 'i8')) or 0"),
        ("threads", "import _thread, time\n"  # threading's would be objects before all
         "def leak(turn):\n"
         "    for _ in range(5):\n"
         "        _thread.start_new_thread(time.sleep, (99,))\n"
         "    return 0"),
        ("memory", "import numpy as np; kept = []\n"
         "leak = lambda turn: kept.append(np.ones(1 << 18)) or 0"),
        ("objects", "kept = []\n"
         "leak = lambda turn: kept.extend([object() for _ in range(500)]) or 0"),
    ],
)  # fmt: skip
def test_a_leak_is_seen(what: str, leak: str) -> None:
    script = f"""
import os, sys
sys.path.insert(0, {str(SCRIPT.parent)!r})
import soak
{leak}
soak.JOBS = [leak]
try:
    soak.soak(0.1, 0)
except AssertionError as grown:
    print(grown, flush=True)
    kept = None
    os._exit(0)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"{what}:"), done
