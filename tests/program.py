"""Programs that run in an interpreter of their own: for signals, forks, exits, and what a process
has to itself."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap


def run(body: str, timeout: float = 60.0, head: str = "") -> subprocess.CompletedProcess[str]:
    """Run `head`, then `body`, which may be indented. NumPy's own BLAS starts no threads in it."""
    return subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(body)],
        text=True,
        capture_output=True,
        timeout=timeout,
        check=False,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )


def check(body: str, timeout: float = 60.0, head: str = "") -> str:
    """What a program printed that ended well and complained of nothing."""
    done = run(body, timeout, head)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr
    return done.stdout
