"""Nets of Python functions."""

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe2op.asyncnet import AsyncNet
from caffe2op.asyncnet.instance import MODES

EDGES = st.tuples(st.integers(0, 24), st.integers(0, 24)).filter(lambda pair: pair[0] < pair[1])
NAMES = [f"f{k}" for k in range(25)]


def test_results_come_in_the_order_of_the_edges() -> None:
    made = AsyncNet.from_functions(
        {"a": lambda: "a", "b": lambda: "b", "join": lambda *given: "".join(given)},
        [("b", "join"), ("x", "join"), ("a", "join"), ("b", "join")],
    )
    assert made.submit({"x": "x"}).result() == {"join": "bxab"}


def test_functions_may_stand_in_any_order() -> None:
    made = AsyncNet.from_functions(
        {"c": lambda b: b + 1, "b": lambda a: a + 1, "a": lambda: 1},
        [("b", "c"), ("a", "b")],
        outputs=["a", "c"],
    )
    assert made.run() == {"a": 1, "c": 3}


def test_order_without_results() -> None:
    seen: list[str] = []
    made = AsyncNet.from_functions(
        {"late": lambda: seen.append("late"), "early": lambda: seen.append("early")},
        order=[("early", "late")],
        workers=2,
        mode="dynamic",
    )
    for _ in range(20):
        made.run()
    assert seen == ["early", "late"] * 20


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=15, deadline=None)
@given(pairs=st.lists(EDGES, unique=True, max_size=60))
def test_as_called_one_after_the_other(mode: str, pairs: list[tuple[int, int]]) -> None:
    functions = {name: (lambda *given, k=k: (k, *given)) for k, name in enumerate(NAMES)}
    right: dict[str, object] = {}
    for k, name in enumerate(NAMES):
        right[name] = functions[name](*[right[NAMES[u]] for u, v in pairs if v == k])
    made = AsyncNet.from_functions(
        functions, [(NAMES[u], NAMES[v]) for u, v in pairs], workers=3, mode=mode, outputs=NAMES
    )
    for _ in range(3):
        assert made.run() == right


def test_independent_functions_run_at_the_same_time() -> None:
    meet = threading.Barrier(2)
    made = AsyncNet.from_functions(
        {"a": lambda: meet.wait(20), "b": lambda: meet.wait(20)}, workers=2, mode="dynamic"
    )
    assert sorted(made.run().values()) == [0, 1]


def test_what_is_given_is_checked() -> None:
    def function(*_: object) -> None:
        return None

    two = {"ab": function, "cd": function}
    with pytest.raises(ValueError, match="in a circle among ab, cd"):
        AsyncNet.from_functions(two, [("ab", "cd"), ("cd", "ab")])
    with pytest.raises(ValueError, match="there is no function 'ce'; accepted: ab, cd"):
        AsyncNet.from_functions(two, [("ab", "ce")])
    with pytest.raises(ValueError, match=r"order: .*there is no function 'x'"):
        AsyncNet.from_functions(two, order=[("x", "ab")])
    with pytest.raises(ValueError, match="outputs: there is no function 'x'"):
        AsyncNet.from_functions(two, outputs=["x"])
    with pytest.raises(TypeError, match="names to functions, got 'ab': 3"):
        AsyncNet.from_functions({"ab": 3})
    made = AsyncNet.from_functions(two, [("x", "ab")])
    with pytest.raises(ValueError, match="input 'x' is missing"):
        made.submit()
    with pytest.raises(ValueError, match="take no input 'y'"):
        made.submit({"x": 1, "y": 2})
    with pytest.raises(ValueError, match="has not run yet"):
        _ = AsyncNet.from_functions(two).outputs["ab"]
    with pytest.raises(KeyError):
        _ = made.outputs["nobody"]


def test_a_pool_thread_stays_the_same_thread_to_python() -> None:
    """Its thread-local values are there in the next call: no call makes a thread state anew."""
    local = threading.local()
    seen: dict[int, list[int]] = {}

    def count() -> None:
        local.calls = getattr(local, "calls", 0) + 1
        seen.setdefault(threading.get_ident(), []).append(local.calls)
        time.sleep(0.001)

    net = AsyncNet.from_functions({f"f{k}": count for k in range(40)}, workers=2, mode="dynamic")
    net.run()
    assert len(seen) == 2
    assert all(calls == list(range(1, len(calls) + 1)) for calls in seen.values())
