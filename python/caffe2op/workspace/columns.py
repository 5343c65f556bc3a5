"""A net's operators in columns: each field of all of them in a row, blobs by number.

A net of thousands of operators is looked at several times before it runs: which blobs it needs,
which it writes, what depends on what, what C is to be given. Each definition is read once, here;
the rest is arithmetic on arrays, which costs a fraction of going from operator to operator, and
leaves nothing behind that the garbage collector would have to visit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from caffe2op.core.defs import Argument, DeviceOption, NetDef, OperatorDef
from caffe2op.core.fields import check_fields
from caffe2op.operators import schema

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]

_LISTS = ("input", "output", "control_input", "arg")
_FIELDS = ("type", "name", "device_option", *_LISTS)


class Columns:
    """Operators in program order. Operator v reads the blobs reads[reads_at[v]] to
    reads[reads_at[v + 1]], of which the first n_in[v] are its inputs and the others its control
    inputs, and writes those of `outs` alike. names[b] is blob b's. Constant."""

    def __init__(self, ops: Sequence[OperatorDef], columns: dict[str, list[Any]]) -> None:
        self.ops = ops
        self.types: list[str] = columns["type"]
        self.labels: list[str] = columns["name"]
        self.args: list[list[Argument]] = columns["arg"]
        self.devices: list[DeviceOption | None] = columns["device_option"]
        inputs, controls, outputs = columns["input"], columns["control_input"], columns["output"]
        self.controlled = any(controls)
        self.n_in = n_reads = _lengths(inputs)
        self.n_out = _lengths(outputs)
        reads: Iterable[list[str]] = inputs
        if self.controlled:
            reads = chain.from_iterable(zip(inputs, controls, strict=True))
            n_reads = n_reads + _lengths(controls)
        self.reads_at, self.outs_at = _starts(n_reads), _starts(self.n_out)
        found = [*chain.from_iterable(reads), *chain.from_iterable(outputs)]
        self.plain = _all(found, str)
        numbers: defaultdict[str, int] = defaultdict()
        numbers.default_factory = numbers.__len__  # in the order of appearance
        every = np.fromiter(map(numbers.__getitem__, found), np.int32, len(found))
        self.names = list(numbers)
        self.reads, self.outs = np.split(every, [self.reads_at[-1]])
        ops_at = np.arange(len(ops), dtype=np.int32)
        self.reader = np.repeat(ops_at, n_reads)  # the operator of each of `reads`
        self.writer = np.repeat(ops_at, self.n_out)

    @cached_property
    def inputs(self) -> npt.NDArray[np.bool_]:
        """Which of `reads` are inputs; the others are control inputs."""
        if not self.controlled:
            return np.ones(len(self.reads), bool)
        within = np.arange(len(self.reads)) - self.reads_at[self.reader]
        return within < self.n_in[self.reader]

    @cached_property
    def in_place(self) -> Ints:
        """Operators with one output, which is an input too; some of them twice."""
        one = np.flatnonzero(self.n_out == 1)
        output = np.full(len(self.ops), -1, np.int32)
        output[one] = self.outs[self.outs_at[one]]
        found: Ints = self.reader[(output[self.reader] == self.reads) & self.inputs]
        return found

    @cached_property
    def uses(self) -> Uses:
        """What the net does with each of its blobs."""
        never = len(self.ops)
        first_write = np.full(len(self.names), never)
        first_write[self.outs[::-1]] = self.writer[::-1]  # of several, the last one stays
        first_read = np.full(len(self.names), never + 1)
        first_read[self.reads[::-1]] = self.reader[::-1]
        inputs, reader = self.reads[self.inputs], self.reader[self.inputs]
        first_input = np.full(len(self.names), never + 1)
        first_input[inputs[::-1]] = reader[::-1]
        last_input = np.full(len(self.names), -1)
        last_input[inputs] = reader
        unread = self.outs[self.writer >= last_input[self.outs]]
        return Uses(
            self._named(first_write < never),
            self._named(first_read <= first_write),
            self._named(first_input <= first_write),
            list(dict.fromkeys(map(self.names.__getitem__, unread.tolist()))),
        )

    def _named(self, which: npt.NDArray[np.bool_]) -> set[str]:
        return set(map(self.names.__getitem__, np.flatnonzero(which).tolist()))

    def writes(self) -> tuple[Longs, Ints]:
        """As outs_at and outs, with the inputs that operators mutate; ValueError for an unknown
        type."""
        mutates = {type_: schema.lookup(type_).mutates for type_ in dict.fromkeys(self.types)}
        if not any(mutates.values()):
            return self.outs_at, self.outs
        outs, reads = self.outs.tolist(), self.reads.tolist()
        places = self.outs_at[:-1].tolist(), self.n_out.tolist(), self.reads_at[:-1].tolist()
        lists = [
            [*outs[o : o + n], *(reads[r + k] for k in mutates[type_])]
            for type_, o, n, r in zip(self.types, *places, strict=True)
        ]
        return _starts(_lengths(lists)), np.fromiter(chain.from_iterable(lists), np.int32)


class Uses(NamedTuple):
    """What a net does with its blobs: those that it writes; those that it reads, or waits for,
    before it writes them or without; the same of inputs only; and, in order, those that no operator
    has as an input after their last writer."""

    written: set[str]
    outside: set[str]
    sources: set[str]
    unread: list[str]


def plain(net: NetDef) -> Columns | None:
    """The net's columns; None where a field is of another type than it nearly always is, which may
    be right or wrong."""
    ops = list(net.op)
    if not _all(ops, OperatorDef):
        return None
    columns = _read(ops)
    if not (
        _all(columns["type"], str)
        and all(_all(columns[field], list) for field in _LISTS)
        and _all(chain.from_iterable(columns["arg"]), Argument)
        and {DeviceOption, type(None)}.issuperset(map(type, columns["device_option"]))
    ):
        return None
    try:
        found = Columns(ops, columns)
    except TypeError:  # no hash
        return None
    return found if found.plain else None


def checked(net: NetDef) -> Columns:
    """The net's columns. TypeError that names the operator and the field where one holds something
    else."""
    found = plain(net)
    if found is not None:
        return found
    for index, op in enumerate(net.op):
        where = f"net {net.name!r}, operator {index}"
        if not isinstance(op, OperatorDef):
            raise TypeError(f"{where}: expected a core.OperatorDef, got {op!r}")
        check_fields(op, where)
    ops = list(net.op)
    columns = _read(ops)
    for field in ("input", "output", "control_input"):  # tuples, or strings of another kind
        columns[field] = [list(map(str, names)) for names in columns[field]]
    found = Columns(ops, columns)
    found.plain = False  # as they are given
    return found


def _read(ops: Sequence[OperatorDef]) -> dict[str, list[Any]]:
    return {field: list(map(attrgetter(field), ops)) for field in _FIELDS}


def _all(values: Iterable[object], kind: type) -> bool:
    """Whether all are of this very type."""
    return {kind}.issuperset(map(type, values))


def _lengths(lists: Sequence[Sequence[object]]) -> Ints:
    return np.fromiter(map(len, lists), np.int32, len(lists))


def _starts(lengths: Ints) -> Longs:
    """Where each begins in a row of all, and where the last one ends."""
    starts = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    return starts
