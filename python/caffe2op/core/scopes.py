"""Scopes: the prefix that names get, and the device that operators get, inside a `with`.

A scope belongs to the thread that opened it. Nested name scopes join with "/"; the innermost
device scope wins.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from caffe2op.core.defs import DeviceOption

SEPARATOR = "/"


class _Scopes(threading.local):
    def __init__(self) -> None:
        self.name = ""
        self.device: DeviceOption | None = None


_scopes = _Scopes()


def CurrentNameScope() -> str:
    """The prefix of this thread: "" or "outer/inner/"."""
    return _scopes.name


def CurrentDeviceScope() -> DeviceOption | None:
    """The device of this thread's innermost DeviceScope, or None."""
    return _scopes.device


@contextmanager
def NameScope(prefix: str, reset: bool = False) -> Iterator[str]:
    """Names given inside get `prefix` and "/" before them; `reset` forgets the outer scopes."""
    if not isinstance(prefix, str):
        raise TypeError(f"prefix must be a string, got {prefix!r}")
    outer = _scopes.name
    prefix = prefix + SEPARATOR if prefix else ""
    _scopes.name = prefix if reset else outer + prefix
    try:
        yield _scopes.name
    finally:
        _scopes.name = outer


@contextmanager
def DeviceScope(scope: DeviceOption) -> Iterator[DeviceOption]:
    """Operators created inside get this device unless they name one themselves."""
    if not isinstance(scope, DeviceOption):
        raise TypeError(f"scope must be a core.DeviceOption, got {scope!r}")
    outer = _scopes.device
    _scopes.device = scope
    try:
        yield scope
    finally:
        _scopes.device = outer
