"""AtomicArray, cells, AtomicBool, Mutex and SharedArray, given anything."""

from __future__ import annotations

import gc
import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from hostile import (
    DTYPES,
    ORDERS,
    Answer,
    Boom,
    Fenced,
    arrays,
    as_element,
    as_int,
    attempt,
    fuzz,
    ints,
    junk,
    orders,
    same_bits,
    small_shapes,
    timeouts,
    values,
)
from hypothesis import strategies as st
from twin import Twin

from caffe2op.atomics import AtomicArray, AtomicBool, Mutex, SharedArray, segment

FETCHES = (
    "exchange",
    "fetch_add",
    "fetch_sub",
    "fetch_and",
    "fetch_or",
    "fetch_xor",
    "fetch_min",
    "fetch_max",
)
METHODS = ("load", "store", "compare_exchange", *FETCHES)
LOADS, STORES = {"relaxed", "acquire", "seq_cst"}, {"relaxed", "release", "seq_cst"}
ORDERS_OF = {"load": LOADS, "store": STORES}


def lifts(method: str, dtype: np.dtype[Any]) -> bool:
    """Whether elements of the dtype have the operation."""
    if method in ("fetch_and", "fetch_or", "fetch_xor"):
        return dtype.kind in "iu"
    return dtype.kind != "b" or method in ("load", "store", "compare_exchange", "exchange")


def place_of(index: Any, shape: tuple[int, ...]) -> Any:
    """The index as the twin takes it; IndexError or TypeError for one that is none."""
    size = int(np.prod(shape))
    try:
        if isinstance(index, tuple):
            if len(index) != len(shape):
                raise IndexError
            return tuple(as_int(i, -n, n - 1) for i, n in zip(index, shape, strict=True))
        return as_int(index, -size, size - 1)
    except OverflowError:
        raise IndexError from None


@st.composite
def indices(draw: st.DrawFn, shape: tuple[int, ...]) -> Any:
    size = int(np.prod(shape))
    good = st.one_of(
        st.integers(-size, size - 1), st.tuples(*(st.integers(-n, n - 1) for n in shape))
    )
    one = st.one_of(st.integers(-size - 2, size + 1), values)
    return draw(st.one_of(good, good, one, st.tuples(one), st.tuples(one, one)))


@fuzz(st.data())
def elements(data: st.DataObject) -> None:
    """One operation on one element: exactly the twin's result, or an error and nothing changed."""
    dtype = np.dtype(data.draw(st.sampled_from(DTYPES)))
    shape = data.draw(small_shapes.filter(lambda s: 0 not in s))
    fenced = Fenced(dtype.name, shape)
    fenced.array[...] = np.arange(fenced.array.size).reshape(shape) % 3
    real, twin = AtomicArray(fenced.array), Twin(fenced.array)
    for _ in range(data.draw(st.integers(1, 5))):
        method = data.draw(st.sampled_from(METHODS))
        index = data.draw(indices(shape))
        given_values = [
            data.draw(values) for _ in range({"load": 0, "compare_exchange": 2}.get(method, 1))
        ]
        order = data.draw(orders)
        before = fenced.array.copy()
        kwargs = {"order": order} if data.draw(st.booleans()) else {}
        # What is wrong with the call, if anything: one of these is to be raised.
        wrong: list[type[BaseException]] = []
        if kwargs and not (isinstance(order, str) and order in ORDERS_OF.get(method, ORDERS)):
            wrong.append(ValueError if isinstance(order, str) else TypeError)
        if not lifts(method, dtype):
            wrong.append(TypeError)
        try:
            place = place_of(index, shape)
        except (TypeError, IndexError, Boom) as error:
            wrong.append(type(error))
        exact = []
        for value in given_values:
            try:
                exact.append(as_element(value, dtype))
            except (TypeError, OverflowError, ValueError, Boom) as error:
                wrong.append(type(error))
        cell = None
        if data.draw(st.booleans()):
            made = attempt(lambda i=index: real.cell(i))
            cell = made.value
            if made.error is not None:
                assert isinstance(made.error, tuple(wrong)), (made.error, wrong)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            if cell is None:
                result = attempt(
                    lambda m=method, i=index, v=given_values, k=kwargs: getattr(real, m)(i, *v, **k)
                )
            else:
                result = attempt(
                    lambda m=method, c=cell, v=given_values, k=kwargs: getattr(c, m)(*v, **k)
                )
        assert fenced.intact()
        if wrong:
            assert isinstance(result.error, tuple(wrong)), (method, result, wrong)
            assert same_bits(fenced.array, before)
            continue
        assert result.error is None, result.error
        with np.errstate(all="ignore"):
            if method == "load":
                wanted = twin.load(place)
            elif method == "store":
                wanted = twin.store(place, exact[0])
            elif method == "compare_exchange":
                wanted = twin.compare_exchange(place, *exact)
            else:
                wanted = twin.fetch(method, place, exact[0])
        assert same_bits(
            np.array(result.value, object if wanted is None else None),
            np.array(wanted, object if wanted is None else None),
        )
        assert same_bits(fenced.array, twin.array), (method, result)


