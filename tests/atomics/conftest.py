import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from caffe2op.atomics import segment


@pytest.fixture
def stampede() -> Iterator[Callable[..., None]]:
    """Runs a body in many threads that start at the same moment and are switched very often;
    an exception in one of them fails the test."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)

    def run(body: Callable[[], None], threads: int) -> None:
        errors: list[BaseException] = []
        gate = threading.Barrier(threads)

        def guarded() -> None:
            try:
                gate.wait()
                body()
            except BaseException as error:
                errors.append(error)

        workers = [threading.Thread(target=guarded) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert not errors

    yield run
    sys.setswitchinterval(interval)


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Segments of the test that uses this are in a directory of their own."""
    monkeypatch.setattr(segment, "directory", lambda: tmp_path)
    return tmp_path
