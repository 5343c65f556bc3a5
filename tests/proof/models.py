"""What each object does when one thread uses it: the sequential meanings that histories are
checked against. Kinds, arguments and results are those of subjects.py; all are ints, so that
they fit in the recorder's shared memory.
"""

from __future__ import annotations

from typing import Any

from linearizability import ILLEGAL, Model, Operation

OK, BUSY, TOLD = 1, 0, 2  # of a lock: taken, not taken, taken from a dead owner
CLOSED, EMPTY, FULL = -1, -2, 3  # of a queue; the last two: when one's patience was at an end


def _legal(op: Operation, result: int, state: Any) -> Any:
    return state if op.pending or op.result == result else ILLEGAL


def _word(value: int, op: Operation) -> Any:
    match op.kind, op.args:
        case "load", _:
            return _legal(op, value, value)
        case "store", (new, _):
            return new
        case "exchange", (new, _):
            return _legal(op, value, new)
        case "fetch_add", (more, _):
            return _legal(op, value, value + more)
        case "compare_exchange", (expected, desired):
            return _legal(op, value, desired if value == expected else value)
    raise AssertionError(op)


word = Model(0, _word)
"""An element of an array; also a counter of the operators: CountUp is fetch_add(1), and so on.
compare_exchange gives what it saw, which says whether it swapped."""


def _flag(is_set: bool, op: Operation) -> Any:
    match op.kind, op.args:
        case "load", _:
            return _legal(op, is_set, is_set)
        case "store", (new, _):
            return bool(new)
        case "test_and_set", _:
            return _legal(op, is_set, True)
        case "set_if", (condition, _):  # whether this very call set it
            return _legal(op, bool(condition) and not is_set, is_set or bool(condition))
    raise AssertionError(op)


flag = Model(False, _flag)


def _lock(state: tuple[int | None, frozenset[int]], op: Operation) -> Any:
    owner, dead = state
    if op.kind == "die":
        return owner, dead | {op.worker}
    if op.worker in dead:
        return ILLEGAL
    if op.kind == "release":
        return (None, dead) if owner == op.worker else ILLEGAL
    # acquire: a try that comes back with nothing has seen an owner, alive or not
    held = op.worker, dead
    if op.pending:
        return held if owner is None or owner in dead else ILLEGAL
    if op.result == OK:
        return held if owner is None else ILLEGAL
    if op.result == TOLD:
        return held if owner in dead else ILLEGAL
    return state if owner is not None and op.kind == "try" else ILLEGAL


lock = Model((None, frozenset()), _lock)
"""State: who holds it, and who is dead. A death is an operation "die" of the one who dies. Workers
are never replaced under the same number."""


def bounded_queue(capacity: int) -> Model:
    def step(state: tuple[bool, tuple[int, ...]], op: Operation) -> Any:
        closed, items = state
        match op.kind, op.args:
            case "close", _:
                return True, items
            case "put", (item, _) if op.pending or op.result == OK:
                put = not closed and len(items) < capacity
                return (closed, (*items, item)) if put else ILLEGAL
            case "put", _ if op.result == FULL:
                return state if not closed and len(items) == capacity else ILLEGAL
            case "put", _:
                return state if closed else ILLEGAL
            case "take", _ if items:
                return _legal(op, items[0], (closed, items[1:]))
            case "take", _:
                return _legal(op, CLOSED if closed else EMPTY, state)
        raise AssertionError(op)

    return Model((False, ()), step)
