"""What a hostile, careless or merely new caller might give: values, indices, orders, timeouts,
arrays of every dtype, layout and lifetime. And what is checked of every call.

`attempt` is the rule for all of them: a call returns, or raises an exception of a kind that the
package raises on purpose, with a text. SystemError, AttributeError, RecursionError or a bare
"unhashable type" mean that something went further than it should.
"""

from __future__ import annotations

import array
import operator
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
FLOATS = ("float32", "float64")
NUMBERS = INTEGERS + FLOATS
DTYPES = ("bool", *NUMBERS)
ORDERS = ("relaxed", "acquire", "release", "acq_rel", "seq_cst")


# The bodies that child.py runs, and the strategies of their arguments.
PROPERTIES: dict[str, tuple[Callable[..., None], tuple[st.SearchStrategy[Any], ...]]] = {}


inputs = 0  # calls so far


def fuzz(*strategies: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Any]:
    """A decorator for a body that is to hold for all such arguments."""

    def add(body: Callable[..., None]) -> Callable[..., None]:
        PROPERTIES[body.__name__] = body, strategies
        return body

    return add


class Boom(Exception):
    """What hostile objects raise: it must come out as it went in."""


EXPECTED = (
    TypeError,
    ValueError,
    OverflowError,
    IndexError,
    KeyError,
    MemoryError,
    OSError,
    RuntimeError,
    Boom,
)
NEVER = (RecursionError, NotImplementedError)
# How the interpreter, or cffi, says that nobody checked.
UNCHECKED = (
    "unhashable",
    "has no len()",
    "not iterable",
    "not subscriptable",
    "initializer for",
    "interpreted as",
    "must be real number",
    "too big to convert",
    "too large to",
)


class Outcome(NamedTuple):
    value: Any
    error: BaseException | None


def attempt(
    call: Callable[[], Any], expected: tuple[type[BaseException], ...] = EXPECTED
) -> Outcome:
    """What the call returned, or the exception that it raised on purpose. Counted as an input."""
    global inputs
    inputs += 1
    try:
        return Outcome(call(), None)
    except expected as error:
        raised = error
    text = str(raised)
    assert not isinstance(raised, NEVER), repr(raised)
    assert isinstance(raised, Boom) or text, repr(raised)
    assert not any(words in text for words in UNCHECKED), text
    return Outcome(None, raised)


# ---- objects that answer late, wrongly, or with a side effect -----------------------------------


class Answer:
    """An object with __index__ and __float__ that do something before they answer."""

    def __init__(self, value: Any, effect: Callable[[], object] | None = None) -> None:
        self.value = value
        self.effect = effect

    def __index__(self) -> Any:
        if self.effect:
            self.effect()
        return self.value

    __float__ = __index__

    def __repr__(self) -> str:
        return f"Answer({self.value!r}{', with an effect' if self.effect else ''})"


def boom() -> None:
    raise Boom


# ---- values -------------------------------------------------------------------------------------

EDGES = sorted(
    {s * 2**k + d for k in (7, 8, 15, 16, 31, 32, 63, 64, 70) for s in (1, -1) for d in (-1, 0, 1)}
)
ints = st.one_of(
    st.integers(-8, 8), st.sampled_from(EDGES), st.integers(-(2**65), 2**65), st.just(10**400)
)
floats = st.one_of(st.floats(), st.sampled_from([0.0, -0.0, 1e300, -1e39, 3.5e38, 5e-324]))
NUMPY_SCALARS = (
    np.bool_,
    np.int8,
    np.int16,
    np.int32,
    np.int64,
    np.uint8,
    np.uint16,
    np.uint32,
    np.uint64,
    np.float16,
    np.float32,
    np.float64,
    np.longdouble,
    np.complex64,
    np.complex128,
)
numpy_scalars = st.builds(lambda t, v: t(v), st.sampled_from(NUMPY_SCALARS), st.integers(0, 100))
answers = st.one_of(
    st.builds(Answer, st.integers(-4, 4)),
    st.builds(Answer, st.sampled_from([None, "1", 2**70])),
    st.builds(lambda v: Answer(v, boom), st.just(1)),
)
JUNK = (
    None,
    "1",
    b"1",
    (),
    [],
    {},
    {1},
    [1],
    object(),
    1j,
    Ellipsis,
    slice(1),
    int,
    len,
    np.void(b"ab"),
    np.str_("1"),
    np.bytes_(b"1"),
    np.datetime64(1, "s"),
    np.array([1]),
    np.array([1, 2]),
    np.array(1),
    np.array(1.5),
    np.array(1j),
    np.zeros(0),
)
junk = st.sampled_from(JUNK)
values = st.one_of(
    ints,
    ints,
    floats,
    st.booleans(),
    numpy_scalars,
    answers,
    junk,
    st.sampled_from([Decimal("1.5"), Fraction(1, 3)]),
)
orders = st.one_of(
    st.sampled_from(ORDERS),
    st.sampled_from(ORDERS),
    st.sampled_from(
        [
            "",
            "SEQ_CST",
            "seq-cst",
            "acquire ",
            "\0",
            "\ud800",
            None,
            5,
            b"relaxed",
            True,
            ["acquire"],
        ]
    ),
)
# None of these waits long: what waits for ever is a matter for other tests.
timeouts = st.one_of(
    st.sampled_from(
        [
            0,
            0.0,
            -0.0,
            1e-9,
            1e-6,
            False,
            np.float64(0),
            np.int8(0),
            Fraction(1, 10**6),
            -1,
            -2,
            -1e-9,
            float("nan"),
            float("-inf"),
            -(10**400),
            "0",
            b"",
            [],
            1j,
            object(),
            Answer(0),
            Answer(0, boom),
            np.array([0]),
            np.datetime64(0, "s"),
        ]
    )
)