@fuzz(arrays(), st.one_of(st.none(), st.sampled_from([*DTYPES, "O", ">i4", 5, object(), "c16"])))
def buffers(given_array: Any, dtype: Any) -> None:
    """Made of anything: refused, or a view whose first and last elements work."""
    for made in (
        attempt(lambda: AtomicArray(given_array, dtype)),
        attempt(lambda: AtomicBool(given_array)),
        attempt(lambda: Mutex(given_array)),
    ):
        if isinstance(made.value, AtomicArray):
            real = made.value
            memory = np.asarray(given_array)
            assert memory.flags.writeable
            assert memory.flags.c_contiguous
            assert memory.ctypes.data % real.dtype.itemsize == 0
            assert memory.nbytes == real.size * real.dtype.itemsize
            assert np.shares_memory(memory, real.array)
            real.store(real.size - 1, 1)
            assert real.load(-1) == 1
            if isinstance(given_array, bytearray):  # which counts its views
                assert attempt(lambda: given_array.append(1), (BufferError,)).error is not None
        elif isinstance(made.value, AtomicBool):
            assert not made.value.test_and_set() or True
        elif made.value is not None and made.value.acquire(False):
            made.value.release()


def copied(given_values: Any) -> Any:
    return given_values.copy() if isinstance(given_values, np.ndarray) else given_values


@fuzz(st.data())
def bulk(data: st.DataObject) -> None:
    """Bulk operations: all of it as the twin does it, or an error and nothing changed."""
    dtype = data.draw(st.sampled_from(DTYPES))
    shape = data.draw(small_shapes.filter(lambda s: 0 not in s))
    fenced = Fenced(dtype, shape)
    fenced.array[...] = np.arange(fenced.array.size).reshape(shape) % 3
    real, size = AtomicArray(fenced.array), fenced.array.size
    overlapping = real.array.reshape(-1)[data.draw(st.integers(0, size - 1)) :]
    good = st.lists(st.integers(-size, size - 1), max_size=6).map(
        lambda v: np.array(
            v,
            data.draw(st.sampled_from(["i4", "i8", "i1", "u8", ">i8"]))
            if all(i >= 0 for i in v)
            else "i8",
        )
    )
    where = data.draw(
        st.one_of(
            good, good, arrays(), ints, junk, st.just(overlapping), st.lists(values, max_size=3)
        )
    )
    amounts = data.draw(
        st.one_of(
            st.integers(-3, 3), arrays(), values, st.just(overlapping), st.lists(values, max_size=3)
        )
    )
    call = data.draw(st.sampled_from(["add_at", "fetch_add_at", "gather", "add"]))
    before = fenced.array.copy()
    # As they are now: they may be the array's own memory.
    plain_where, plain_amounts = copied(where), copied(amounts)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=DeprecationWarning)  # NumPy's own, of lists
        if call == "gather":
            result = attempt(lambda: real.gather(where))
        elif call == "add":
            scale = data.draw(st.one_of(st.just(1), values, arrays()))
            result = attempt(lambda: real.add(amounts, scale))
        else:
            result = attempt(lambda: getattr(real, call)(where, amounts))
    assert fenced.intact()
    if result.error is not None:
        assert same_bits(fenced.array, before), result.error
        return
    if call == "add":
        return
    at = np.asarray(plain_where).astype(np.int64)
    if call == "gather":
        assert same_bits(result.value, before.reshape(-1)[at])
        assert same_bits(fenced.array, before)
        return
    twin = Twin(before)
    with np.errstate(all="ignore"):
        found = twin.fetch_add_at(at, np.asarray(plain_amounts).astype(dtype))
    assert same_bits(fenced.array, twin.array)
    assert result.value is None or same_bits(result.value, found)


@fuzz(st.sampled_from(DTYPES), values, timeouts, orders, values)
def waiting(dtype: str, expected: Any, timeout: Any, order: Any, count: Any) -> None:
    """wait and notify with anything for an argument."""
    fenced = Fenced(dtype, (2,))
    real = AtomicArray(fenced.array)
    for call in (
        lambda: real.wait(1, expected, timeout),
        lambda: real.cell(0).wait(expected, timeout, order=order),
        lambda: real.notify(0, count),
        lambda: real.cell(1).notify(count),
    ):
        attempt(call)
    assert fenced.intact()
    assert not fenced.array.any()


