"""Every registered operator on blobs of every kind, dtype and shape, with any arguments.

A recipe says what an operator means to get; most inputs follow it and are then bent in one place,
since what is wrong in every place is refused by the first check. Tensors lie inside fences where
they can, so a write beside one is seen.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from hostile import (
    DTYPES,
    FLOATS,
    Fenced,
    Outcome,
    attempt,
    filled,
    floats,
    fuzz,
    ints,
    junk,
    small_shapes,
    values,
)
from hypothesis import strategies as st
from twins import TWINS

from caffe2op import core, workspace
from caffe2op.core import Argument, NetDef, OperatorDef
from caffe2op.operators import schema
from caffe2op.workspace.executors import EXECUTORS

TYPES = schema.registered()
BINARY = ("Add", "Sub", "Mul", "LT", "LE", "GT", "GE", "EQ", "NE", "And", "Or", "Xor")
KINDS = ("CreateMutex", "CreateAtomicBool", "CreateCounter", "CreateBlobsQueue")
Tensor = np.ndarray[Any, Any]


class Alarm(Exception):
    """What waits for ever was told to stop."""


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Ends what the body runs after a time, as Ctrl-C would."""

    def ring(*_: Any) -> None:
        raise Alarm("time is up")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# ---- what operators mean to get: tensors, or names of KINDS -------------------------------------

Draw = Callable[[st.SearchStrategy[Any]], Any]


def tensor(draw: Draw, dtype: str, shape: tuple[int, ...], most: int = 4) -> Tensor:
    made = filled(dtype, shape)
    if made.dtype.kind in "iuf" and made.size:
        made[...] = draw(st.integers(0, most))
        made.reshape(-1)[draw(st.integers(0, made.size - 1))] = draw(st.integers(0, most))
    return made


def _elementwise(draw: Draw) -> list[Any]:
    dtype, shape = draw(st.sampled_from(DTYPES)), draw(small_shapes)
    other = draw(st.sampled_from([shape, shape[1:], (1,) * len(shape), ()]))
    return [tensor(draw, dtype, shape), tensor(draw, dtype, other)]


def _same(
    count: int, dtypes: tuple[str, ...] = ("float32", "float64", "int32", "int64")
) -> Callable[[Draw], list[Any]]:
    def recipe(draw: Draw) -> list[Any]:
        dtype, shape = draw(st.sampled_from(dtypes)), draw(small_shapes)
        return [tensor(draw, dtype, shape) for _ in range(draw(st.integers(1, count)))]

    return recipe


def _weighted(draw: Draw) -> list[Any]:
    dtype, shape = draw(st.sampled_from(FLOATS)), draw(small_shapes)
    return [
        tensor(draw, dtype, shape if k % 2 == 0 else (1,))
        for k in range(2 * draw(st.integers(1, 3)))
    ]


def _rows(draw: Draw) -> tuple[str, int, tuple[int, ...], Tensor]:
    """dtype, rows, the shape of a row, indices."""
    rows = draw(st.integers(0, 4))
    where = tensor(
        draw, draw(st.sampled_from(["int32", "int64"])), draw(small_shapes), max(rows - 1, 0)
    )
    return draw(st.sampled_from(FLOATS)), rows, draw(small_shapes), where


def _gather(draw: Draw) -> list[Any]:
    dtype, rows, row, where = _rows(draw)
    return [tensor(draw, dtype, (rows, *row)), where]


def _scatter_assign(draw: Draw) -> list[Any]:
    dtype, rows, row, where = _rows(draw)
    return [tensor(draw, dtype, (rows, *row)), where, tensor(draw, dtype, (*where.shape, *row))]


def _scatter_sum(draw: Draw) -> list[Any]:
    dtype, rows, row, where = _rows(draw)
    one = [tensor(draw, dtype, (rows, *row)), tensor(draw, dtype, (1,)), where]
    for _ in range(draw(st.integers(1, 2))):
        one += [tensor(draw, dtype, (*where.shape, *row)), tensor(draw, dtype, (1,))]
    return one


def _lengths(weighted: bool) -> Callable[[Draw], list[Any]]:
    def recipe(draw: Draw) -> list[Any]:
        dtype, rows, row, _ = _rows(draw)
        lengths = np.array(draw(st.lists(st.integers(0, 3), max_size=4)), np.int32)
        n = int(lengths.sum())
        where = tensor(draw, draw(st.sampled_from(["int32", "int64"])), (n,), max(rows - 1, 0))
        weights = [tensor(draw, dtype, (n,))] if weighted else []
        return [tensor(draw, dtype, (rows, *row)), *weights, where, lengths]

    return recipe


