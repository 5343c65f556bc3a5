"""From a NetDef to what runs: checks, in program order, and then a c2_net bound to its blobs.

Checked here, before anything is changed: the net's type, each operator against its schema, that
each input is a blob that is there or that an earlier operator produces, external inputs and
outputs, the device, and that a kernel exists. A blob's kind and dtype are looked at when the
operator runs.
"""

from __future__ import annotations

from typing import Any

from caffe2op._core import ffi, lib
from caffe2op.core.defs import DeviceOption, NetDef, OperatorDef
from caffe2op.operators import schema
from caffe2op.workspace.blob import Blob
from caffe2op.workspace.executors import EXECUTORS, check_type
from caffe2op.workspace.python_calls import PythonOperator
from caffe2op.workspace.run import NetInfo, OperatorInfo, Runner, address
from caffe2op.workspace.scope import Scope

_kernels: dict[str, Any] = {}  # the table of C, which never changes


class CompiledNet:
    """A c2_net with all that it points to, and how it is run. Constant: any number of threads may
    run it at the same time, and what its operators do to shared blobs then is theirs to order.
    """

    __slots__ = ("__weakref__", "c", "info", "keep", "run", "simple", "waits")

    def __init__(self, c: Any, info: NetInfo, net: NetDef, type_: str, waits: bool,
                 keep: list[Any]) -> None:
        self.c = c
        self.info = info
        self.waits = waits
        self.keep = keep
        self.simple = type_ == "simple"
        self.run = Runner(EXECUTORS[type_](c, net), {address(c): info}, keep)


def compile_net(net: NetDef, scope: Scope) -> CompiledNet:
    """Check the net and build it on the blobs of the scope; its outputs are made there. ValueError
    or TypeError that names the net, the operator and the blob or argument."""
    _check_net(net)
    type_ = check_type(net.name, net.type)
    found = [_check_operator(net, k, op) for k, op in enumerate(net.op)]
    _check_blobs(net, scope)
    c = lib.c2_net_new(len(net.op))
    if c == ffi.NULL:
        raise MemoryError(f"net {net.name!r}: no memory for {len(net.op)} operators")
    c = ffi.gc(c, lib.c2_net_free)
    blobs: list[list[Blob]] = []
    info = NetInfo(net.name, [OperatorInfo(op.type, op.name, tuple(op.input), tuple(op.output))
                              for op in net.op], blobs)
    keep: list[Any] = []
    for k, (op, (kernel, binding, packed)) in enumerate(zip(net.op, found, strict=True)):
        inputs = [scope.find_or_create(name) for name in op.input]
        outputs = [scope.find_or_create(name) for name in op.output]
        handle = ffi.NULL
        if kernel == ffi.NULL:
            python = PythonOperator(binding.python(op), inputs, outputs,
                                    (net.name, k, info.ops[k]))
            handle = python.handle
            keep.append(python)
        elif binding.handle is not None:
            handle = binding.handle(op)
            keep.append(handle)
        blobs.append(inputs)
        keep.append((inputs, outputs, packed))
        result = lib.c2_net_set(c, k, kernel, handle, len(inputs), [b.c for b in inputs],
                                len(outputs), [b.c for b in outputs], packed.args, packed.n)
        if result:
            raise MemoryError(f"net {net.name!r}: no memory for operator {k}")
    waits = any(schema.lookup(op.type).waits for op in net.op)
    return CompiledNet(c, info, net, type_, waits, keep)


def _check_net(net: NetDef) -> None:
    if not isinstance(net.name, str) or not net.name:
        raise ValueError(f"a net's name must be a non-empty string, got {net.name!r}")
    if not isinstance(net.num_workers, int) or net.num_workers < 0:
        raise ValueError(f"net {net.name!r}: num_workers must be an int of 0 or more, "
                         f"got {net.num_workers!r}")
    _check_device(f"net {net.name!r}", net.device_option)
    for name in (*net.external_input, *net.external_output):
        if not isinstance(name, str) or not name:
            raise ValueError(f"net {net.name!r}: external blobs are given by their names, "
                             f"got {name!r}")


def _check_device(where: str, device: DeviceOption | None) -> None:
    if device is not None and device.device_type != 0:
        raise ValueError(f"{where}: device_type {device.device_type!r} is not there; "
                         "accepted: 0 (CPU)")


def _check_operator(net: NetDef, k: int, op: OperatorDef) -> tuple[Any, Any, schema.PackedArgs]:
    """Kernel (NULL for Python), binding and packed arguments."""
    try:
        if not isinstance(op, OperatorDef):
            raise TypeError(f"expected a core.OperatorDef, got {op!r}")
        known = schema.lookup(op.type)
        schema.check_blobs(op, known)
        _check_device(schema.describe(op), op.device_option)
        binding = schema.binding(op.type)
        return _kernel(op, binding), binding, schema.pack_args(op, known)
    except (TypeError, ValueError) as error:
        raise type(error)(f"net {net.name!r}, operator {k}: {error}") from None


def _kernel(op: OperatorDef, binding: schema.Binding) -> Any:
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


def _check_blobs(net: NetDef, scope: Scope) -> None:
    """Every input and control input has a source; every external output is produced."""
    produced: set[str] = set()
    declared = set(net.external_input)
    for k, op in enumerate(net.op):
        for kind, names in (("input", op.input), ("control_input", op.control_input)):
            for name in names:
                if name in produced:
                    continue
                where = f"net {net.name!r}, operator {k}: {schema.describe(op)}"
                if declared and name not in declared:
                    raise ValueError(
                        f"{where}: Source for {kind} {name} is unknown: no earlier operator "
                        f"produces it and external_input does not have it"
                        f"{_suggest(name, produced | declared)}")
                if scope.find(name) is None:
                    raise ValueError(
                        f"{where}: {kind} blob {name!r} is not in the workspace and no earlier "
                        f"operator produces it{_suggest(name, produced | set(scope.names()))}")
        produced.update(op.output)
    for name in net.external_output:
        if name not in produced and name not in declared:
            raise ValueError(f"net {net.name!r}: external_output {name!r} is never produced"
                             f"{_suggest(name, produced)}")


def _suggest(name: str, known: set[str]) -> str:
    return schema.suggest(name, known) if len(known) <= 1000 else ""
