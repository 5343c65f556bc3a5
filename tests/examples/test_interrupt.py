"""Ctrl-C ends an example with one line and status 130."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from caffe2op.examples.interrupt import interruptible


def test_what_main_returns_is_returned(capsys: pytest.CaptureFixture[str]) -> None:
    assert interruptible(lambda: 3) == 3
    assert capsys.readouterr().err == ""


def test_a_program_that_is_interrupted() -> None:
    """A real signal, and nothing but the one line: no traceback."""
    code = (
        "import sys, threading\n"
        "from caffe2op.examples.interrupt import interruptible\n"
        "def main():\n"
        "    print('ready', flush=True)\n"
        "    threading.Event().wait()\n"
        "sys.exit(interruptible(main))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        os.kill(program.pid, signal.SIGINT)
        _, errors = program.communicate(timeout=30)
        assert (program.returncode, errors) == (130, "interrupted\n")
