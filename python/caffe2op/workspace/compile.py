"""From a NetDef to what runs: checks, in program order, and a c2_net bound to its blobs.

Checked here: the net's type, each operator against its schema, that each input is a blob that is
there or that an earlier operator produces, external inputs and outputs, the device, and that a
kernel exists. Whatever is wrong, the scope is thrown away by the caller and nothing has changed.
A blob's kind and dtype are looked at when the operator runs.
"""

from __future__ import annotations

from typing import Any

from caffe2op._core import ffi, lib
from caffe2op.core.defs import DeviceOption, NetDef, OperatorDef
from caffe2op.operators import schema
from caffe2op.workspace.blob import Blob
from caffe2op.workspace.executors import EXECUTORS, check_type
from caffe2op.workspace.python_calls import PythonOperator
from caffe2op.workspace.run import NetInfo, Runner
from caffe2op.workspace.scope import Scope

_kernels: dict[str, Any] = {}  # the table of C, which never changes


class CompiledNet:
    """A c2_net with all that it points to. Constant: any number of threads may run it at the same
    time, and what its operators do to shared blobs then is theirs to order."""

    __slots__ = ("info", "keep", "run", "simple", "waits")

    def __init__(self, info: NetInfo, net: NetDef, type_: str, waits: bool,
                 keep: list[Any]) -> None:
        self.info = info
        self.waits = waits
        self.keep = keep
        self.simple = type_ == "simple"
        self.run = Runner(EXECUTORS[type_](info.c, net), [info], keep)


def compile_net(net: NetDef, scope: Scope) -> CompiledNet:
    """Check the net and build it on the blobs of the scope; its outputs are made there. ValueError
    or TypeError that names the net, the operator and the blob or argument."""
    _check_net(net)
    type_ = check_type(net.name, net.type)
    c = lib.c2_net_new(len(net.op))
    if c == ffi.NULL:
        raise MemoryError(f"net {net.name!r}: no memory for {len(net.op)} operators")
    builder = _Builder(net, NetInfo(net.name, [], ffi.gc(c, lib.c2_net_free)), scope)
    for op in net.op:
        try:
            builder.add(op)
        except (TypeError, ValueError) as error:
            where = f"net {net.name!r}, operator {len(builder.info.ops)}"
            raise type(error)(f"{where}: {error}") from None
    builder.check_outputs()
    return CompiledNet(builder.info, net, type_, builder.waits, builder.keep)


class _Builder:
    """Adds operators to a c2_net, each checked against those before it."""

    def __init__(self, net: NetDef, info: NetInfo, scope: Scope) -> None:
        self._net = net
        self._scope = scope
        # With external_input, each source must be one of these or an earlier output.
        self._sources = set(net.external_input)
        self._closed = bool(self._sources)
        self.info = info
        self.waits = False
        self.keep: list[Any] = []

    def add(self, op: OperatorDef) -> None:
        if not isinstance(op, OperatorDef):
            raise TypeError(f"expected a core.OperatorDef, got {op!r}")
        known, binding = schema.entry(op.type)
        schema.check_blobs(op, known)
        packed = schema.pack_args(op, known)
        if op.device_option is not None:
            _check_device(schema.describe(op), op.device_option)
        if op.control_input:
            self._inputs(op, "control_input", op.control_input)
        inputs = self._inputs(op, "input", op.input)
        outputs = [self._scope.find_or_create(name) for name in op.output]
        self._sources.update(op.output)
        self._set(op, known, binding, packed, inputs, outputs)

    def _inputs(self, op: OperatorDef, kind: str, names: list[str]) -> list[Blob]:
        blobs = []
        for name in names:
            if self._closed and name not in self._sources:
                raise ValueError(
                    f"{schema.describe(op)}: Source for {kind} {name} is unknown: no earlier "
                    "operator produces it and external_input does not have it"
                    f"{_suggest(name, self._sources)}")
            blob = self._scope.find(name)
            if blob is None:
                raise ValueError(
                    f"{schema.describe(op)}: {kind} blob {name!r} is not in the workspace and no "
                    f"earlier operator produces it{_suggest(name, set(self._scope.names()))}")
            blobs.append(blob)
        return blobs

    def _set(self, op: OperatorDef, known: schema.Schema, binding: schema.Binding,
             packed: schema.PackedArgs, inputs: list[Blob], outputs: list[Blob]) -> None:
        index = len(self.info.ops)
        kernel = _kernel(op, binding)
        self.info.ops.append((op.type, op.name, inputs, outputs))
        handle = ffi.NULL
        if binding.python is not None:
            handle = ffi.new_handle(PythonOperator(binding.python(op), self.info, index))
            self.keep.append(handle)
        elif binding.handle is not None:
            handle = binding.handle(op)
            self.keep.append(handle)
        if packed.n:
            self.keep.append(packed)
        result = lib.c2_net_set(
            self.info.c, index, kernel, handle, len(inputs), [b.c for b in inputs], len(outputs),
            [b.c for b in outputs], packed.args, packed.n)
        if result:
            raise MemoryError(f"net {self.info.name!r}: no memory for operator {index}")
        self.waits = self.waits or known.waits

    def check_outputs(self) -> None:
        for name in self._net.external_output:
            if name not in self._sources:
                raise ValueError(f"net {self.info.name!r}: external_output {name!r} is never "
                                 f"produced{_suggest(name, self._sources)}")


def _check_net(net: NetDef) -> None:
    if not isinstance(net.name, str) or not net.name:
        raise ValueError(f"a net's name must be a non-empty string, got {net.name!r}")
    if not isinstance(net.num_workers, int) or net.num_workers < 0:
        raise ValueError(f"net {net.name!r}: num_workers must be an int of 0 or more, "
                         f"got {net.num_workers!r}")
    if net.device_option is not None:
        _check_device(f"net {net.name!r}", net.device_option)
    for name in (*net.external_input, *net.external_output):
        if not isinstance(name, str) or not name:
            raise ValueError(f"net {net.name!r}: external blobs are given by their names, "
                             f"got {name!r}")


def _check_device(where: str, device: DeviceOption) -> None:
    if device.device_type != 0:
        raise ValueError(f"{where}: device_type {device.device_type!r} is not there; "
                         "accepted: 0 (CPU)")


def _kernel(op: OperatorDef, binding: schema.Binding) -> Any:
    """The native kernel, or NULL for a Python function."""
    if binding.kernel is None:
        return ffi.NULL
    kernel = _kernels.get(binding.kernel)
    if kernel is None:
        kernel = lib.c2_kernel_find(binding.kernel.encode())
        if kernel == ffi.NULL:
            raise ValueError(f"{schema.describe(op)}: there is no native kernel "
                             f"{binding.kernel!r}")
        _kernels[binding.kernel] = kernel
    return kernel


def _suggest(name: str, known: set[str]) -> str:
    return schema.suggest(name, known) if len(known) <= 1000 else ""