def as_int(value: Any, least: int, most: int) -> int:
    """The int that an element or an index of that range takes a value for; raises otherwise."""
    if isinstance(value, np.bool_):
        raise TypeError
    number = operator.index(value)
    if not least <= number <= most:
        raise OverflowError
    return number


def as_float(value: Any, dtype: np.dtype[Any]) -> Any:
    """The same for floats."""
    kind = getattr(getattr(value, "dtype", None), "kind", "f")
    if isinstance(value, str | bytes | complex) or kind not in "iuf":
        raise TypeError
    number = float(value)
    with np.errstate(all="ignore"):
        narrow = dtype.type(number)
    if np.isinf(narrow) and not np.isinf(number):
        raise OverflowError
    return narrow


def as_element(value: Any, dtype: np.dtype[Any]) -> Any:
    """A value as an element of the dtype; raises what the package is to raise."""
    if dtype.kind == "f":
        return as_float(value, dtype)
    if dtype.kind == "b":
        return bool(value) if isinstance(value, np.bool_) else bool(as_int(value, 0, 1))
    limits = np.iinfo(dtype)
    return dtype.type(as_int(value, int(limits.min), int(limits.max)))


# ---- arrays -------------------------------------------------------------------------------------


class Fenced:
    """An array with a fence around its memory: what is written beside it is seen."""

    FENCE = 64

    def __init__(self, dtype: str, shape: tuple[int, ...], offset: int = 0) -> None:
        item = np.dtype(dtype)
        size = int(np.prod(shape)) * item.itemsize
        memory = np.full(size + 2 * self.FENCE + 64, 0xA5, np.uint8)
        start = -memory.ctypes.data % 64 + self.FENCE + offset
        self._outside = [memory[:start], memory[start + size :]]
        memory[start : start + size] = 0
        self.array = memory[start : start + size].view(item).reshape(shape)

    def intact(self) -> bool:
        return all(bool((part == 0xA5).all()) for part in self._outside)


small_shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
ANY_DTYPE = (
    *DTYPES,
    ">i4",
    ">f8",
    ">u2",
    "float16",
    "longdouble",
    "complex64",
    "complex128",
    "O",
    "U3",
    "S2",
    "V4",
    "M8[s]",
    "m8[s]",
    "i4,f4",
)


def filled(dtype: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    made = np.zeros(shape, dtype)
    if made.dtype.kind in "biufc":
        made[...] = np.arange(made.size).reshape(shape) % 5
    return made


class Ndarray(np.ndarray):
    """A subclass that lies about its layout."""

    @property
    def strides(self) -> tuple[int, ...]:
        return (1,) * self.ndim


LAYOUTS: dict[str, Callable[[np.ndarray[Any, Any]], Any]] = {
    "as it is": lambda a: a,
    "read-only": lambda a: (
        np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape)
        if a.size and a.dtype.kind != "O"
        else a
    ),
    "transposed": lambda a: a.T,
    "Fortran": np.asfortranarray,
    "every second": lambda a: np.repeat(a, 2, axis=0)[::2] if a.ndim else a,
    "backwards": lambda a: a[::-1] if a.ndim else a,
    "broadcast": lambda a: np.broadcast_to(a, (2, *a.shape)),
    "misaligned": lambda a: (
        np.frombuffer(bytearray(a.nbytes + 1), np.uint8)[1:].view(a.dtype).reshape(a.shape)
        if a.size and a.dtype.kind != "O"
        else a
    ),
    "masked": lambda a: np.ma.masked_array(a, mask=np.zeros(a.shape, bool)),
    "lying subclass": lambda a: a.view(Ndarray),
    "list": lambda a: a.tolist(),
    "memoryview": lambda a: memoryview(a) if a.dtype.kind in "biuf" else a,
    "released memoryview": lambda a: _released(a),
    "bytes": lambda a: a.tobytes(),
    "bytearray": lambda a: bytearray(a.tobytes()),
    "array.array": lambda a: (
        array.array("q", a.astype("i8").ravel().tolist())
        if a.dtype.kind in "biu" and a.itemsize < 8
        else a
    ),
    "object array": lambda a: a.astype(object),
}


def _released(a: np.ndarray[Any, Any]) -> Any:
    view = memoryview(bytearray(a.nbytes + 8))
    view.release()
    return view


@st.composite
def arrays(
    draw: st.DrawFn,
    dtypes: tuple[str, ...] = ANY_DTYPE,
    shapes: st.SearchStrategy[tuple[int, ...]] = small_shapes,
) -> Any:
    """Anything that a careless caller could take for an array."""
    made = filled(draw(st.sampled_from(dtypes)), draw(shapes))
    return LAYOUTS[draw(st.one_of(st.just("as it is"), st.sampled_from(list(LAYOUTS))))](made)


def same_bits(a: Any, b: Any) -> bool:
    """Equal dtype, shape and elements; one NaN is as good as another."""
    a, b = np.asarray(a), np.asarray(b)
    return (
        a.dtype == b.dtype
        and a.shape == b.shape
        and bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))
    )
