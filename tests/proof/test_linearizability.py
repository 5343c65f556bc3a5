"""The checker: histories whose verdict is known, and a slow twin that tries every order."""

from __future__ import annotations

import itertools

import models
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from linearizability import ILLEGAL, NEVER, Model, Operation, linearization
from models import BUSY, CLOSED, EMPTY, FULL, OK, TOLD


def op(worker: int, kind: str, result: int, began: float, ended: float, *args: int) -> Operation:
    return Operation(worker, kind, (*args, 0, 0)[:2], result, began, ended)


def every_order(history: list[Operation], model: Model) -> bool:
    """The definition, word by word: some order of the completed operations and of some pending
    ones that keeps who came before whom, and is legal."""
    done = [op for op in history if not op.pending]
    pending = [op for op in history if op.pending]
    for many in range(len(pending) + 1):
        for took_effect in itertools.combinations(pending, many):
            for order in itertools.permutations([*done, *took_effect]):
                if _in_time(order) and _legal(order, model):
                    return True
    return False


def _in_time(order: tuple[Operation, ...]) -> bool:
    return not any(b.ended < a.began for a, b in itertools.combinations(order, 2))


def _legal(order: tuple[Operation, ...], model: Model) -> bool:
    state = model.start
    for one in order:
        state = model.step(state, one)
        if state is ILLEGAL:
            return False
    return True


