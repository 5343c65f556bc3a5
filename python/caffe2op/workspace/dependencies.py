"""Which operator of a net must come after which.

In program order: an input or control_input depends on the blob's last writer; an output on all
readers of the blob since its last writer, or, where there were none, on that writer. Any order
that keeps these dependencies gives what program order gives, for deterministic operators. An input
that the operator's schema says it mutates (a queue, a counter, an atomic bool) counts as an output
too: so a flag that is set and then checked reads true, as in the simple net.

A further edge, u before v, is a blob of its own that u reads and v writes, so the walk in C
(graph.c) needs to know of blobs only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from caffe2op._core import ffi, lib
from caffe2op.core.defs import NetDef, OperatorDef
from caffe2op.operators import schema
from caffe2op.workspace.columns import Columns, Ints, Longs, checked

Edge = tuple[int, int]


def graph(net: NetDef, more: Iterable[Edge] = (), read: Columns | None = None) -> Any:
    """The c2_graph of the net, with `more` edges (operator indices, each forward). Thread-free:
    a graph never changes. `read`: the net in columns, where it is known."""
    read = read or checked(net)
    reads_at, reads = read.reads_at, read.reads
    writes_at, writes = read.writes()
    n_blobs = len(read.names)
    extra = list(more)
    if extra:
        for u, v in extra:
            if not 0 <= u < v < len(net.op):
                raise ValueError(
                    f"net {net.name!r}: an edge from operator {u} to {v}; accepted: from "
                    f"an earlier one to a later one of {len(net.op)} operators"
                )
        before, after = np.array(extra, np.int32).T
        reads_at, reads = _with(reads_at, reads, before, n_blobs + after)
        after = np.unique(after)
        writes_at, writes = _with(writes_at, writes, after, n_blobs + after)
        n_blobs += len(net.op)
    longs, ints = "int64_t[]", "int32_t[]"
    found = lib.c2_graph_of_blobs(
        len(net.op),
        ffi.from_buffer(longs, reads_at),
        ffi.from_buffer(ints, reads),
        ffi.from_buffer(longs, writes_at),
        ffi.from_buffer(ints, writes),
        n_blobs,
    )
    return owned(found, net.name)


def _with(at: Longs, items: Ints, ops: Ints, added: Ints) -> tuple[Longs, Ints]:
    """Rows of items, one for each operator, where ops[k] has added[k] behind those it had."""
    more = np.bincount(ops, minlength=len(at) - 1)
    every = np.insert(items, at[ops + 1], added)
    return at + np.concatenate(([0], np.cumsum(more))), every


def written(op: OperatorDef) -> list[str]:
    """The blobs that the operator changes: its outputs, and the inputs that it mutates."""
    mutates = schema.lookup(op.type).mutates
    return [*op.output, *(op.input[k] for k in mutates)] if mutates else op.output


def owned(found: Any, name: str) -> Any:
    """A c2_graph that is freed with its last reference; MemoryError for NULL."""
    if found == ffi.NULL:
        raise MemoryError(f"net {name!r}: no memory for its dependencies")
    return ffi.gc(found, lib.c2_graph_free)


def edges(net: NetDef, more: Iterable[Edge] = ()) -> list[Edge]:
    """The same edges as pairs, sorted: for pictures, and to compare with."""
    found = set(more)
    writer: dict[str, int] = {}
    readers: dict[str, list[int]] = {}
    for v, op in enumerate(net.op):
        for name in (*op.input, *op.control_input):
            if name in writer:
                found.add((writer[name], v))
            readers.setdefault(name, []).append(v)
        for name in written(op):
            since = [u for u in readers.get(name, ()) if u != v]
            if not since and name in writer:
                since = [writer[name]]
            found.update((u, v) for u in since)
            writer[name] = v
            readers[name] = []
    return sorted(edge for edge in found if edge[0] != edge[1])
