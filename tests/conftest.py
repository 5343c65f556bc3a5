"""Ctrl-C is there for every test: a shell without job control starts what it runs in the background
with SIGINT ignored, and Python then leaves it so."""

from __future__ import annotations

import signal

import pytest


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c() -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
