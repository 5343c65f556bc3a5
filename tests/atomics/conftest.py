"""Threads that meet, and a folder of its own for shared memory."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from caffe2op.atomics import segment
from together import together


@pytest.fixture
def stampede() -> Iterator[Callable[..., None]]:
    """Runs a body in many threads that start at the same moment and are switched very often;
    an exception in one of them fails the test."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)

    def run(body: Callable[[], None], threads: int) -> None:
        together(*[body] * threads)

    yield run
    sys.setswitchinterval(interval)


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Segments of the test that uses this are in a directory of their own."""
    monkeypatch.setattr(segment, "directory", lambda: tmp_path)
    return tmp_path
