"""Runs one operator on NumPy arrays through the C library, with nothing between: no workspace.

    run("Add", a, b)                    -> the output
    run("Sum", a, b, in_place=0)        -> output 0 is the blob of input 0
    Native("Add", a, b)                 -> to run many times, or from several threads

The same array given twice is one blob. An array given as `shared=(k, ...)` is the blob's memory,
not copied.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe2op._core import status
from caffe2op._core._native import ffi, lib
from caffe2op._core.dtypes import from_code, to_code
from caffe2op.core.defs import OperatorDef, make_argument
from caffe2op.operators import schema


def definition(type_: str, n_in: int, in_place: int | None = None, **args: Any) -> OperatorDef:
    """An operator with the inputs x0, x1, ... and the output y, or the input to work in."""
    names = [f"x{k}" for k in range(n_in)]
    out = "y" if in_place is None else names[in_place]
    return OperatorDef(type_, names, [out], arg=[make_argument(k, v) for k, v in args.items()])


class Native:
    """One operator in a net, with blobs of its own."""

    def __init__(
        self,
        type_: str,
        *arrays: np.ndarray[Any, Any],
        in_place: int | None = None,
        shared: tuple[int, ...] = (),
        **args: Any,
    ) -> None:
        op = definition(type_, len(arrays), in_place, **args)
        self.packed = schema.pack_args(op, schema.validate(op))
        blobs = {id(a): ffi.gc(lib.c2_blob_new(), lib.c2_blob_free) for a in arrays}
        self.inputs = [blobs[id(a)] for a in arrays]
        self.keep = arrays
        for k, array in enumerate(arrays):
            self.feed(k, array, share=k in shared)
        self.output_blob = (
            ffi.gc(lib.c2_blob_new(), lib.c2_blob_free)
            if in_place is None
            else self.inputs[in_place]
        )
        self.net = ffi.gc(lib.c2_net_new(1), lib.c2_net_free)
        kernel = lib.c2_kernel_find(type_.encode())
        assert kernel != ffi.NULL, f"no kernel {type_}"
        status.check(
            lib.c2_net_set(
                self.net,
                0,
                kernel,
                ffi.NULL,
                len(arrays),
                self.inputs,
                1,
                [self.output_blob],
                self.packed.args,
                self.packed.n,
            )
        )

    def feed(self, k: int, array: np.ndarray[Any, Any], share: bool = False) -> None:
        """Input `k` becomes a copy of the array, or a view of it."""
        assert array.flags.c_contiguous
        put = lib.c2_blob_share if share else lib.c2_blob_feed
        status.check(
            put(
                self.inputs[k],
                to_code(array.dtype),
                array.ndim,
                list(array.shape),
                ffi.cast("void *", array.ctypes.data),
            )
        )

    def run(self) -> None:
        """Once. Raises what the operator reports; releases the GIL meanwhile."""
        report = ffi.new("c2_run *")
        code = lib.c2_net_run(self.net, report)
        if code:
            raise status.error(code, ffi.string(report.message).decode())

    def fetch(self, blob: Any = None) -> np.ndarray[Any, Any]:
        """A copy of the output, or of a blob."""
        lib.c2_guard_enter()
        tensor = lib.c2_blob_tensor(blob or self.output_blob)
        dtype = from_code(tensor.dtype)
        raw = ffi.buffer(tensor.data, tensor.size * dtype.itemsize)[:]
        shape = list(tensor.shape)[: tensor.ndim]
        lib.c2_guard_leave()
        return np.frombuffer(raw, dtype).reshape(shape).copy()


def run(type_: str, *arrays: np.ndarray[Any, Any], **options: Any) -> np.ndarray[Any, Any]:
    """The output of one run."""
    operator = Native(type_, *arrays, **options)
    operator.run()
    return operator.fetch()
