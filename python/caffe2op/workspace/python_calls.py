"""Python operators: what C calls, and what their functions see of the blobs.

C calls `PythonOperator.call` on whichever thread runs the operator, with the GIL
(csrc/fast/python_call.h). No exception leaves it: it is kept for the caller of the run, with a note
that says where it was raised.
"""

from __future__ import annotations

import atexit
import operator
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from caffe2op._core import ffi, lib
from caffe2op.operators.datatype import dtype_code
from caffe2op.operators.schema import PythonFunction
from caffe2op.workspace.blob import Array, Blob, view_of
from caffe2op.workspace.run import NetInfo, keep_raised, keep_signalled

EXIT_PATIENCE_NS = 1_000_000_000  # for first calls of threads that Python did not know


class BlobView:
    """A blob as a Python operator sees it, during the call only: later use is a RuntimeError.

    The arrays that `data` gives keep their memory. After the call it may be the blob's no longer,
    or be written by others: copy what is to stay.
    """

    __slots__ = ("_blob",)

    def __init__(self, blob: Blob) -> None:
        self._blob: Blob | None = blob

    def _open(self) -> Blob:
        if self._blob is None:
            raise RuntimeError("an input or output of a Python operator was used after the call")
        return self._blob

    @property
    def name(self) -> str:
        """The blob's name."""
        return self._open().name

    @property
    def data(self) -> Any:
        """The elements, as a NumPy array on the blob's own memory: writing to it writes the blob.
        For a blob that is no tensor, what FetchBlob gives. ValueError when the blob is empty."""
        blob = self._open()
        view = blob.lasting_view()  # inside the operator's guard
        return blob.fetch() if view is None else view

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's shape; TypeError for a blob that is none."""
        return self._array().shape

    @property
    def dtype(self) -> Any:
        """The tensor's NumPy dtype; TypeError for a blob that is none."""
        return self._array().dtype

    def _array(self) -> Array:
        tensor = lib.c2_blob_tensor(self._open().c)
        if tensor == ffi.NULL:
            raise TypeError(f"blob {self._open().describe()} is no tensor")
        return view_of(tensor)

    def feed(self, value: Any) -> None:
        """Make the blob a copy of the value, as workspace.FeedBlob does."""
        self._open().feed(value)

    def reshape(self, shape: Sequence[int], dtype: Any = None) -> None:
        """Make the blob a tensor of this shape, to be written through `data`. Its elements stay
        when nothing changes, and are zeros otherwise. dtype: that of the tensor it was, or
        float32."""
        blob = self._open()
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

    def _close(self) -> None:
        """End the call."""
        self._blob = None

    def __repr__(self) -> str:
        return f"BlobView({self._blob.describe() if self._blob else 'after the call'})"


class PythonOperator:
    """An operator of a net that calls a Python function."""

    __slots__ = ("_function", "_index", "_inputs", "_net", "_outputs")

    def __init__(self, function: PythonFunction, net: NetInfo, index: int) -> None:
        self._function = function
        self._net = net
        self._index = index
        self._inputs, self._outputs = net.ops[index][2:]

    def call(self) -> int:
        """The function on the blobs; a c2_status."""
        inputs = [BlobView(b) for b in self._inputs]
        outputs = [BlobView(b) for b in self._outputs]
        try:
            result = self._function(inputs, outputs)
        finally:
            for view in (*inputs, *outputs):
                view._close()
        # Only a bool can say no: None, 0 or an empty list are what functions happen to return.
        failed = isinstance(result, bool | np.bool_) and not result
        return int(lib.C2_FAILED if failed else lib.C2_OK)

    def keep(self, run: int, exception: BaseException) -> None:
        """Store what `call` raised for the caller of the run at this address."""
        given = ", ".join(b.describe() for b in self._inputs) or "none"
        keep_raised(run, self._net, self._index, exception, given)


def handle_of(operator: object) -> Any:
    """What c2_net_set takes for an object with `call` and `keep`, which must outlive the net."""
    return ffi.cast("void *", id(operator))


def _escaped(kind: Any, exception: BaseException | None, trace: object) -> None:
    if exception is not None:  # a signal handler's, before or after the call
        keep_signalled(exception)


@ffi.def_extern(error=lib.C2_PYTHON, onerror=_escaped)  # type: ignore[untyped-decorator]
def c2_python_operator(handle: Any, context: Any) -> int:
    """The first call on a thread that Python does not know comes this way."""
    return int(lib.c2_python_here(handle, context))


lib.c2_set_python_call(ffi.addressof(lib, "c2_python_here"))
# After asyncnet's threads, which register later, have waited for their runs.
atexit.register(lib.c2_python_ends, EXIT_PATIENCE_NS)
os.register_at_fork(after_in_child=lib.c2_python_forked)
