"""The kinds of argument values: how each is read from what the user gave.

A converter returns the value as Python hands it on, or raises a TypeError or ValueError whose
text says what the kind is ("an int"), or, for a dtype, all that is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from caffe2op.operators.datatype import dtype_code

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


def _int(v: Any) -> int:
    if isinstance(v, bool) or not isinstance(v, int):
        raise TypeError("an int")
    if not INT64_MIN <= v <= INT64_MAX:
        raise ValueError("an int of 64 bits")
    return int(v)


def _float(v: Any) -> float:
    if isinstance(v, bool) or not isinstance(v, int | float):
        raise TypeError("a float")
    try:
        return float(v)
    except OverflowError:
        raise ValueError("a float of 64 bits") from None


def _bool(v: Any) -> bool:
    if isinstance(v, int) and v in (0, 1):
        return bool(v)
    raise TypeError("a bool")


def _number(v: Any) -> int | float:
    if not isinstance(v, int | float):
        raise TypeError("a number")
    return v if isinstance(v, float) else _int(int(v))


def _str(v: Any) -> str:
    if isinstance(v, bytes):
        v = v.decode(errors="surrogateescape")
    if not isinstance(v, str):
        raise TypeError("a string")
    if "\0" in v:
        raise ValueError("a string without NUL characters")
    return v


def _ints(v: Any) -> list[int]:
    if not isinstance(v, list | tuple):
        raise TypeError("a list of ints")
    try:
        return [_int(x) for x in v]
    except TypeError:
        raise TypeError("a list of ints") from None


def _floats(v: Any) -> list[float]:
    if not isinstance(v, list | tuple):
        raise TypeError("a list of floats")
    try:
        return [_float(x) for x in v]
    except TypeError:
        raise TypeError("a list of floats") from None


def _bools(v: Any) -> list[bool]:
    if not isinstance(v, list | tuple):
        raise TypeError("a list of bools")
    try:
        return [_bool(x) for x in v]
    except TypeError:
        raise TypeError("a list of bools") from None


def _object(v: Any) -> Any:
    return v


CONVERT: dict[str, Callable[[Any], Any]] = {
    "int": _int,
    "float": _float,
    "bool": _bool,
    "number": _number,
    "ints": _ints,
    "floats": _floats,
    "bools": _bools,
    "str": _str,
    "dtype": dtype_code,
    "object": _object,
}
