"""Every registered operator on blobs of every kind, dtype and shape, with any arguments.

A recipe says what an operator means to get; most inputs follow it and are then bent in one place,
since what is wrong in every place is refused by the first check. Tensors lie inside fences where
they can, so a write beside one is seen.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import numpy as np
from hostile import (
    DTYPES,
    Fenced,
    Outcome,
    attempt,
    floats,
    fuzz,
    ints,
    junk,
    small_shapes,
    values,
)
from hypothesis import strategies as st
from recipes import RECIPES, tensor
from twins import TWINS

from caffe2op import core, workspace
from caffe2op.core import Argument, NetDef, OperatorDef
from caffe2op.operators import schema
from caffe2op.workspace.executors import EXECUTORS

TYPES = schema.registered()
KINDS = ("CreateMutex", "CreateAtomicBool", "CreateCounter", "CreateBlobsQueue")


class Alarm(Exception):
    """What waits for ever was told to stop."""


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Ends what the body runs after a time, as Ctrl-C would. It may ring when the body has just
    ended by itself, even while it is being switched off: put `suppress(Alarm)` around it. And it
    rings every second, as Python drops what a handler raises inside a `__del__`."""

    def ring(*_: Any) -> None:
        raise Alarm("time is up")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, max(seconds, 1))
    try:
        yield
    finally:
        try:
            signal.setitimer(signal.ITIMER_REAL, 0)
        finally:  # again, should it ring just here
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


@st.composite
def inputs_for(draw: st.DrawFn, type_: str) -> list[Any]:
    recipe = RECIPES.get(type_)
    given_inputs = recipe(draw) if recipe else []
    if type_.endswith("Fill") and draw(st.booleans()):
        given_inputs = [tensor(draw, "int64", (draw(st.integers(0, 3)),))]
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2]))):  # bent
        other = draw(
            st.one_of(
                st.builds(lambda d, s: tensor(draw, d, s), st.sampled_from(DTYPES), small_shapes),
                st.sampled_from([*KINDS, "empty", "object"]),
            )
        )
        at = draw(st.integers(0, len(given_inputs)))
        if given_inputs and draw(st.integers(0, 3)) == 0:
            given_inputs.pop(min(at, len(given_inputs) - 1))
        elif at < len(given_inputs):
            same = given_inputs[at]
            keep_dtype = isinstance(same, np.ndarray) and draw(st.booleans())
            if keep_dtype and isinstance(other, np.ndarray):
                other = other.astype(same.dtype)
                if other.size and other.dtype.kind in "iu" and draw(st.booleans()):
                    other.reshape(-1)[0] = draw(st.sampled_from([5, 100])) * (
                        -1 if other.dtype.kind == "i" else 1
                    )
            given_inputs[at] = other
        else:
            given_inputs.append(other)
    return given_inputs


# ---- arguments ----------------------------------------------------------------------------------


def _python(inputs: list[Any], outputs: list[Any]) -> Any:
    for view in outputs:
        view.feed(np.arange(3))
    return [i.shape for i in inputs]


PLAUSIBLE: dict[str, st.SearchStrategy[Any]] = {
    "int": st.integers(-2, 5),
    "float": st.floats(0, 2),
    "bool": st.booleans(),
    "number": st.integers(0, 1),
    "ints": st.lists(st.integers(0, 3), max_size=4),
    "floats": st.lists(st.floats(-2, 2), max_size=4),
    "bools": st.lists(st.booleans(), max_size=4),
    "str": st.sampled_from(["batch", "row", "atomic", "racy", ""]),
    "dtype": st.sampled_from([*DTYPES, *core.DataType]),
    "object": st.sampled_from(
        [_python, NetDef("inner", [OperatorDef("Not", ["x0"], ["x0"])]), NetDef("inner"), 1]
    ),
}
HOSTILE = st.one_of(
    values, ints, floats, junk, st.lists(values, max_size=3), st.lists(ints, max_size=10)
)


@st.composite
def arguments(draw: st.DrawFn, known: schema.Schema) -> list[Argument]:
    made = []
    for arg in known.args:
        if arg.default is not schema.REQUIRED and draw(st.booleans()):
            continue
        value = draw(PLAUSIBLE[arg.kind]) if draw(st.integers(0, 7)) else draw(HOSTILE)
        if arg.name in ("shape", "extra_shape"):  # any size is accepted that the system has
            value = (
                [3 if isinstance(v, int) and 2**12 < v < 2**40 else v for v in value]
                if isinstance(value, list | tuple)
                else value
            )
        if arg.name in ("batch_size", "capacity") and isinstance(value, int):
            value = min(value, 1000)  # a batch of 2**40 rows takes its time
        made.append(
            attempt(lambda a=arg, v=value: core.defs.make_argument(a.name, v)).value
            or Argument(arg.name)
        )
    if draw(st.integers(0, 15)) == 0:
        made.append(Argument(draw(st.sampled_from(["shape", "unknown", "", None])), i=1))
    return made


# ---- one operator -------------------------------------------------------------------------------


def feed(name: str, given_input: Any, share: bool) -> Fenced | None:
    if isinstance(given_input, np.ndarray):
        if share and given_input.size:
            fenced = Fenced(given_input.dtype.name, given_input.shape)
            fenced.array[...] = given_input
            workspace.ShareBlob(name, fenced.array)
            return fenced
        workspace.FeedBlob(name, given_input)
    elif given_input == "empty":
        workspace.CreateBlob(name)
    elif given_input == "object":
        workspace.FeedBlob(name, "an object")
    else:
        workspace.RunOperatorOnce(OperatorDef(given_input, [], [name]))
    return None


