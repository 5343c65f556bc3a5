"""Looking at nets that RunNet runs, in the three ways that Caffe2 has.

| there                              | here                                                       |
|------------------------------------|------------------------------------------------------------|
| net.AddObserver("TimeObserver")    | the same, once the net was created (core.Net)              |
| a net of type prof_dag             | its statistics, by operator and type: workspace.NetProfile |
| the net's argument enable_tracing  | its events as Chrome-trace JSON: workspace.NetTrace;       |
|                                    | written where one saves it, and nowhere unasked            |

All hold for the net as it was created: whoever creates it again, or resets the workspace, begins
anew. Plans build nets of their own (RunPlan), so these are not looked at.
"""

from __future__ import annotations

from typing import Any

from caffe2op._core import ffi, lib
from caffe2op._core.suggest import suggest
from caffe2op.core.defs import NetDef
from caffe2op.workspace import dependencies
from caffe2op.workspace.dependencies import Edge
from caffe2op.workspace.executors import InDependencyOrder
from caffe2op.workspace.observation import Observation, Observer, Operator, TimeObserver, events
from caffe2op.workspace.profile import Profile, profile
from caffe2op.workspace.run import NetInfo, Runner
from caffe2op.workspace.trace import Trace, chrome_trace

OBSERVERS = {"TimeObserver": TimeObserver}
TRACING = "enable_tracing"
EVENTS = 65536  # of each worker, the last ones


def asks_for_trace(net: NetDef) -> bool:
    """Whether the net has the argument enable_tracing, and it is not 0. ValueError for another
    value than 0 or 1, True or False."""
    given = [arg.value for arg in net.arg if arg.name == TRACING]
    for value in given:
        if not isinstance(value, int) or value not in (0, 1):
            raise ValueError(f"net {net.name!r}: argument {TRACING} must be 0 or 1, got {value!r}")
    return bool(given and given[-1])


def without_edges(info: NetInfo) -> InDependencyOrder:
    """What runs a net in program order, and can be looked at."""
    made = ffi.new("c2_graph **")
    lib.c2_graph_of_edges(len(info.ops), 0, ffi.NULL, ffi.NULL, made)

    def serial(one: Any) -> None:
        lib.c2_async_mode(one, lib.C2_MODE_SERIAL)

    return InDependencyOrder(info.c, dependencies.owned(made[0], info.name), 1, serial)


class Observed:
    """The runs of one created net; `run` is what RunNet calls while somebody looks at them."""

    def __init__(self, info: NetInfo, execute: InDependencyOrder, keep: object) -> None:
        self._name = info.name
        self._operators = [
            Operator(
                type_,
                name or ", ".join(b.name for b in outputs) or type_,
                "cpu:0",
                tuple(b.name for b in inputs),
                tuple(b.name for b in outputs),
            )
            for type_, name, inputs, outputs in info.ops
        ]
        self._execute = execute
        self._runner = Runner(execute, (info,), keep)
        self._observation = Observation(info.name, self._operators)
        self._edges: list[Edge] | None = None

    def run(self, allow_fail: bool) -> bool:
        """One run, and what is to be told of it."""
        with self._observation.watch:
            return self._runner(allow_fail)

    def _told(self) -> None:
        """What is to be written down has changed."""
        for one in self._execute.all:
            self._observation.prepare(one)
        self._execute.set_prepare(self._observation.prepare)
        self._observation.attach(self._execute)

    def keep_profile(self, edges: list[Edge]) -> None:
        """Measure each operator in all runs."""
        self._edges = edges
        self._observation.profiled = True
        self._told()

    def keep_trace(self) -> None:
        """Keep the last events."""
        self._observation.keep_events(EVENTS)
        self._told()

    def add(self, observer: str | Observer) -> Observer:
        """Add an observer: the name of a kind, or one of the caller's. Returns it."""
        if isinstance(observer, str):
            if observer not in OBSERVERS:
                raise ValueError(
                    f"net {self._name!r}: there is no observer {observer!r}; accepted: "
                    f"{', '.join(OBSERVERS)}, or an Observer{suggest(observer, OBSERVERS)}"
                )
            observer = OBSERVERS[observer]()
        elif not isinstance(observer, Observer):
            raise TypeError(
                f"net {self._name!r}: an observer is a name or an Observer, got {observer!r}"
            )
        self._observation.add(observer, None)
        try:
            self._told()
        except RuntimeError:  # it is running
            self._observation.remove(observer)
            raise
        return observer

    def remove(self, observer: Observer) -> None:
        """Remove an observer; ValueError when it is none."""
        self._observation.remove(observer)
        self._told()

    @property
    def count(self) -> int:
        """How many observers there are."""
        return self._observation.count

    @property
    def on(self) -> bool:
        """Whether anything is to be written down."""
        return self._observation.on

    def profile(self) -> Profile:
        """The statistics; RuntimeError where none are kept, and during a run."""
        if self._edges is None:
            raise RuntimeError(
                f"net {self._name!r}: no statistics are kept; give it the type 'prof_dag'"
            )
        return profile(
            self._name, self._operators, self._edges, self._execute.all, self._observation.watch
        )

    def trace(self) -> Trace:
        """The events; RuntimeError where none are kept, and during a run."""
        if self._observation.capacity < EVENTS:
            raise RuntimeError(
                f"net {self._name!r}: no events are kept; give it the argument {TRACING}=1"
            )
        return chrome_trace(self._name, self._operators, map(events, self._execute.all))
