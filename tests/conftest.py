"""Each test has the default workspace to itself, empty; the names of nets that it would have as the
only one; and Ctrl-C, which a shell without job control has ignored by what it starts in the
background.

`pytest --parallel-threads 3` (pytest-run-parallel) calls each test on three threads at once. Left
to one thread are those that work in this workspace by the names of its blobs, as all of the folders
of ALONE do, or that start processes, measure time or read the whole process; single tests of other
folders are marked `thread_unsafe` where they stand. So are properties, where CPython cannot parse
on two threads: Hypothesis parses what it tests, and until 3.11.8 and 3.12.2 `ast.parse` counts its
depth in one place for all threads, and now and then ends in a SystemError (gh-106905).
"""

import gc
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from caffe2op import workspace
from caffe2op.core import net as net_definitions

# A machine that is busy makes an example take longer than Hypothesis allows; and a change is judged
# by the same examples each time: `pytest --hypothesis-profile=others` takes others.
slow = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("same", **slow, derandomize=True, database=None)
settings.register_profile("others", **slow)
settings.load_profile("same")

HERE = Path(__file__).parent
ALONE = {"asyncnet", "operators", "workspace", "examples", "fuzz", "proof"}
PARSES_ALONE = sys.version_info < (3, 11, 8) or (3, 12) <= sys.version_info < (3, 12, 2)


@pytest.hookimpl(tryfirst=True)
def pytest_itemcollected(item: pytest.Item) -> None:
    parts = item.path.relative_to(HERE).parts if HERE in item.path.parents else ()
    alone = len(parts) == 1 or (parts and parts[0] in ALONE)
    if alone or (PARSES_ALONE and is_property(item)):
        item.add_marker(pytest.mark.thread_unsafe)


def is_property(item: pytest.Item) -> bool:
    return getattr(getattr(item, "obj", None), "is_hypothesis_test", False)


@pytest.fixture(autouse=True, scope="session")
def ctrl_c() -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def fresh_workspace() -> Iterator[None]:
    workspace.SwitchWorkspace("default")
    workspace.ResetWorkspace()
    net_definitions._asked.clear()
    yield
    workspace.SwitchWorkspace("default")
    workspace.ResetWorkspace()


@pytest.fixture
def no_collections() -> Iterator[None]:
    """For a test that is sent a signal whose handler raises: Hypothesis has Python called at each
    collection of garbage, and there the exception would be printed as ignored, and lost."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()