def state() -> dict[str, Any]:
    return {name: fetch(name) for name in workspace.Blobs()}


def fetch(name: str) -> Any:
    try:
        return workspace.FetchBlob(name)
    except ValueError:  # empty
        return None


def same_state(before: dict[str, Any], after: dict[str, Any]) -> bool:
    return all(
        np.array_equal(np.asarray(value), np.asarray(after[name]), equal_nan=False)
        or _nan_equal(value, after[name])
        for name, value in before.items()
    )


def _nan_equal(a: Any, b: Any) -> bool:
    return (
        isinstance(a, np.ndarray)
        and isinstance(b, np.ndarray)
        and a.dtype == b.dtype
        and a.tobytes() == b.tobytes()
    )


def run(op: OperatorDef, net_type: str | None) -> Outcome | None:
    """What it came to; None where the alarm rang when it had just come to that."""
    waits = not schema.is_registered(op.type) or schema.lookup(op.type).waits
    net = NetDef("fuzzed", [op], net_type or "simple")
    with suppress(Alarm) if waits else nullcontext(), alarm(0.05 if waits else 60):
        return attempt(
            lambda: (
                workspace.RunOperatorOnce(op) if net_type is None else workspace.RunNetOnce(net)
            ),
            (*_KNOWN, Alarm) if waits else _KNOWN,
        )
    return None


_KNOWN = (TypeError, ValueError, OverflowError, IndexError, MemoryError, RuntimeError, OSError)


def check_twin(op: OperatorDef, before: dict[str, Any]) -> None:
    """That the operator gave what its twin gives, where that is one tensor."""
    twin = TWINS[op.type]
    known = schema.argument_values(op, schema.lookup(op.type))
    if op.type == "ConstantFill":
        known["dtype"] = workspace.FetchBlob(op.output[0]).dtype
    if op.type.endswith("Fill"):
        if op.input or ("seed" in known and known["seed"] is None):
            return
        known = {k: v for k, v in known.items() if k not in ("input_as_shape", "extra_shape")}
    result = workspace.FetchBlob(op.output[0])
    with np.errstate(all="ignore"):
        wanted = twin(*[before[name] for name in op.input], **known)
    assert result.shape == wanted.shape
    assert result.dtype == wanted.dtype
    if result.dtype.kind == "f":
        np.testing.assert_allclose(result, wanted, rtol=1e-4, atol=1e-5, equal_nan=True)
    else:
        assert np.array_equal(result, wanted)


def one_operator(data: st.DataObject, type_: str) -> None:
    workspace.ResetWorkspace()
    known = schema.lookup(type_)
    given_inputs = data.draw(inputs_for(type_))
    share = [data.draw(st.integers(0, 3)) == 0 for _ in given_inputs]
    fences = [feed(f"x{k}", x, share[k]) for k, x in enumerate(given_inputs)]
    names = [f"x{k}" for k in range(len(given_inputs))]
    least, most = known.outputs
    count = data.draw(st.integers(least, min(most if most is not None else least + 3, least + 3)))
    if type_ == "AsyncNetBarrier":
        count = len(names)
    outputs = [f"y{k}" for k in range(count)]
    for i, o in known.enforce_in_place:
        if 0 <= o < count and i < len(names):
            outputs[o] = names[i]
    if type_.startswith("AtomicFetchAdd") and len(names) >= 2:
        outputs[0] = names[-2]
    if type_ in ("Iter", "EnqueueBlobs") and names:
        outputs = (names if type_ == "Iter" else names[1:]) if data.draw(st.booleans()) else outputs
    for k in range(len(names)):  # one blob for two inputs
        if data.draw(st.integers(0, 15)) == 0:
            names[k] = data.draw(st.sampled_from(names))
    for o in range(len(outputs)):  # in place, allowed or not
        if names and data.draw(st.integers(0, 9)) == 0:
            outputs[o] = data.draw(st.sampled_from(names))
    for name in sorted(set(outputs) - set(workspace.Blobs())):  # something else before
        if data.draw(st.integers(0, 3)) == 0:
            fences.append(
                feed(
                    name,
                    data.draw(
                        st.sampled_from(["empty", "object", *KINDS, np.arange(6, dtype=np.float32)])
                    ),
                    data.draw(st.booleans()),
                )
            )
    op = OperatorDef(type_, names, outputs, arg=data.draw(arguments(known)))
    if type_ == "DequeueBlobs" and not any(a.name == "timeout_secs" for a in op.arg):
        op.arg.append(Argument("timeout_secs", f=1e-3))
    before = state()
    result = run(op, data.draw(st.sampled_from([None, None, *EXECUTORS])))
    assert all(fence is None or fence.intact() for fence in fences)
    if result is None:
        return
    if result.error is not None:
        if not known.waits:
            assert same_state(before, state()), result.error
    elif type_ in TWINS and len(set(names)) == len(names):
        check_twin(op, before)


@fuzz(st.data())
def operators(data: st.DataObject) -> None:
    """Any registered operator, once."""
    one_operator(data, data.draw(st.sampled_from(TYPES)))


@fuzz(st.data())
def tensor_operators(data: st.DataObject) -> None:
    """Those that have a twin to be compared with."""
    one_operator(data, data.draw(st.sampled_from([t for t in TYPES if t in TWINS])))
