"""The seam between a net's type and what runs it.

An executor is made once for a net that is built, from its c2_net and its definition, and then
called with a zeroed c2_run for each run, from any thread; it returns the run's status. Any
executor must give what the simple one gives, for deterministic operators.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from caffe2op._core import ffi, lib
from caffe2op._core.suggest import suggest
from caffe2op.core.defs import NetDef
from caffe2op.workspace import dependencies
from caffe2op.workspace.run import Execute


def processors() -> int:
    """How many processors this process may use: the number of workers where none is given."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def simple(net: Any, definition: NetDef) -> Execute:
    """Every operator in program order, on the calling thread."""
    execute: Execute = partial(lib.c2_net_run, net)
    return execute


def new_async(net: Any, graph: Any, workers: int) -> Any:
    """A c2_async of the net, freed with its last reference; the caller keeps net and graph."""
    found = lib.c2_async_new(net, graph, workers)
    if found == ffi.NULL:
        raise MemoryError("no memory for a net's executor")
    return ffi.gc(found, lib.c2_async_free)


class InDependencyOrder:
    """Operators that do not depend on each other run at the same time, where that is faster. A
    c2_async does one run at a time, so each thread that is inside has one of its own; `prepare`
    is called with each that is made, and `all` holds them. `after`, where it is set, is called
    after each run that went well, with the c2_async and when the run began (monotonic ns).
    `recorded`: the c2_asyncs write something down, so every run must be theirs."""

    __slots__ = ("_free", "_graph", "_net", "_prepare", "_workers", "after", "all", "recorded")

    def __init__(self, net: Any, graph: Any, workers: int,
                 prepare: Callable[[Any], None] | None = None) -> None:
        self._net = net
        self._graph = graph
        self._workers = workers
        self._prepare = prepare
        self.after: Callable[[Any, int], None] | None = None
        self.recorded = False
        self.all: list[Any] = []
        self._free = [self._new()]

    def _new(self) -> Any:
        found = new_async(self._net, self._graph, self._workers)
        if self._prepare is not None:
            self._prepare(found)
        self.all.append(found)
        return found

    def __call__(self, run: Any) -> int:
        try:
            one = self._free.pop()
        except IndexError:
            one = self._new()
        try:
            if self.after is None:
                return int(lib.c2_async_run(one, run))
            begin = time.monotonic_ns()
            result = int(lib.c2_async_run(one, run))
            if result == 0 and not run.stop:
                self.after(one, begin)
            return result
        finally:
            self._free.append(one)


def in_dependency_order(net: Any, definition: NetDef) -> Execute:
    """On as many workers as the net asks for, or as there are processors."""
    return InDependencyOrder(net, dependencies.graph(definition), workers_of(definition))


def workers_of(definition: NetDef) -> int:
    """How many workers the net asks for, or as there are processors."""
    return definition.num_workers or processors()


def in_plan(net: Any, definition: NetDef) -> tuple[Any, list[Any]]:
    """What a c2_step runs the net with: its c2_async, or NULL for program order; and what must
    live as long."""
    if EXECUTORS[definition.type or "simple"] is simple:
        return ffi.NULL, []
    graph = dependencies.graph(definition)
    found = new_async(net, graph, workers_of(definition))
    return found, [graph, found]


EXECUTORS: dict[str, Callable[[Any, NetDef], Execute]] = {
    "simple": simple,
    "dag": in_dependency_order,
    "async_dag": in_dependency_order,
    "async_polling": in_dependency_order,
    "async_scheduling": in_dependency_order,
    "parallel": in_dependency_order,
    "prof_dag": in_dependency_order,
}


def check_type(net: str, type_: str) -> None:
    """ValueError for a type of net that is unknown; none is "simple"."""
    if type_ and type_ not in EXECUTORS:
        raise ValueError(f"net {net!r}: unknown type {type_!r}{suggest(type_, EXECUTORS)}")
