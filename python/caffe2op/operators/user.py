"""register_operator: operator types of the user's own, in Python or in compiled code.

    @register_operator("Negate", inputs=["float32"], outputs=[("float32", 0)])
    def negate(inputs, outputs):
        outputs[0].feed(-inputs[0].data)

    register_operator("Square", ffi.addressof(lib, "square"),
                      inputs=["float64"], outputs=[("float64", 0)])

    net.Negate("x", "y"); net.Square("y", "y")

A Python function runs with the GIL held and gets what the Python operator gives its function
(python_op.py). A C function runs as a native operator, with no Python between it and its
neighbours: without the GIL, on any thread, on several at the same time. csrc/kernel_user.c makes
its outputs and calls it with the address and the number of elements of each input and output.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from operator import is_
from typing import Any, NamedTuple, TypeVar, overload

import numpy as np

from caffe2op._core import dtypes, ffi, lib
from caffe2op.operators.datatype import dtype_code
from caffe2op.operators.native_function import ACCEPTED, NativeFunction, native_function
from caffe2op.operators.schema import ANY_PAIR, Binding, Schema, is_registered, register

MAX_DIMS = 8
_ANY = -1  # what C calls "any dtype", and "no input to be like"

F = TypeVar("F")
_registered_here: set[str] = set()
_lock = threading.Lock()


class _Output(NamedTuple):
    dtype: int  # c2_dtype code, or _ANY: that of input 0
    like: int  # the input whose shape it takes, or _ANY: see shape
    shape: tuple[int, ...]


@overload
def register_operator(
    name: str,
    function: None = None,
    *,
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    doc: str = "",
    user_data: Any = None,
    waits: bool = False,
    overwrite: bool = False,
) -> Callable[[F], F]: ...
@overload
def register_operator(
    name: str,
    function: F,
    *,
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    doc: str = "",
    user_data: Any = None,
    waits: bool = False,
    overwrite: bool = False,
) -> F: ...
def register_operator(
    name: str,
    function: Any = None,
    *,
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    doc: str = "",
    user_data: Any = None,
    waits: bool = False,
    overwrite: bool = False,
) -> Any:
    """Add an operator type, so that `net.<name>(...)` makes operators that run `function`.

    Args:
        name: an identifier that does not begin with an underscore.
        function: a Python function of (inputs, outputs), two lists of workspace.BlobView, which
            may return False to report failure; or a C function
            `int32_t f(void **data, const int64_t *sizes, void *user)`, given as a cffi function
            pointer, a ctypes function pointer, a Numba cfunc, or a scipy.LowLevelCallable. data and
            sizes (elements) are the inputs' and then the outputs'; a result that is not 0 fails the
            operator. Without a function, the call gives a decorator.
        inputs: for each input its dtype, or None for any.
        outputs: for each output a pair: its dtype, or None for that of input 0; and its shape, or
            the index of the input whose shape it takes. A C function finds its outputs made so,
            with elements that it has to write; a Python function makes them, and they are checked
            after it.
        user_data: what a C function gets as `user`: None for NULL, a pointer of cffi or ctypes,
            or a PyCapsule. Kept alive with the function. The library that holds the function stays
            loaded until the process ends.
        waits: whether the function may wait for another operator; a Python one always may.
        overwrite: replace a type that was registered here before. Nets that exist keep the old one.

    An output may be the blob of an input; that of a C function must have its dtype and shape then.
    What a blob holds is checked when the operator runs: a TypeError for another dtype. Returns the
    function. TypeError or ValueError, naming the argument, for anything else; nothing is
    registered then.
    """
    if function is None:
        return functools.partial(
            register_operator,
            name,
            inputs=inputs,
            outputs=outputs,
            doc=doc,
            user_data=user_data,
            waits=waits,
            overwrite=overwrite,
        )
    if not isinstance(name, str) or not name.isidentifier() or name.startswith("_"):
        raise ValueError(
            f"name must be an identifier that does not begin with an underscore, got {name!r}"
        )
    takes = [_input(k, given) for k, given in enumerate(_sequence("inputs", inputs))]
    gives = [_output(k, given, len(takes)) for k, given in enumerate(_sequence("outputs", outputs))]
    native = native_function(function, user_data)
    if native is not None:
        binding = _native_binding(native, takes, gives)
    elif not callable(function):
        raise TypeError(
            f"function: got {function!r}; accepted: a Python function of (inputs, "
            f"outputs), or {ACCEPTED}"
        )
    elif user_data is not None:
        raise TypeError("user_data is for a C function; a Python function has its own variables")
    else:
        checked = _checked(function, takes, gives)
        binding = Binding(kernel=None, python=lambda op: checked)
    schema = Schema(
        type=name,
        inputs=(len(takes), len(takes)),
        outputs=(len(gives), len(gives)),
        in_place=ANY_PAIR,
        waits=waits or native is None,
        doc=doc or getattr(function, "__doc__", None) or "",
    )
    with _lock:
        if overwrite and is_registered(name) and name not in _registered_here:
            raise ValueError(f"name: operator type {name!r} is caffe2op's own; it stays")
        if not overwrite and is_registered(name):
            raise ValueError(
                f"name: operator type {name!r} is registered already; accepted: "
                "another name, or overwrite=True"
            )
        register(schema, binding, replace=overwrite)
        _registered_here.add(name)
    return function


# ---- what the blobs must be --------------------------------------------------------------------


def _sequence(argument: str, value: Any) -> list[Any]:
    if isinstance(value, list | tuple):
        return list(value)
    raise TypeError(f"{argument}: got {value!r}; accepted: a list, one entry for each blob")


def _code(argument: str, dtype: Any) -> int:
    if dtype is None:
        return _ANY
    try:
        return dtype_code(dtype)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{argument}: {error}; or None") from None


def _input(k: int, given: Any) -> int:
    return _code(f"inputs[{k}]", given)


def _output(k: int, given: Any, n_inputs: int) -> _Output:
    argument = f"outputs[{k}]"
    if not isinstance(given, list | tuple) or len(given) != 2:
        raise TypeError(
            f"{argument}: got {given!r}; accepted: (dtype, shape) or (dtype, index of "
            "the input that it is like)"
        )
    dtype, like = _code(argument, given[0]), given[1]
    if dtype == _ANY and n_inputs == 0:
        raise ValueError(f"{argument}: dtype None is that of input 0, and there is none")
    if isinstance(like, int | np.integer) and not isinstance(like, bool):
        if not 0 <= like < n_inputs:
            raise ValueError(f"{argument}: like input {like}, but there are {n_inputs} inputs")
        return _Output(dtype, int(like), ())
    if not isinstance(like, list | tuple) or not all(
        isinstance(d, int | np.integer) and not isinstance(d, bool) and 0 <= d < 2**63 for d in like
    ):
        raise TypeError(
            f"{argument}: shape {like!r}; accepted: a tuple of ints from 0, or the "
            "index of an input"
        )
    if len(like) > MAX_DIMS:
        raise ValueError(f"{argument}: {len(like)} dimensions; accepted: at most {MAX_DIMS}")
    return _Output(dtype, _ANY, tuple(int(d) for d in like))


# ---- C functions -------------------------------------------------------------------------------


def _native_binding(native: NativeFunction, takes: list[int], gives: list[_Output]) -> Binding:
    schema = ffi.new("c2_user_schema *")
    parts = {
        "input_dtypes": ffi.new("int32_t[]", takes or 1),
        "output_dtypes": ffi.new("int32_t[]", [g.dtype for g in gives] or 1),
        "output_like": ffi.new("int32_t[]", [g.like for g in gives] or 1),
        "output_ndims": ffi.new("int32_t[]", [len(g.shape) for g in gives] or 1),
        "output_shapes": ffi.new(
            "int64_t[]", [d for g in gives for d in g.shape + (0,) * (MAX_DIMS - len(g.shape))] or 1
        ),
    }
    schema.function = ffi.cast("c2_user_kernel", native.address)
    # cffi unloads a library with the object that dlopen gave, which its pointers do not hold.
    lib.c2_keep_loaded(schema.function)
    schema.user = ffi.cast("void *", native.user_data)
    for field, part in parts.items():
        setattr(schema, field, part)
    # Whoever holds the handle (a net) holds all that it points to. What is called at its end does
    # nothing, and none of it in Python: what a signal's handler raised in there would be lost.
    handle = ffi.gc(schema, functools.partial(is_, (schema, parts, native)))
    return Binding(kernel="UserFunction", handle=handle)


# ---- Python functions --------------------------------------------------------------------------


def _checked(
    function: Callable[[list[Any], list[Any]], Any], takes: list[int], gives: list[_Output]
) -> Callable[[list[Any], list[Any]], Any]:
    """The function, with its inputs checked before it and its outputs after it."""

    @functools.wraps(function)
    def call(inputs: list[Any], outputs: list[Any]) -> Any:
        for k, (view, code) in enumerate(zip(inputs, takes, strict=True)):
            if code != _ANY and view.dtype != dtypes.from_code(code):
                raise TypeError(
                    f"input {k} ({view.name!r}): {view.dtype} given, "
                    f"{dtypes.from_code(code)} expected"
                )
        expected = [
            (
                inputs[0].dtype if give.dtype == _ANY else dtypes.from_code(give.dtype),
                give.shape if give.like == _ANY else inputs[give.like].shape,
            )
            for give in gives
        ]
        result = function(inputs, outputs)
        if isinstance(result, bool | np.bool_) and not result:
            return False
        for k, (view, (dtype, shape)) in enumerate(zip(outputs, expected, strict=True)):
            if view.dtype != dtype or view.shape != shape:
                raise TypeError(
                    f"output {k} ({view.name!r}): {view.dtype} of shape {view.shape} "
                    f"made, {dtype} of shape {shape} declared"
                )
        return None

    return call
