"""Python operators: what C calls, and what their functions see of the blobs.

C calls the function on whichever thread runs the operator, with the GIL (csrc/fast/python_call.h,
python_operator.h). No exception leaves it: it is kept for the caller of the run, with a note that
says where it was raised.
"""

from __future__ import annotations

import atexit
import operator
import os
from collections.abc import Sequence
from types import FunctionType
from typing import Any, Self

from caffe2op._core import fast, ffi, lib
from caffe2op.operators.datatype import dtype_code
from caffe2op.operators.schema import PythonFunction
from caffe2op.workspace.blob import Array, Blob, view_of
from caffe2op.workspace.run import NetInfo, address, keep_raised, keep_signalled

EXIT_PATIENCE_NS = 1_000_000_000  # for first calls of threads that Python did not know


class BlobView(fast.View):
    """A blob as a Python operator sees it, during the call only: later use is a RuntimeError.

    The arrays that `data` gives keep their memory. After the call it may be the blob's no longer,
    or be written by others: copy what is to stay.
    """

    __slots__ = ()

    _blob: Blob

    @property
    def name(self) -> str:
        """The blob's name."""
        return self._blob.name

    def _look(self) -> Any:
        """What `data` gives, for the first time or after a change."""
        blob = self._blob
        view = blob.lasting_view(self._keep)  # inside the operator's guard
        return blob.fetch() if view is None else view

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's shape; TypeError for a blob that is none."""
        return self._elements().shape

    @property
    def dtype(self) -> Any:
        """The tensor's NumPy dtype; TypeError for a blob that is none."""
        return self._elements().dtype

    def _elements(self) -> Array:
        """For a look at what it is: kept, or not keeping its memory."""
        kept = self._array
        if kept is not None:
            return kept
        tensor = lib.c2_blob_tensor(self._blob.c)
        if tensor == ffi.NULL:
            raise TypeError(f"blob {self._blob.describe()} is no tensor")
        return view_of(tensor)

    def feed(self, value: Any) -> None:
        """Make the blob a copy of the value, as workspace.FeedBlob does."""
        self._blob.feed(value)

    def reshape(self, shape: Sequence[int], dtype: Any = None) -> None:
        """Make the blob a tensor of this shape, to be written through `data`. Its elements stay
        when nothing changes, and are zeros otherwise. dtype: that of the tensor it was, or
        float32."""
        blob = self._blob
        if dtype is not None:
            code = dtype_code(dtype)
        else:
            tensor = lib.c2_blob_tensor(blob.c)
            code = lib.C2_FLOAT32 if tensor == ffi.NULL else tensor.dtype
        try:
            wanted = [operator.index(n) for n in shape]
        except TypeError:
            raise TypeError(
                f"blob {blob.name!r}: shape {shape!r} given; accepted: a sequence of ints"
            ) from None
        blob.make(wanted, code)

    init = reshape

    def __repr__(self) -> str:
        try:
            return f"BlobView({self._blob.describe()})"
        except RuntimeError:
            return "BlobView(after the call)"


class PythonOperator(fast.Operator):
    """An operator of a net that calls a Python function."""

    __slots__ = ("_index", "_net")

    def __new__(cls, function: PythonFunction, net: NetInfo, index: int) -> Self:
        inputs, outputs = net.ops[index][2:]
        blobs = [*inputs, *outputs]
        addresses = [address(blob.c) for blob in blobs]
        self = super().__new__(cls, _in_bytecode(function), BlobView, blobs, addresses, len(inputs))
        self._net = net
        self._index = index
        return self

    _net: NetInfo
    _index: int

    def keep(self, run: int, exception: BaseException) -> None:
        """Store what the function raised for the caller of the run at this address."""
        keep_raised(run, self._net, self._index, exception, self._net.inputs(self._index))


def _in_bytecode(function: PythonFunction) -> PythonFunction:
    """The function as one that begins with Python's bytecode, where the interpreter lets other
    threads have the GIL, and serves signals (batch.h)."""
    if isinstance(function, FunctionType):
        return function

    def call(inputs: list[BlobView], outputs: list[BlobView]) -> Any:
        return function(inputs, outputs)

    return call


def handle_of(operator: object) -> Any:
    """What c2_net_set takes for an object with `call` and `keep`, which must outlive the net."""
    return ffi.cast("void *", id(operator))


def _escaped(kind: Any, exception: BaseException | None, trace: object) -> None:
    if exception is not None:  # a signal handler's, before or after the call
        keep_signalled(exception)


@ffi.def_extern(onerror=_escaped)  # type: ignore[untyped-decorator]
def c2_python_hello() -> None:
    """A thread that Python does not know becomes known."""


lib.c2_python_ready()
# After asyncnet's threads, which register later, have waited for their runs.
atexit.register(lib.c2_python_ends, EXIT_PATIENCE_NS)
os.register_at_fork(after_in_child=lib.c2_python_forked)
