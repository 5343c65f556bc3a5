"""The address of a C function that the user gives, whichever package it comes from.

One signature is accepted (`c2_user_kernel` in csrc/include/c2_abi.h):

    int32_t function(void **data, const int64_t *sizes, void *user)

What each package says about its function's type is checked against that, since a call through
the wrong type crashes. The checks read what the package publishes: cffi's ctypes, ctypes'
argtypes and restype, Numba's `.ctypes`, the name of a PyCapsule.
"""

from __future__ import annotations

import ctypes
import re
import sys
import types
from typing import Any, NamedTuple

from caffe2op._core import ffi

SIGNATURE = "int32_t (*)(void **data, const int64_t *sizes, void *user)"
ACCEPTED = (
    f"a C function {SIGNATURE}: a cffi function pointer, a ctypes function pointer, a Numba cfunc "
    "or a scipy.LowLevelCallable"
)

# The class of every ctypes function pointer, and the flag that sets those of pythonapi apart.
_FUNCTION_POINTER: Any = ctypes.CFUNCTYPE(None).__mro__[1]
_NEEDS_GIL = getattr(ctypes.PYFUNCTYPE(None), "_flags_", 0) & ~getattr(
    ctypes.CFUNCTYPE(None), "_flags_", 0
)


class NativeFunction(NamedTuple):
    """A C function, the pointer that it gets as `user`, and what must live as long as they."""

    address: int
    user_data: int
    keepalive: tuple[Any, ...]


def native_function(function: Any, user_data: Any = None) -> NativeFunction | None:
    """The address of a C function, or None for an object that is no C function.

    `user_data` is None (NULL), or a pointer of cffi or ctypes, or a PyCapsule. TypeError, with
    what came and what is accepted, for a C function of another signature.
    """
    scipy = sys.modules.get("scipy")  # one that gives its callable has imported it
    low_level = getattr(scipy, "LowLevelCallable", None)
    if low_level is not None and isinstance(function, low_level):
        if user_data is not None and function.user_data is not None:
            raise TypeError("user_data is given twice: in the LowLevelCallable and beside it")
        inner = native_function(
            function.function, function.user_data if user_data is None else user_data
        )
        if inner is None:
            raise _wrong(function.function)
        return inner._replace(keepalive=(function, *inner.keepalive))
    address = _address(function)
    if address is None:
        return None
    if address == 0:
        raise TypeError(f"function is a null pointer: {function!r}; accepted: {ACCEPTED}")
    return NativeFunction(address, _pointer(user_data), (function, user_data))


def _wrong(function: Any, why: str = "") -> TypeError:
    return TypeError(f"function: got {function!r}{why}; accepted: {ACCEPTED}")


def _address(function: Any) -> int | None:
    if isinstance(function, ffi.CData):
        return _cffi(function)
    if isinstance(function, _FUNCTION_POINTER):
        return _ctypes(function)
    if type(function).__name__ == "PyCapsule":
        return _capsule(function)
    if isinstance(function, types.BuiltinFunctionType):
        try:
            ffi.typeof(function)
        except TypeError:
            return None
        raise _wrong(
            function,
            ", a function of a cffi library and not its pointer, which is "
            f"ffi.addressof(lib, {function.__name__!r})",
        )
    if hasattr(function, "address") and isinstance(
        getattr(function, "ctypes", None), _FUNCTION_POINTER
    ):  # a Numba cfunc
        _ctypes(function.ctypes)
        return int(function.address)
    return None


# ---- cffi -------------------------------------------------------------------------------------


def _cffi(function: Any) -> int:
    ctype = ffi.typeof(function)
    if ctype.kind == "function":
        pointers = [a.kind == "pointer" for a in ctype.args]
        fits = (
            pointers == [True] * 3
            and not ctype.ellipsis
            and _is_int(ctype.result, 4)
            and ctype.args[0].item.kind in ("pointer", "void")
            and (ctype.args[1].item.kind == "void" or _is_int(ctype.args[1].item, 8))
        )
        if fits:
            return int(ffi.cast("uintptr_t", function))
    raise _wrong(function, f" of type {ctype.cname}")


def _is_int(ctype: Any, size: int) -> bool:
    if ctype.kind != "primitive" or ffi.sizeof(ctype) != size:
        return False
    return (
        re.fullmatch(
            r"(int|long|long long|int32_t|int64_t|ssize_t|intptr_t|ptrdiff_t)", ctype.cname
        )
        is not None
    )


# ---- ctypes -----------------------------------------------------------------------------------


def _ctypes(function: Any) -> int:
    if function._flags_ & _NEEDS_GIL:
        raise _wrong(function, ", which must be called with the GIL; operators run without it")
    if function.argtypes is None:
        raise _wrong(
            function,
            ", whose argtypes and restype are not set; give them: f.argtypes = "
            "[POINTER(c_void_p), POINTER(c_int64), c_void_p]; f.restype = c_int32",
        )
    arguments, result = list(function.argtypes), function.restype
    fits = (
        len(arguments) == 3
        and getattr(result, "_type_", None) in ("i", "l")
        and ctypes.sizeof(result) == 4
        and _points_to(arguments[0], _is_pointer)
        and _points_to(
            arguments[1],
            lambda t: getattr(t, "_type_", None) in ("l", "q") and ctypes.sizeof(t) == 8,
        )
        and _is_pointer(arguments[2])
    )
    if not fits:
        given = ", ".join(getattr(a, "__name__", repr(a)) for a in arguments)
        raise _wrong(function, f" from ({given}) to {getattr(result, '__name__', result)}")
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _is_pointer(kind: Any) -> bool:
    return isinstance(kind, type) and (kind is ctypes.c_void_p or issubclass(kind, ctypes._Pointer))


def _points_to(kind: Any, accepts: Any) -> bool:
    return kind is ctypes.c_void_p or (_is_pointer(kind) and accepts(kind._type_))


# ---- PyCapsule: its name is the signature, as scipy has it ---------------------------------------

_get_name = ctypes.pythonapi.PyCapsule_GetName
_get_name.argtypes, _get_name.restype = [ctypes.py_object], ctypes.c_char_p
_get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_get_pointer.argtypes, _get_pointer.restype = [ctypes.py_object, ctypes.c_char_p], ctypes.c_void_p


def _capsule(function: Any) -> int:
    name = _get_name(function)
    signature = re.sub(r"\s|\bconst\b", "", (name or b"").decode(errors="replace"))
    if not re.fullmatch(r"int(32_t)?\(void\*\*,(int64_t|long|longlong)\*,void\*\)", signature):
        raise _wrong(function, f" of signature {(name or b'').decode(errors='replace')!r}")
    return _get_pointer(function, name) or 0


# ---- the user's pointer -------------------------------------------------------------------------


def _pointer(value: Any) -> int:
    if value is None:
        return 0
    if isinstance(value, ffi.CData) and ffi.typeof(value).kind in ("pointer", "array"):
        return int(ffi.cast("uintptr_t", value))
    if isinstance(value, ctypes.c_void_p | ctypes._Pointer):
        return ctypes.cast(value, ctypes.c_void_p).value or 0
    if type(value).__name__ == "PyCapsule":
        return _get_pointer(value, _get_name(value)) or 0
    raise TypeError(
        f"user_data: got {value!r}; accepted: None, a pointer of cffi or ctypes, or a PyCapsule"
    )
