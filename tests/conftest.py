"""Which tests may run on several threads at the same time.

`pytest --parallel-threads 3` (pytest-run-parallel) calls each test on three threads at once. Left
to one thread are those that work in one workspace by the names of its blobs, as all of the folders
below do, or that start processes, measure time or read the whole process; single tests of other
folders are marked `thread_unsafe` where they stand.
"""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent
ALONE = {"operators", "workspace", "examples", "fuzz", "proof"}


@pytest.hookimpl(tryfirst=True)
def pytest_itemcollected(item: pytest.Item) -> None:
    parts = item.path.relative_to(HERE).parts if HERE in item.path.parents else ()
    if len(parts) == 1 or (parts and parts[0] in ALONE):
        item.add_marker(pytest.mark.thread_unsafe)
