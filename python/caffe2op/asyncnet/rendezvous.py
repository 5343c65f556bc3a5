"""Rendezvous: what runs at the same time waits for each other.

For nets, steps of a plan, threads, and processes that share the memory: all of them count on one
64-bit word, whose bits csrc/kernels_rendezvous.c explains.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe2op.asyncnet.deadline import check_timeout, remaining
from caffe2op.atomics import AtomicArray
from caffe2op.core.names import BlobLike, BlobReference
from caffe2op.core.net import Net
from caffe2op.workspace.workspaces import current

_ARRIVED = 2**32 - 1


class Rendezvous:
    """A meeting point of `parties`, to be used again and again.

        meeting = Rendezvous(2)
        meeting.wait(timeout=1.0)                 # a thread
        meeting.add_to(net, "meet", ["x"])        # an operator that the net gets

    `buffer`: one int64 of the caller's memory, zero at first, where processes are to meet.
    """

    def __init__(self, parties: int, buffer: Any = None) -> None:
        if isinstance(parties, bool) or not isinstance(parties, int) or not 0 < parties < 2**31:
            raise ValueError(f"parties must be an int of 1 or more, got {parties!r}")
        self.parties = parties
        self._array = AtomicArray(np.zeros(1, np.int64) if buffer is None else buffer, np.int64)
        self._word = self._array.cell(0)

    @property
    def waiting(self) -> int:
        """How many parties wait now."""
        return int(self._word.load() & _ARRIVED)

    def wait(self, timeout: float | None = None) -> int:
        """Arrive, and wait for the others, without the GIL. Returns in which place this party
        came, the first being 0.

        TimeoutError when they have not come after `timeout` seconds: this arrival is taken back,
        and the others go on waiting. Ctrl-C does the same; where all came at that moment, it is
        raised all the same.
        """
        until = check_timeout(timeout)
        seen = self._word.load()
        while True:
            place = seen & _ARRIVED
            last = place + 1 == self.parties
            after = _next_meeting(seen) if last else seen + 1
            done, seen = self._word.compare_exchange(seen, after)
            if done:
                break
        if last:
            self._word.notify(self.parties)
            return int(place)
        met = seen >> 32
        try:
            while (now := self._word.load()) >> 32 == met:
                left = remaining(until)
                if not self._word.wait(now, left) and left == 0:
                    raise TimeoutError(
                        f"{self!r}: {self.waiting} of {self.parties} parties came "
                        f"in {timeout} seconds"
                    )
        except TimeoutError:
            if self._take_back(met):
                raise
        except BaseException:  # by a signal's handler: not ours to leave out
            self._take_back(met)
            raise
        return int(place)

    def _take_back(self, met: int) -> bool:
        """Undo the arrival; False when all have come meanwhile."""
        seen = self._word.load()
        while seen >> 32 == met:
            done, seen = self._word.compare_exchange(seen, seen - 1)
            if done:
                return True
        return False

    def add_to(
        self,
        net: Net,
        name: str,
        blobs: list[BlobLike] | None = None,
        timeout: float | None = None,
        workspace: str | None = None,
    ) -> BlobReference:
        """Add the operator to a net, its word being blob `name` of the current workspace or the one
        of that name. The operators that wrote `blobs` come before it, those that read them after
        it."""
        check_timeout(timeout)
        home = current.workspace if workspace is None else current.named(workspace)
        home.put(name, lambda blob: blob.share(self._array.array))
        given = list(blobs or ())
        more = {} if timeout is None else {"timeout": float(timeout)}
        net.Rendezvous([BlobReference(name), *given], given, parties=self.parties, **more)
        return BlobReference(name, net)

    def __repr__(self) -> str:
        return f"Rendezvous({self.parties} parties, {self.waiting} waiting)"


def _next_meeting(word: int) -> int:
    """One meeting more, nobody waiting; wraps as int64."""
    after = ((word >> 32) + 1) << 32
    return after - 2**64 if after >= 2**63 else after
