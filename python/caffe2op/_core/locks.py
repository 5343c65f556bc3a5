"""Locks of the Python side that a forked child finds free.

A lock that another thread holds at the moment of a fork would stay locked in the child for ever,
since that thread is not there. Here the forking thread takes the lock for the fork itself, so
what it guards is whole on both sides.
"""

from __future__ import annotations

import os
import threading
from contextlib import AbstractContextManager


def lock() -> AbstractContextManager[bool]:
    """A new reentrant lock, for a module to keep for ever (it is never unregistered). Held only
    for moments: a fork waits for it."""
    made = threading.RLock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=made.acquire, after_in_parent=made.release, after_in_child=made.release
        )
    return made
