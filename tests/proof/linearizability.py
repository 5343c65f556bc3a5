"""Is a recorded history linearizable? Each operation has an interval, from its call to its return,
and the history is linearizable when every operation can be given one moment within its interval
such that all of them, one after the other in the order of these moments, are a legal history of
one object used by one thread (Herlihy and Wing, "Linearizability: a correctness condition for
concurrent objects", TOPLAS 1990).

The search is that of Wing and Gong, "Testing and verifying concurrent objects" (JPDC 1993): take
an operation that no other one has to precede, go on with what is left, go back when nothing fits;
with the memory of Lowe, "Testing for linearizability" (CCPE 2017): the same operations taken in
another order to the same state need not be tried again. Linearizability is local (Herlihy and
Wing, theorem 1): a history of several objects is checked object by object.

An operation whose process was killed is *pending*: it has a call, no return and no result. It may
have taken effect at any moment after its call, or never. That is all that is allowed to be lost.

The cost is exponential in how many operations overlap, not in the length. Not a proof that an
implementation is right: it decides the histories that it is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

NEVER = math.inf
ILLEGAL = object()
"""What a model's step returns where the operation cannot happen in that state."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One call: who made it, what, and when it began and ended, in one clock's nanoseconds."""

    worker: int
    kind: str
    args: tuple[int, ...]
    result: Any  # meaningless where pending
    began: float
    ended: float = NEVER

    @property
    def pending(self) -> bool:
        return self.ended == NEVER


Step = Callable[[Any, Operation], Any]
"""(state, operation) -> the state after it, or ILLEGAL. States are hashable. Of a pending operation
the result is not to be looked at."""


@dataclass(frozen=True, slots=True)
class Model:
    start: Hashable
    step: Step


def linearization(history: Sequence[Operation], model: Model) -> list[Operation] | None:
    """An order of the operations that explains all results, pending ones in it where they must have
    taken effect; None when there is none."""
    events = _Events(history)
    unexplained = sum(not op.pending for op in history)
    state: Any = model.start
    taken = 0  # the operations that have their moment, a bit for each
    order: list[tuple[int, Any]] = []  # they, and the state before each, to go back to
    tried: set[tuple[int, Any]] = set()
    event = events.first()
    while unexplained:
        op = events.called(event)
        if op is not None:
            after = model.step(state, history[op])
            key = (taken | 1 << op, after)
            if after is ILLEGAL or key in tried:
                event = events.after[event]
                continue
            tried.add(key)
            order.append((op, state))
            state, taken = after, key[0]
            unexplained -= not history[op].pending
            events.take_out(op)
            event = events.first()
        elif order:  # a return, and its operation found no moment: another order
            op, state = order.pop()
            taken ^= 1 << op
            unexplained += not history[op].pending
            events.put_back(op)
            event = events.after[events.call[op]]
        else:
            return None
    return [history[op] for op, _ in order]


class _Events:
    """Calls and returns in the order of time, in a list from which operations are taken out and
    put back, the last one first. Position 0 is before all, the last position behind all."""

    def __init__(self, history: Sequence[Operation]) -> None:
        # At one moment calls come before returns: such operations overlap.
        times = [(op.began, 0, k) for k, op in enumerate(history)]
        times += [(op.ended, 1, k) for k, op in enumerate(history) if not op.pending]
        times.sort()
        self.after = list(range(1, len(times) + 3))
        self._before = list(range(-1, len(times) + 1))
        self._called: list[int | None] = [None] * (len(times) + 2)
        self.call = [0] * len(history)
        self._return: list[int | None] = [None] * len(history)
        for at, (_, is_return, op) in enumerate(times, 1):
            if is_return:
                self._return[op] = at
            else:
                self.call[op] = at
                self._called[at] = op

    def first(self) -> int:
        return self.after[0]

    def called(self, event: int) -> int | None:
        """The operation whose call the event is; None for a return and for the end."""
        return self._called[event]

    def take_out(self, op: int) -> None:
        for event in (self.call[op], self._return[op]):
            if event is not None:
                self.after[self._before[event]] = self.after[event]
                self._before[self.after[event]] = self._before[event]

    def put_back(self, op: int) -> None:
        for event in (self._return[op], self.call[op]):
            if event is not None:
                self.after[self._before[event]] = event
                self._before[self.after[event]] = event
