"""Each test has the default workspace to itself, empty."""

from collections.abc import Iterator

import pytest

from caffe2op import workspace


@pytest.fixture(autouse=True)
def fresh_workspace() -> Iterator[None]:
    workspace.SwitchWorkspace("default")
    workspace.ResetWorkspace()
    yield
    workspace.SwitchWorkspace("default")
    workspace.ResetWorkspace()