KNOWN = {
    "empty": (models.word, [], True),
    "one after the other": (
        models.word,
        [op(0, "store", 0, 0, 1, 5), op(1, "load", 5, 2, 3)],
        True,
    ),
    "a stale load": (models.word, [op(0, "store", 0, 0, 1, 5), op(1, "load", 0, 2, 3)], False),
    "a load beside the store sees either": (
        models.word,
        [op(0, "store", 0, 0, 9, 5), op(1, "load", 0, 1, 2), op(1, "load", 5, 3, 4)],
        True,
    ),
    "but not the new one before the old": (
        models.word,
        [op(0, "store", 0, 0, 9, 5), op(1, "load", 5, 1, 2), op(1, "load", 0, 3, 4)],
        False,
    ),
    "touching intervals overlap": (
        models.word,
        [op(0, "store", 0, 0, 1, 5), op(1, "load", 0, 1, 2)],
        True,
    ),
    "a lost update": (
        models.word,
        [op(0, "fetch_add", 0, 0, 3, 1), op(1, "fetch_add", 0, 1, 2, 1)],
        False,
    ),
    "a pending add took effect": (
        models.word,
        [op(0, "fetch_add", 0, 0, NEVER, 1), op(1, "load", 0, 1, 2), op(1, "load", 1, 3, 4)],
        True,
    ),
    "a pending add took effect once": (
        models.word,
        [op(0, "fetch_add", 0, 0, NEVER, 1), op(1, "load", 2, 1, 2)],
        False,
    ),
    "nothing takes effect before its call": (
        models.word,
        [op(0, "fetch_add", 0, 5, NEVER, 1), op(1, "load", 1, 1, 2)],
        False,
    ),
    "a swap that failed": (
        models.word,
        [
            op(0, "store", 0, 0, 1, 3),
            op(0, "compare_exchange", 3, 2, 3, 4, 9),
            op(0, "load", 3, 4, 5),
        ],
        True,
    ),
    "two that set one flag": (
        models.flag,
        [op(0, "set_if", 1, 0, 3, 1), op(1, "set_if", 1, 1, 2, 1)],
        False,
    ),
    "two owners": (models.lock, [op(0, "acquire", OK, 0, 3), op(1, "acquire", OK, 1, 2)], False),
    "handed over": (
        models.lock,
        [op(0, "acquire", OK, 0, 1), op(1, "acquire", OK, 0, 9), op(0, "release", 0, 5, 6)],
        True,
    ),
    "busy without an owner": (models.lock, [op(0, "try", BUSY, 0, 1)], False),
    "taken from the dead": (
        models.lock,
        [op(0, "acquire", OK, 0, 1), op(0, "die", 0, 2, 3), op(1, "acquire", TOLD, 2, 5)],
        True,
    ),
    "taken from the living": (
        models.lock,
        [op(0, "acquire", OK, 0, 1), op(1, "acquire", TOLD, 2, 3), op(0, "die", 0, 4, 5)],
        False,
    ),
    "not told of a death": (
        models.lock,
        [op(0, "acquire", OK, 0, 1), op(0, "die", 0, 2, 3), op(1, "acquire", OK, 2, 5)],
        False,
    ),
    "killed in the release": (
        models.lock,
        [
            op(0, "acquire", OK, 0, 1),
            op(0, "release", 0, 2, NEVER),
            op(0, "die", 0, 2, 3),
            op(1, "acquire", OK, 4, 5),
        ],
        True,
    ),
    "the dead do nothing": (
        models.lock,
        [op(0, "acquire", OK, 0, NEVER), op(0, "die", 0, 0, 1), op(1, "try", BUSY, 4, 5)],
        True,  # taken before the death, and held by the dead
    ),
    "first in, first out": (
        models.bounded_queue(4),
        [
            op(0, "put", OK, 0, 1, 7),
            op(0, "put", OK, 2, 3, 8),
            op(1, "take", 8, 4, 5),
            op(1, "take", 7, 6, 7),
        ],
        False,
    ),
    "given twice": (
        models.bounded_queue(4),
        [op(0, "put", OK, 0, 1, 7), op(1, "take", 7, 2, 5), op(2, "take", 7, 2, 5)],
        False,
    ),
    "put into a full queue": (
        models.bounded_queue(1),
        [op(0, "put", OK, 0, 1, 7), op(0, "put", OK, 2, 3, 8), op(1, "take", 7, 4, 5)],
        False,
    ),
    "full, and given up": (
        models.bounded_queue(1),
        [op(0, "put", OK, 0, 1, 7), op(1, "put", FULL, 2, 5, 8), op(0, "take", 7, 4, 6)],
        True,
    ),
    "full, though there was room": (
        models.bounded_queue(2),
        [op(0, "put", OK, 0, 1, 7), op(1, "put", FULL, 2, 5, 8)],
        False,
    ),
    "empty, though there was an item": (
        models.bounded_queue(1),
        [op(0, "put", OK, 0, 1, 7), op(1, "take", EMPTY, 2, 5)],
        False,
    ),
    "closed, then empty": (
        models.bounded_queue(1),
        [
            op(0, "put", OK, 0, 1, 7),
            op(0, "close", 0, 2, 3),
            op(0, "put", BUSY, 4, 5, 8),
            op(1, "take", 7, 4, 5),
            op(1, "take", CLOSED, 6, 7),
        ],
        True,
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known(name: str) -> None:
    model, history, verdict = KNOWN[name]
    assert every_order(history, model) is verdict
    assert (linearization(history, model) is not None) is verdict


def test_the_order_that_is_found_is_one() -> None:
    for name, (model, history, verdict) in KNOWN.items():
        if verdict:
            order = linearization(history, model)
            assert order is not None, name
            assert _in_time(tuple(order)), name
            assert _legal(tuple(order), model), name
            assert {id(one) for one in history if not one.pending} <= {id(one) for one in order}


small = st.integers(0, 2)
QUEUE = ["put", "take", "close"]
MODELS = {
    "word": (models.word, ["load", "store", "exchange", "fetch_add", "compare_exchange"]),
    "flag": (models.flag, ["load", "store", "test_and_set", "set_if"]),
    "lock": (models.lock, ["acquire", "try", "release", "die"]),
    "queue": (models.bounded_queue(2), QUEUE),
}


@st.composite
def histories(draw: st.DrawFn, kinds: list[str]) -> list[Operation]:
    history = []
    for _ in range(draw(st.integers(0, 5))):
        began = draw(st.integers(0, 8))
        ended = NEVER if draw(st.integers(0, 5)) == 0 else began + draw(st.integers(0, 4))
        kind = draw(st.sampled_from(kinds))
        result = draw(small | st.sampled_from([CLOSED, EMPTY, FULL]) if kind in QUEUE else small)
        history.append(op(draw(small), kind, result, began, ended, draw(small), draw(small)))
    return history


@pytest.mark.parametrize("name", MODELS)
def test_as_the_slow_twin(name: str) -> None:
    model, kinds = MODELS[name]

    @settings(max_examples=100, deadline=None, derandomize=True, database=None)
    @given(histories(kinds))
    def check(history: list[Operation]) -> None:
        assert (linearization(history, model) is not None) == every_order(history, model)

    check()
