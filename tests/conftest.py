"""Each test has the default workspace to itself, empty; and Ctrl-C, which a shell without job
control has ignored by what it starts in the background."""

import signal
from collections.abc import Iterator

import pytest

from caffe2op import workspace


@pytest.fixture(autouse=True, scope="session")
def ctrl_c() -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def fresh_workspace() -> Iterator[None]:
    workspace.SwitchWorkspace("default")
    workspace.ResetWorkspace()
    yield
    workspace.SwitchWorkspace("default")
    workspace.ResetWorkspace()
