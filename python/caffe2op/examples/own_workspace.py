"""A workspace for the time of one job, so that no blob of the caller is touched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from caffe2op import workspace


@contextmanager
def own_workspace(name: str) -> Iterator[None]:
    """Inside, `name` is the current workspace of the process, empty at first; afterwards it is
    empty again, and the one before is the current one."""
    before = workspace.CurrentWorkspace()
    workspace.SwitchWorkspace(name, create_if_missing=True)
    workspace.ResetWorkspace()
    try:
        yield
    finally:
        workspace.ResetWorkspace()
        workspace.SwitchWorkspace(before)
