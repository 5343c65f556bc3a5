"""The seam between a net's type and what runs it.

An executor is made once for a net that is built, from its c2_net and its definition, and then
called with a zeroed c2_run for each run, from any thread; it returns the run's status. Any
executor must give what the simple one gives, for deterministic operators.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, Protocol

from caffe2op._core import ffi, lib
from caffe2op._core.suggest import suggest
from caffe2op.core.defs import NetDef
from caffe2op.workspace import dependencies
from caffe2op.workspace.run import Runner, direct


def processors() -> int:
    """How many processors this process may use: the number of workers where none is given."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Executor(Protocol):
    """Runs one net."""

    def __call__(self, run: Any) -> int: ...

    def direct(self, runner: Runner, native: bool) -> Callable[..., bool]:
        """What does the same as `runner`, which runs this executor, in the quickest way there is
        (run.py says what native means)."""


class InProgramOrder:
    """Every operator in program order, on the calling thread."""

    __slots__ = ("_net",)

    def __init__(self, net: Any) -> None:
        self._net = net

    def __call__(self, run: Any) -> int:
        return int(lib.c2_net_run(self._net, run))

    def direct(self, runner: Runner, native: bool) -> Callable[..., bool]:
        return direct(runner, self._net, ffi.NULL, native)


def simple(net: Any, definition: NetDef) -> Executor:
    """Every operator in program order, on the calling thread."""
    return InProgramOrder(net)


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

    __slots__ = (
        "_free",
        "_graph",
        "_net",
        "_prepare",
        "_prepare_first",
        "_workers",
        "after",
        "all",
        "recorded",
    )

    def __init__(
        self, net: Any, graph: Any, workers: int, prepare: Callable[[Any], None] | None = None
    ) -> None:
        self._net = net
        self._graph = graph
        self._workers = workers
        self._prepare = self._prepare_first = prepare
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
        taken = []  # by the direct way, which asks nobody
        try:
            while True:
                try:
                    one = self._free.pop()
                except IndexError:
                    one = self._new()
                taken.append(one)
                begin = time.monotonic_ns() if self.after else 0
                result = int(lib.c2_async_run(one, run))
                if result == lib.C2_BUSY and not run.claimed:
                    continue
                if self.after is not None and result == 0 and not run.stop:
                    self.after(one, begin)
                return result
        finally:
            self._free += taken

    def set_prepare(self, prepare: Callable[[Any], None]) -> None:
        """Call this too with each c2_async that is made from now on."""
        before = self._prepare_first

        def both(one: Any) -> None:
            if before is not None:
                before(one)
            prepare(one)

        self._prepare = both

    def direct(self, runner: Runner, native: bool) -> Callable[..., bool]:
        return direct(runner, self._net, self.all[0], native)


def in_dependency_order(net: Any, definition: NetDef) -> Executor:
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


EXECUTORS: dict[str, Callable[[Any, NetDef], Executor]] = {
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
