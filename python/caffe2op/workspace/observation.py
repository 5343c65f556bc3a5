"""What is written down while a net runs: profile, trace, and observers of the user.

Of nets that RunNet runs (observed.py) and of AsyncNet's. Nothing of it costs anything until it is
asked for: then each c2_async of the net is told, C takes the time of each operator, and native
operators stay native. An observer's methods are called by the thread that ran the net, after each
run, with what C has written down.

| state    | meaning                                             | changed by                    |
|----------|-----------------------------------------------------|-------------------------------|
| profiled | each operator's count, mean and deviation are kept  | enable_profile, between runs  |
| capacity | events kept for each worker; 0: none                | enable_trace, add_observer    |
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from caffe2op._core import ffi, lib, status
from caffe2op._core.suggest import suggest
from caffe2op.workspace.executors import InDependencyOrder


class Operator(NamedTuple):
    """What reports and pictures say about an operator."""

    type: str
    label: str
    device: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class Event(NamedTuple):
    """One operator's run: on which worker (0 is the calling thread), from when to when, in ns of
    the monotonic clock."""

    op: int
    worker: int
    begin_ns: int
    end_ns: int


class Observer:
    """What one can be told. Override what is wanted; an exception of a method is raised by the
    run."""

    def run_ended(self, seconds: float) -> None:
        """A run has ended well."""

    def operator_ended(self, operator: Operator, event: Event) -> None:
        """An operator has run, in the run that has just ended."""


class TimeObserver(Observer):
    """Mean times, as Caffe2's observer of that name gives them, in milliseconds."""

    def __init__(self) -> None:
        self._runs = self._operators = 0
        self._run_seconds = self._operator_ns = 0.0

    def run_ended(self, seconds: float) -> None:
        self._runs += 1
        self._run_seconds += seconds

    def operator_ended(self, operator: Operator, event: Event) -> None:
        self._operators += 1
        self._operator_ns += event.end_ns - event.begin_ns

    def average_time(self) -> float:
        """Of a run; 0 before the first."""
        return 1e3 * self._run_seconds / self._runs if self._runs else 0.0

    def average_time_children(self) -> float:
        """Of an operator; 0 before the first."""
        return 1e-6 * self._operator_ns / self._operators if self._operators else 0.0


class Stopwatch:
    """How long at least one run was on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._on = 0
        self._since = 0
        self.total_ns = 0
        self.runs = 0

    def restart(self) -> None:
        """From zero again."""
        with self._lock:
            self.total_ns = self.runs = 0
            self._since = time.monotonic_ns()

    def __enter__(self) -> None:
        with self._lock:
            if not self._on:
                self._since = time.monotonic_ns()
            self._on += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._on -= 1
            self.runs += 1
            if not self._on:
                self.total_ns += time.monotonic_ns() - self._since


class Observation:
    """What one net is asked to write down."""

    def __init__(self, name: str, operators: list[Operator]) -> None:
        self._name = name
        self._operators = operators
        self._observers: list[tuple[Observer, frozenset[int]]] = []
        self.profiled = False
        self._wanted = 0
        self.watch = Stopwatch()

    @property
    def capacity(self) -> int:
        """Events to keep for each worker: an observer needs those of one run."""
        return max(self._wanted, len(self._operators) if self._observers else 0)

    def keep_events(self, count: int) -> None:
        """Keep so many for each worker, for a trace."""
        self._wanted = count

    @property
    def on(self) -> bool:
        """Whether runs must go through a c2_async that writes something down."""
        return self.profiled or self.capacity > 0

    def prepare(self, one: Any) -> None:
        """Tell a c2_async, between its runs."""
        for result in (
            lib.c2_async_profile(one, self.profiled),
            lib.c2_async_trace(one, self.capacity),
        ):
            if result == lib.C2_BUSY:
                raise RuntimeError(
                    f"net {self._name!r} is running; what it writes down can be "
                    "changed between runs only"
                )
            status.check(result, f"net {self._name!r}: no memory for what it should write down")

    def attach(self, execute: InDependencyOrder) -> None:
        """Tell what holds the c2_asyncs, between runs."""
        execute.recorded = self.on
        execute.after = self.after_run if self._observers else None

    def add(self, observer: Observer, operators: Iterable[str] | None) -> None:
        """Add an observer for all operators, or for those of these names or types."""
        if not isinstance(observer, Observer):
            raise TypeError(
                f"net {self._name!r}: observer must be an Observer (an object, not its class), "
                f"got {observer!r}"
            )
        chosen = set(range(len(self._operators)))
        if operators is not None:
            if isinstance(operators, str) or not isinstance(operators, Iterable):
                raise TypeError(
                    f"net {self._name!r}: operators must be a list of names or types, "
                    f"got {operators!r}"
                )
            names = set(operators)
            chosen = {k for k, op in enumerate(self._operators) if names & {op.label, op.type}}
            known = {text for op in self._operators for text in (op.label, op.type)}
            for name in names - known:
                raise ValueError(
                    f"net {self._name!r}: no operator is called {name!r} or has that "
                    f"type{suggest(name, known)}"
                )
        self._observers.append((observer, frozenset(chosen)))

    @property
    def count(self) -> int:
        """How many observers there are."""
        return len(self._observers)

    def remove(self, observer: Observer) -> None:
        """Remove an observer; ValueError when it is none."""
        kept = [pair for pair in self._observers if pair[0] is not observer]
        if len(kept) == len(self._observers):
            raise ValueError(f"net {self._name!r}: {observer!r} does not observe it")
        self._observers = kept

    def after_run(self, one: Any, begin_ns: int) -> None:
        """A run on this c2_async has ended well: tell the observers."""
        seconds = (time.monotonic_ns() - begin_ns) / 1e9
        found = [event for event in events(one) if event.begin_ns >= begin_ns]
        for observer, chosen in self._observers:
            for event in found:
                if event.op in chosen:
                    observer.operator_ended(self._operators[event.op], event)
            observer.run_ended(seconds)


def check_idle(result: int) -> None:
    """RuntimeError when a c2_async was asked for what it wrote down while it was running."""
    if result == lib.C2_BUSY:
        raise RuntimeError("the net is running; what it wrote down can be read between runs only")


def events(one: Any) -> list[Event]:
    """The events that a c2_async has kept, by their beginning. RuntimeError during its run."""
    most, count = 1024, ffi.new("int64_t *")
    while True:
        kept = ffi.new("c2_event[]", most)
        check_idle(lib.c2_async_events(one, kept, most, count))
        if count[0] < most:
            break
        most *= 8
    found = [Event(e.op, e.worker, e.begin_ns, e.end_ns) for e in kept[0 : count[0]]]
    return sorted(found, key=lambda event: event.begin_ns)
