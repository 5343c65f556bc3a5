"""What cannot travel to another process says so, and what to send in its place."""

from __future__ import annotations


def not_pickled(what: object, instead: str) -> TypeError:
    """For a class's __reduce__ to raise: it serves pickle and copy alike."""
    return TypeError(
        f"{type(what).__name__} cannot be pickled or copied: it belongs to this process; {instead}"
    )