def _csr(draw: Draw) -> list[Any]:
    """indptr, indices, labels, weights, values."""
    rows, slots = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    counts = [draw(st.integers(0, 3)) for _ in range(rows)]
    n = sum(counts)
    return [
        np.cumsum([0, *counts]).astype(np.int64),
        tensor(draw, "int32", (n,), slots - 1),
        tensor(draw, "float32", (rows,), 1),
        np.zeros(slots, np.int64),
        tensor(draw, "float32", (n,)),
    ]


def _sgd(draw: Draw) -> list[Any]:
    *rows, scales = _csr(draw)
    start = np.array(draw(st.integers(0, 5)), np.int64)
    own = [np.zeros(2 * rows[3].size, np.int64), np.array(0, np.int64)]
    return [start, *rows, *own, *([scales] if draw(st.booleans()) else [])]


def _train(draw: Draw) -> list[Any]:
    indptr, indices, targets, weights, scales = _csr(draw)
    start = np.array(draw(st.integers(0, 5)), np.int64)
    shared = [np.zeros(4, np.float32), np.zeros(4, np.uint8)]
    own = [weights.astype(np.float32), np.zeros(4, np.uint8), np.zeros(6, np.int64), np.zeros(1)]
    rows = [start, start.copy(), indptr, indices, targets]
    return [*rows, *shared, *own, *([scales] if draw(st.booleans()) else [])]


def _score(draw: Draw) -> list[Any]:
    indptr, indices, _, weights, scales = _csr(draw)
    return [indptr, indices, weights.astype(np.float32), scales]


def _monitor(draw: Draw) -> list[Any]:
    *rows, _ = _csr(draw)
    return [np.array(draw(st.integers(0, 5)), np.int64), *rows, np.zeros((3, 3))]


def _fixed(*inputs: Any) -> Callable[[Draw], list[Any]]:
    return lambda draw: [i if isinstance(i, str) else i.copy() for i in inputs]


def _scalar(dtype: str) -> Tensor:
    return np.ones((), dtype)


RECIPES: dict[str, Callable[[Draw], list[Any]]] = {
    **dict.fromkeys(BINARY, _elementwise),
    **dict.fromkeys(("Relu", "Sigmoid", "Scale", "Copy", "Not"), _same(1, ("float32", "bool"))),
    "Sum": _same(4),
    "AsyncNetBarrier": _same(3),
    "WeightedSum": _weighted,
    "Gather": _gather,
    "ScatterAssign": _scatter_assign,
    "ScatterWeightedSum": _scatter_sum,
    "SparseLengthsSum": _lengths(False),
    "SparseLengthsWeightedSum": _lengths(True),
    "SparseLogisticSGD": _sgd,
    "SparseLogisticMonitor": _monitor,
    "SparseLinearTrain": _train,
    "SparseLinearScore": _score,
    "SparseLogisticLoss": _csr,
    "SparseLogisticPredict": lambda draw: [x for k, x in enumerate(_csr(draw)) if k != 2],
    "AtomicFetchAdd": _fixed("CreateMutex", _scalar("int32"), _scalar("int32")),
    "AtomicFetchAdd64": _fixed(_scalar("int64"), _scalar("int64")),
    "ConditionalSetAtomicBool": _fixed("CreateAtomicBool", _scalar("bool")),
    "CheckAtomicBool": _fixed("CreateAtomicBool"),
    "AtomicIter": _fixed("CreateMutex", _scalar("int64")),
    "Iter": _fixed(_scalar("int64")),
    **dict.fromkeys(
        ("CountUp", "CountDown", "ResetCounter", "RetrieveCount", "CheckCounterDone"),
        _fixed("CreateCounter"),
    ),
    **dict.fromkeys(
        ("EnqueueBlobs", "SafeEnqueueBlobs"), _fixed("CreateBlobsQueue", _scalar("float32"))
    ),
    **dict.fromkeys(
        ("DequeueBlobs", "SafeDequeueBlobs", "CloseBlobsQueue"), _fixed("CreateBlobsQueue")
    ),
    "Python": _same(3),
}


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
    "object": st.just(_python),
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


def run(op: OperatorDef, net_type: str | None) -> Outcome:
    waits = not schema.is_registered(op.type) or schema.lookup(op.type).waits
    net = NetDef("fuzzed", [op], net_type or "simple")
    with alarm(0.05 if waits else 20):
        return attempt(
            lambda: (
                workspace.RunOperatorOnce(op) if net_type is None else workspace.RunNetOnce(net)
            ),
            (*_KNOWN, Alarm) if waits else _KNOWN,
        )


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
