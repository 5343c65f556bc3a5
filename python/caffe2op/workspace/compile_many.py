"""Nets of many operators to C, all operators at once.

This does what compile.py does one operator after the other, where the definitions are as they
nearly always are: each operator type is looked up once, what is alike is compared once, each blob
is found once, and C is called once. Only operators that have something of their own (arguments, a
function, an output in place) are looked at one by one. Whatever might be wrong is left to
compile.py: it finds the operator that is, and the words for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, overload

import numpy as np

from caffe2op._core import ffi, lib
from caffe2op.core.defs import NetDef
from caffe2op.operators import schema
from caffe2op.workspace.blob import Blob
from caffe2op.workspace.columns import Columns, Ints
from caffe2op.workspace.python_calls import PythonOperator, handle_of
from caffe2op.workspace.run import NetInfo, OperatorInfo, address
from caffe2op.workspace.scope import Scope

_NO_LIMIT = 2**31
FEW = 24  # operators, of which one after the other is as quick


class Operators(Sequence[OperatorInfo]):
    """What messages say of each operator, put together for who asks."""

    __slots__ = ("_blobs", "_inputs", "_labels", "_outputs", "_types")

    def __init__(self, columns: Columns, blobs: Sequence[Blob]) -> None:
        # Not the definitions, which whoever made them may want to be gone.
        self._types, self._labels, self._blobs = columns.types, columns.labels, blobs
        # One element of a memoryview is an int at a third of what it takes NumPy.
        c = columns
        self._inputs = [a.data for a in (c.reads_at, c.n_in, c.reads)]
        self._outputs = [a.data for a in (c.outs_at, c.n_out, c.outs)]

    def __len__(self) -> int:
        return len(self._types)

    @overload
    def __getitem__(self, index: int) -> OperatorInfo: ...
    @overload
    def __getitem__(self, index: slice) -> list[OperatorInfo]: ...
    def __getitem__(self, index: int | slice) -> OperatorInfo | list[OperatorInfo]:
        if isinstance(index, slice):
            return [self[k] for k in range(len(self))[index]]
        blobs = [
            [self._blobs[b] for b in numbers[at[index] : at[index] + n[index]].tolist()]
            for at, n, numbers in (self._inputs, self._outputs)
        ]
        return self._types[index], self._labels[index], blobs[0], blobs[1]


class Built(NamedTuple):
    """What a CompiledNet is made of (compile.py)."""

    info: NetInfo
    waits: bool
    foreign: bool
    keep: list[Any]


class _Kinds:
    """The operator types of a net, by number, and what C is to know of each."""

    def __init__(self, columns: Columns) -> None:
        self.types = list(dict.fromkeys(columns.types))
        self.entries = [schema.entry(type_) for type_ in self.types]
        at = {type_: k for k, type_ in enumerate(self.types)}
        self.of = np.fromiter(map(at.__getitem__, columns.types), np.int32, len(columns.types))
        self.kernels = [ffi.NULL if b.kernel is None else kernel(b.kernel) for _, b in self.entries]
        self.handles = np.array(
            [0 if b.handle is None else address(b.handle) for _, b in self.entries], np.uintp
        )
        # Of operators that give none.
        self.arguments = np.array(
            [address(s.packed.args) if s.args else 0 for s, _ in self.entries], np.uintp
        )
        self.n_args = np.array([len(s.args) for s, _ in self.entries], np.int32)

    def fit(self, columns: Columns) -> bool:
        """Whether each can be built here, and has as many inputs and outputs as it should."""
        if any(binding.inner is not None for _, binding in self.entries):
            return False
        if any(
            not found and binding.kernel is not None
            for found, (_, binding) in zip(self.kernels, self.entries, strict=True)
        ):
            return False
        return self._within(columns.n_in, [s.inputs for s, _ in self.entries]) and self._within(
            columns.n_out, [s.outputs for s, _ in self.entries]
        )

    def _within(self, counts: Ints, limits: list[tuple[int, int | None]]) -> bool:
        least = np.array([low for low, _ in limits])[self.of]
        most = np.array([_NO_LIMIT if high is None else high for _, high in limits])[self.of]
        return bool(((least <= counts) & (counts <= most)).all())

    def alone(self, columns: Columns) -> list[int]:
        """Operators that have something of their own."""
        own = np.array(
            [
                bool(s.check or s.enforce_in_place or s.needs or b.python or b.blocks)
                for s, b in self.entries
            ]
        )
        which = own[self.of] | (columns.n_out > 1)
        which[columns.in_place] = True
        if any(columns.args):
            which |= np.fromiter(map(bool, columns.args), bool, len(which))
        return np.flatnonzero(which).tolist()


# The table of C, as far as it was looked up; it never changes.
_kernels: dict[str, Any] = {}


def kernel(name: str) -> Any:
    """The native kernel of this name, or NULL."""
    found = _kernels.get(name)
    if found is None:
        found = lib.c2_kernel_find(name.encode())
        if found:
            _kernels[name] = found
    return found


def build(net: NetDef, columns: Columns, scope: Scope) -> Built | None:
    """The net on the blobs of the scope, where its outputs are made; None where it is not sure that
    all is well, or where the net runs others."""
    try:
        return _build(net, columns, scope)
    except (TypeError, ValueError):
        return None  # compile.py meets it again


def _build(net: NetDef, columns: Columns, scope: Scope) -> Built | None:
    n = len(columns.ops)
    kinds = _Kinds(columns)
    if not kinds.fit(columns) or not _all_given(net, columns):
        return None
    devices = dict(zip(map(id, columns.devices), columns.devices, strict=True))
    if any(d is not None and d.device_type != 0 for d in devices.values()):
        return None
    handles = kinds.handles[kinds.of]
    arguments, n_args = kinds.arguments[kinds.of], kinds.n_args[kinds.of]
    keep: list[Any] = [b.handle for _, b in kinds.entries if b.handle is not None]
    keep += [s.packed for s, _ in kinds.entries if s.args]
    waits = any(s.waits for s, _ in kinds.entries)
    functions = []
    kind_of = kinds.of.tolist()
    for v in kinds.alone(columns):
        op = columns.ops[v]
        known, binding = kinds.entries[kind_of[v]]
        schema.check_blobs(op, known)
        if op.arg or known.needs:
            packed = schema.pack_args(op, known)
            keep.append(packed)
            arguments[v] = address(packed.args)
        if binding.blocks is not None and not waits:
            waits = binding.blocks(op)
        if binding.python is not None:
            functions.append((v, binding.python(op)))
    for _, binding in kinds.entries:
        if binding.prepare is not None:
            binding.prepare()
    blobs = _bound(columns, scope)
    if blobs is None:
        return None
    c = lib.c2_net_new(n)
    if not c:
        raise MemoryError(f"net {net.name!r}: no memory for {n} operators")
    c = ffi.gc(c, lib.c2_net_free)
    info = NetInfo(net.name, Operators(columns, blobs), c)
    for v, function in functions:
        operator = PythonOperator(function, info, v)
        keep.append(operator)
        handles[v] = address(handle_of(operator))
    _fill(info, columns, kinds, handles, arguments, n_args, blobs)
    foreign = any(b.python or b.handle for _, b in kinds.entries)
    return Built(info, waits, foreign, keep)


def _all_given(net: NetDef, columns: Columns) -> bool:
    """Whether external inputs and outputs are what they should be."""
    uses = columns.uses
    given = set(net.external_input)
    if given and not given.issuperset(uses.outside):
        return False
    return all(name in given or name in uses.written for name in net.external_output)


def _bound(columns: Columns, scope: Scope) -> list[Blob] | None:
    """The blobs, by number; those that only the net makes are new in the scope."""
    found = scope.find_all(columns.names)
    missing = [name for name, blob in zip(columns.names, found, strict=True) if blob is None]
    if "" in missing or not columns.uses.outside.isdisjoint(missing):
        return None
    return scope.make_all(columns.names) if missing else found  # type: ignore[return-value]


def _fill(
    info: NetInfo,
    columns: Columns,
    kinds: _Kinds,
    handles: Any,
    arguments: Any,
    n_args: Any,
    blobs: Sequence[Blob],
) -> None:
    ints, longs = "int32_t[]", "int64_t[]"
    parts = {
        "kind": ffi.from_buffer(ints, kinds.of),
        "kernels": ffi.new("c2_kernel[]", kinds.kernels),
        "handles": ffi.from_buffer("void *[]", handles),
        "args": ffi.from_buffer("c2_arg *[]", arguments),
        "n_args": ffi.from_buffer(ints, n_args),
        "blobs": ffi.new("c2_blob *[]", [blob.c for blob in blobs]),
        "in_at": ffi.from_buffer(longs, columns.reads_at),
        "in": ffi.from_buffer(ints, columns.reads),
        "n_in": ffi.from_buffer(ints, columns.n_in),
        "out_at": ffi.from_buffer(longs, columns.outs_at),
        "out": ffi.from_buffer(ints, columns.outs),
        "n_out": ffi.from_buffer(ints, columns.n_out),
    }
    if lib.c2_net_fill(info.c, ffi.new("c2_operators *", parts)):
        raise MemoryError(f"net {info.name!r}: no memory for the blobs of its operators")
