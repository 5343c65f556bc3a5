"""Objects that live, to be found again at a fork or at the interpreter's exit.

A weakref.WeakSet calls a Python function when one of its objects goes, at whatever moment of the
program that is: what a signal's handler raises in there, KeyboardInterrupt for one, is printed as
ignored, and lost. Here nothing runs when an object goes: its place is given up when others come.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Generic, TypeVar

from caffe2op._core import locks

T = TypeVar("T")

FEW = 32  # places that are not worth a look


class Living(Generic[T]):
    """Objects as long as somebody else has them. From any thread; adding one takes constant time
    in the mean."""

    def __init__(self) -> None:
        self._lock = locks.lock()
        self._places: list[weakref.ref[T]] = []
        self._enough = FEW

    def add(self, one: T) -> None:
        """Find it from now on, while it lives."""
        with self._lock:
            if len(self._places) >= self._enough:
                self._places = [place for place in self._places if place() is not None]
                self._enough = max(FEW, 2 * len(self._places))
            self._places.append(weakref.ref(one))

    def __iter__(self) -> Iterator[T]:
        """Those that live now; others may come and go meanwhile."""
        for place in list(self._places):
            one = place()
            if one is not None:
                yield one
