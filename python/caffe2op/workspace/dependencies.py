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

from array import array
from collections import defaultdict
from collections.abc import Iterable
from itertools import accumulate
from typing import Any

from caffe2op._core import ffi, lib
from caffe2op.core.defs import NetDef, OperatorDef
from caffe2op.operators import schema

Edge = tuple[int, int]


def graph(net: NetDef, more: Iterable[Edge] = ()) -> Any:
    """The c2_graph of the net, with `more` edges (operator indices, each forward). Thread-free:
    a graph never changes."""
    numbers: defaultdict[str | int, int] = defaultdict()
    numbers.default_factory = numbers.__len__  # a blob's number, in the order of appearance
    before: dict[int, list[int]] = {}
    after: set[int] = set()
    for u, v in more:
        if not 0 <= u < v < len(net.op):
            raise ValueError(
                f"net {net.name!r}: an edge from operator {u} to {v}; accepted: from "
                f"an earlier one to a later one of {len(net.op)} operators"
            )
        before.setdefault(u, []).append(v)
        after.add(v)
    reads = [[numbers[b] for b in (*op.input, *op.control_input)] for op in net.op]
    writes = [[numbers[b] for b in written(op)] for op in net.op]
    for u, later in before.items():
        reads[u] += [numbers[v] for v in later]
    for v in after:
        writes[v].append(numbers[v])
    found = lib.c2_graph_of_blobs(len(net.op), *_flat(reads), *_flat(writes), len(numbers))
    return owned(found, net.name)


def written(op: OperatorDef) -> list[str]:
    """The blobs that the operator changes: its outputs, and the inputs that it mutates."""
    mutates = schema.lookup(op.type).mutates
    return [*op.output, *(op.input[k] for k in mutates)] if mutates else op.output


def _flat(lists: list[list[int]]) -> tuple[Any, Any]:
    """Where each list begins (and the last one ends), and all of them in a row."""
    starts = array("q", accumulate(map(len, lists), initial=0))
    items = array("i", [number for one in lists for number in one])
    return (
        ffi.from_buffer("int64_t[]", starts),
        ffi.from_buffer("int32_t[]", items) if items else ffi.NULL,
    )


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