@fuzz(
    st.lists(
        st.tuples(
            st.sampled_from(["acquire", "release", "locked", "with", "repr"]),
            st.one_of(st.booleans(), values),
            st.one_of(st.none(), timeouts),
        ),
        max_size=8,
    )
)
def mutex(calls: list[tuple[str, Any, Any]]) -> None:
    """Whatever is asked of a mutex on one thread, it is held or not as a plain flag would be."""
    fenced = Fenced("uint64", ())
    lock, held = Mutex(fenced.array), False
    for name, blocking, timeout in calls:
        if name == "acquire":
            if held and timeout is None:
                timeout = 0  # without one it would find that it waits for itself: an error too
            result = attempt(
                lambda b=blocking, t=timeout: lock.acquire(b) if t is None else lock.acquire(b, t)
            )
            assert not (held and result.value)
            held = held or bool(result.value)
        elif name == "release":
            result = attempt(lock.release)
            assert (result.error is None) == held
            held = False
        elif name == "with" and not held:
            with lock:
                assert lock.locked()
        assert lock.locked() == held
        repr(lock)
    assert fenced.intact()


@fuzz(st.sampled_from(DTYPES), st.integers(0, 3), st.sampled_from(METHODS), values, st.data())
def effects(dtype: str, index: int, method: str, value: Any, data: st.DataObject) -> None:
    """Arguments that, while they are read, write to the array, call it, drop it, collect it."""
    fenced = Fenced(dtype, (4,))
    real = [AtomicArray(fenced.array)]
    cell = real[0].cell(index)

    def effect() -> None:
        what = data.draw(st.sampled_from(["write", "call", "drop", "collect", "raise", "view"]))
        if what == "write":
            fenced.array[...] = 1
        elif what == "call" and real:
            attempt(lambda: real[0].store(0, value))
        elif what == "drop":
            real.clear()
        elif what == "collect":
            gc.collect(0)
        elif what == "raise":
            raise Boom
        elif real:
            real[0].array.shape = (2, 2)

    late = Answer(data.draw(st.integers(-2, 3)), effect)
    count = {"load": 0, "compare_exchange": 2}.get(method, 1)
    attempt(lambda: getattr(real[0], method)(late, *[late] * count))
    attempt(lambda: getattr(cell, method)(*[late] * count))
    if real:
        attempt(lambda: real[0].add_at([late, 1], [late, late]))
        attempt(lambda: real[0].wait(late, late, late))
    assert fenced.intact()


NAMES = st.one_of(
    st.text(max_size=4),
    junk,
    st.sampled_from(
        ["", ".", "..", "a/b", "../x", "\0", "x" * 201, "auto-1", "-x", "no-such-array"]
    ),
)
SHAPES = st.one_of(
    small_shapes,
    ints,
    junk,
    st.lists(ints, max_size=10),
    st.sampled_from([(2**62, 4), (1,) * 9, (2**31, 2**31, 2**31), "ab", (1.5,)]),
)


@fuzz(
    NAMES,
    SHAPES,
    st.one_of(st.sampled_from(DTYPES), junk, st.sampled_from(["O", ">i4", 5])),
    values,
    st.data(),
)
def shared_arrays(name: Any, shape: Any, dtype: Any, index: Any, data: st.DataObject) -> None:
    """Names, shapes and dtypes; and files whose header says anything."""
    attempt(lambda: SharedArray.attach(name))
    # Real memory, of which there is not any amount.
    try:
        large = int(np.prod([int(n) for n in np.atleast_1d(np.array(shape, object))])) > 2**16
    except (TypeError, ValueError, OverflowError):
        large = False
    if not large or data.draw(st.integers(0, 20)) == 0:
        if large:
            return
        made = attempt(lambda: SharedArray.create(shape, dtype)).value
        if made is not None:
            with made:
                again = pickle.loads(pickle.dumps(made.atomic()))
                attempt(lambda: again.store(0, 1))
                assert same_bits(again.array, made.array)
                for view in (made.mutex, made.boolean):
                    repr(attempt(lambda v=view: v(index)).value)
    with SharedArray.create(8, np.int64) as good:
        path = Path(segment.path_of(good.name))
        header = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 3))):
            at = data.draw(st.integers(0, segment._DATA - 1))
            header[at] = data.draw(st.sampled_from([0, 1, 7, 8, 127, 128, 255]))
        length = data.draw(st.one_of(st.just(len(header)), st.integers(0, len(header) + 9)))
        broken = path.with_name(path.name + "x")
        broken.write_bytes((bytes(header) + bytes(9))[:length])
        os.chmod(broken, 0o600)
        try:
            other = attempt(lambda: SharedArray.attach(good.name + "x")).value
            if other is not None:  # then all that it says it holds is in the file
                assert other.array.nbytes + segment._DATA == length
                other.array[...] = 1
                attempt(lambda: other.atomic().store(-1, 0))
        finally:
            broken.unlink()
