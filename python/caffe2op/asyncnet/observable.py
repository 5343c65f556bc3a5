"""What an AsyncNet tells about its runs: how it decided to run, profiles, traces, observers, and a
drawing. Nothing of it costs anything until it is asked for (workspace/observation.py)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from caffe2op._core import ffi, lib
from caffe2op.asyncnet.draw import Drawing, draw
from caffe2op.asyncnet.flight import Flight
from caffe2op.asyncnet.instance import MODES, Instance
from caffe2op.asyncnet.program import Program
from caffe2op.workspace.observation import Observation, Observer
from caffe2op.workspace.observation import events as events_of
from caffe2op.workspace.profile import Profile, profile
from caffe2op.workspace.trace import Trace, chrome_trace


class Observable:
    """The half of AsyncNet that looks; the other half sets these before its first run."""

    _program: Program
    _primary: Instance  # the one that `run` runs
    _flight: Flight
    _observation: Observation | None = None  # made when something is asked for

    @property
    def name(self) -> str:
        """The net's name, which errors, reports and traces give."""
        return self._program.name

    def report(self) -> dict[str, Any]:
        """What `run` measured and decided: mode of the next run, runs, serial_ns (the sum of the
        operators' costs), critical_ns (the longest path), planned_ns (0: no schedule was made),
        and the best time of each mode in ns (0: never tried). During a run, each figure is as of
        some moment of it."""
        now = ffi.new("c2_async_report *")
        lib.c2_async_report_now(self._primary.execute.all[0], now)
        names = list(MODES)
        return {
            "mode": names[now.mode],
            "workers": now.workers,
            "runs": now.runs,
            "serial_ns": now.serial_ns,
            "critical_ns": now.critical_ns,
            "planned_ns": now.planned_ns,
            "took_ns": {name: now.took_ns[code] for name, code in MODES.items() if code},
        }

    def _observe(self) -> Observation:
        if self._observation is None:
            self._observation = Observation(self.name, self._program.operators)
        return self._observation

    def _asyncs(self) -> list[Any]:
        return [one for instance in self._instances() for one in instance.execute.all]

    def _instances(self) -> list[Instance]:
        return [self._primary, *self._flight.instances]

    def _told(self, observation: Observation) -> None:
        """What is to be written down has changed."""
        for one in self._asyncs():
            observation.prepare(one)
        self._flight.observe(observation if observation.on else None)
        for instance in self._instances():
            observation.attach(instance.execute)

    def enable_profile(self, on: bool = True) -> None:
        """Measure each operator in the following runs, from zero again (about 20 ns an operator);
        with `on` false, no longer. RuntimeError while a run is on."""
        observation = self._observe()
        observation.profiled = on
        if on:
            observation.watch.restart()
        self._told(observation)

    def enable_trace(self, events: int = 65536) -> None:
        """Keep the last `events` operators that each worker ran; 0: none. RuntimeError while a run
        is on."""
        if isinstance(events, bool) or not isinstance(events, int) or events < 0:
            raise ValueError(f"events must be an int of 0 or more, got {events!r}")
        observation = self._observe()
        observation.keep_events(events)
        self._told(observation)

    def add_observer(self, observer: Observer, operators: Iterable[str] | None = None) -> None:
        """Tell `observer` of each run, and of each operator or those with these names or types.
        RuntimeError while a run is on."""
        observation = self._observe()
        observation.add(observer, operators)
        try:
            self._told(observation)
        except RuntimeError:  # it is running
            observation.remove(observer)
            raise

    def remove_observer(self, observer: Observer) -> None:
        """Tell it no more. ValueError when it was not added."""
        observation = self._observe()
        observation.remove(observer)
        self._told(observation)

    def profile(self) -> Profile:
        """Counts, means and deviations by operator and type, the critical path, the achieved
        parallelism; str() is a table. RuntimeError before enable_profile, and while a run is
        on."""
        if self._observation is None or not self._observation.profiled:
            raise RuntimeError(
                f"net {self.name!r}: nothing was measured; call enable_profile() before the runs"
            )
        return profile(
            self.name,
            self._program.operators,
            self._program.edges,
            self._asyncs(),
            self._observation.watch,
        )

    def trace(self) -> Trace:
        """The events kept, as Chrome-trace JSON; `save` writes it. RuntimeError before
        enable_trace, and while a run is on."""
        if self._observation is None or not self._observation.capacity:
            raise RuntimeError(
                f"net {self.name!r}: no events were kept; call enable_trace() before the runs"
            )
        return chrome_trace(self.name, self._program.operators, map(events_of, self._asyncs()))

    def draw(self) -> Drawing:
        """The graph, as DOT and as an SVG that notebooks show; coloured by time where there is a
        profile, and by device."""
        measured = self._observation is not None and self._observation.profiled
        return draw(
            self.name,
            self._program.operators,
            self._program.edges,
            self.profile() if measured else None,
        )

    def _repr_svg_(self) -> str:
        return self.draw().svg
