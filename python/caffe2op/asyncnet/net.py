"""AsyncNet: a net whose operators run in dependency order on several workers, and of which
several runs can be in flight."""

from __future__ import annotations

import os
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from types import TracebackType
from typing import Any, NoReturn

from caffe2op._core import ffi, lib
from caffe2op._core.living import Living
from caffe2op._core.pickling import not_pickled
from caffe2op._core.suggest import suggest
from caffe2op.asyncnet import deadline, given
from caffe2op.asyncnet.barrier import AsyncNetBarrier
from caffe2op.asyncnet.deadline import check_timeout
from caffe2op.asyncnet.devices import Devices
from caffe2op.asyncnet.draw import Drawing, draw
from caffe2op.asyncnet.flight import Flight
from caffe2op.asyncnet.functions import FunctionProgram
from caffe2op.asyncnet.future import Result, RunFuture
from caffe2op.asyncnet.instance import MODES, Instance, Outputs
from caffe2op.asyncnet.program import NetProgram, Program
from caffe2op.asyncnet.threads import Threads
from caffe2op.core.names import BlobLike
from caffe2op.workspace.executors import processors
from caffe2op.workspace.observe import Observation, Observer
from caffe2op.workspace.observe import events as events_of
from caffe2op.workspace.observed import asks_for_trace
from caffe2op.workspace.profile import Profile, profile
from caffe2op.workspace.run import Runner, failure, new_run, on_main_thread, signalled
from caffe2op.workspace.store import NetLike, Workspace, current, net_def
from caffe2op.workspace.trace import Trace, chrome_trace

_shared_threads: list[Threads] = []  # of all nets that were given no number of workers
_everyone: Living[AsyncNet] = Living()


class AsyncNet:
    """Runs a core.Net, or a graph of Python functions (`from_functions`), in dependency order::

        net = AsyncNet(core_net)
        net.run()                                   # on the workspace's blobs, as RunNet
        future = net.submit({"x": batch})           # blobs of its own; also: await future
        for outputs in net.map(batches): ...        # several in flight, results in order

    Args:
        workspace: where its blobs are (a Workspace); the current one by default
        workers: threads for one run, the caller among them; by default as many as there are
            processors, or the net's num_workers. Threads are shared by all nets that do not
            say how many they want
        inputs: blobs to be given with `submit` that need not be in the workspace yet
        shared: blobs that the net writes and that all runs in flight share, where each would
            have its own
        outputs: what `submit` gives; by default the net's external outputs, or else the blobs
            that it writes and does not read after that
        devices: the workers of each device, {"cpu:0": 2, "cpu:1": 1} (devices.py says what else):
            an operator then runs on the device of its device_option only
        barriers: AsyncNetBarrier objects: groups of operators before other groups
        mode: "auto" measures and takes what is fastest; "serial", "static" and "dynamic" are
            always the same way

    Any run gives what the simple net gives, for deterministic operators. `run` and `result`
    block, without the GIL; Ctrl-C ends a run of the main thread. May be used from any thread; two
    calls of `run` at the same time run side by side on the same blobs.
    """

    def __init__(
        self,
        net: NetLike,
        workspace: Workspace | None = None,
        workers: int | None = None,
        *,
        inputs: Iterable[BlobLike] = (),
        shared: Iterable[BlobLike] = (),
        outputs: Iterable[BlobLike] | None = None,
        devices: Devices | None = None,
        barriers: Iterable[AsyncNetBarrier] = (),
        mode: str = "auto",
    ) -> None:
        definition = net_def(net)
        count = given.workers(workers) or definition.num_workers or processors()
        given.optional("workspace", workspace, Workspace)
        self._set_up(
            mode,
            workers,
            lambda: NetProgram(
                definition,
                workspace or current.workspace,
                count,
                given.blobs("inputs", inputs),
                given.blobs("shared", shared),
                None if outputs is None else given.blobs("outputs", outputs),
                given.several("barriers", barriers, AsyncNetBarrier),
                devices if devices is None else given.mapping("devices", devices),
                self._prepare,
            ),
        )
        if definition.type == "prof_dag":
            self.enable_profile()
        if asks_for_trace(definition):
            self.enable_trace()

    @classmethod
    def from_functions(
        cls,
        functions: Mapping[str, Callable[..., Any]],
        edges: Iterable[tuple[str, str]] = (),
        order: Iterable[tuple[str, str]] = (),
        *,
        workers: int | None = None,
        outputs: Iterable[str] | None = None,
        devices: Devices | None = None,
        device_of: Mapping[str, str] | None = None,
        mode: str = "auto",
    ) -> AsyncNet:
        """A net of Python functions by name.

        edges: (before, after): `after` is called with the result of `before`; a function gets
        its results in the order of its edges. A `before` that is no function is an input, to be
        given with each run. order: pairs of functions of which the first must be done before
        the second begins, without its result.

        `outputs` are the functions whose results a run gives; by default those that no edge
        leaves. `device_of` names the device of functions, "cpu:0" by default. ValueError for a name
        that is unknown, and for edges that go round in a circle.
        """
        given.mapping("functions", functions)
        edges, order = given.pairs("edges", edges), given.pairs("order", order)
        outputs = None if outputs is None else given.names("outputs", outputs)
        if devices is not None:
            given.mapping("devices", devices)
        if device_of is not None:
            given.mapping("device_of", device_of)
        self = cls.__new__(cls)
        count = given.workers(workers) or processors()
        self._set_up(
            mode,
            workers,
            lambda: FunctionProgram(
                functions, edges, order, outputs, count, devices, device_of or {}, self._prepare
            ),
        )
        return self

    def _set_up(self, mode: str, workers: int | None, make: Callable[[], Program]) -> None:
        if not isinstance(mode, str) or mode not in MODES:
            raise ValueError(
                f"mode must be one of {', '.join(MODES)}, got {mode!r}{suggest(str(mode), MODES)}"
            )
        self._mode = mode
        self._closed = False
        # The error of a run on the workspace's blobs, where there can be none.
        self._barred: Callable[[], Exception] | None = None
        self._observation: Observation | None = None
        self._program = make()
        if self._program.needed:
            self._barred = self._missing_error
        self._primary: Instance = self._program.shared_instance()
        execute = self._primary.execute
        self._runner = Runner(execute, self._primary.nets, self._primary)
        self._run = execute.direct(self._runner, self._primary.native)
        own = None if workers is None else Threads(self._program.workers, weakref.ref(self))
        self._flight = Flight(self._program, own or shared(), MODES[mode])
        self._end: Callable[[], object] = own.end if own else lambda: None
        _everyone.add(self)

    def _prepare(self, one: Any) -> None:
        """Called with each c2_async of this net before its first run."""
        lib.c2_async_mode(one, MODES[self._mode])
        if self._observation is not None:
            self._observation.prepare(one)

    # ---- running ---------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The net's name, which errors, reports and traces give."""
        return self._program.name

    @property
    def workers(self) -> int:
        """Threads for one run, the caller among them."""
        return self._program.workers

    @property
    def outputs(self) -> Outputs:
        """What the last `run` gave, by name."""
        return self._primary.outputs

    def run(self, timeout: float | None = None) -> Outputs:
        """Run once, on the workspace's blobs, and return `outputs`.

        Raises what the first operator to fail raised (RuntimeError when it reported failure),
        with the operator and its inputs named; the rest of the run is skipped, and the net can
        run again. TimeoutError when `timeout` seconds are over: the run ends after the operators
        that are running.
        """
        if self._barred is not None:
            raise self._barred()
        if self._observation is not None:
            with self._observation.watch:
                self._run_now(timeout)
        elif timeout is None:
            self._run(False)
        else:
            self._run_now(timeout)
        return self._primary.outputs

    def _run_now(self, timeout: float | None) -> None:
        if timeout is None:
            self._runner(False)
        else:
            self._run_until(check_timeout(timeout))

    def _run_until(self, until: float | None) -> None:
        assert until is not None
        run = new_run(on_main_thread())

        def stop() -> None:
            lib.c2_run_stop(run)

        end = deadline.clock.at(until, stop)
        try:
            status = self._primary.execute(run)
        finally:
            end.call_off()
        if status and status != lib.C2_STOPPED:
            raise failure(run, self._primary.nets)
        if run.stop:
            raise signalled() or TimeoutError(
                f"net {self.name!r}: the run was stopped at its deadline"
            )

    def submit(
        self, inputs: Mapping[str, Any] | None = None, timeout: float | None = None
    ) -> RunFuture:
        """Queue a run on blobs of its own and return at once. `inputs` are fed to it alone,
        other blobs from outside are shared. The future gives the outputs as a dict; it can be
        awaited, and cancelled while it runs. It raises TimeoutError when it is not done
        `timeout` seconds from now."""
        if self._closed:
            raise self._closed_error()
        values = {} if inputs is None else given.mapping("inputs", inputs)
        named = {str(name): value for name, value in values.items()}
        return self._flight.submit(named, check_timeout(timeout))

    def map(
        self,
        stream: Iterable[Mapping[str, Any]],
        inflight: int | None = None,
        timeout: float | None = None,
    ) -> Iterator[Result]:
        """The outputs for each of a stream of inputs, in order. Up to `inflight` runs (twice the
        workers, by default) are in flight, so input is taken while earlier input is computed.
        `timeout` is for each run. An error ends it; runs in flight are then cancelled."""
        if isinstance(stream, Mapping) or not isinstance(stream, Iterable):
            raise TypeError(f"stream must give a dict of inputs for each run, got {stream!r}")
        most = 2 * self.workers if inflight is None else inflight
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            raise ValueError(f"inflight must be an int of 1 or more, got {inflight!r}")
        return self._map(stream, most, timeout)

    def _map(
        self, stream: Iterable[Mapping[str, Any]], most: int, timeout: float | None
    ) -> Iterator[Result]:
        flying: deque[RunFuture] = deque()
        try:
            for inputs in stream:
                flying.append(self.submit(inputs, timeout))
                if len(flying) >= most:
                    yield flying.popleft().result()
            while flying:
                yield flying.popleft().result()
        finally:
            for future in flying:
                future.cancel()

    # ---- the end -----------------------------------------------------------------------------

    def close(self, cancel: bool = False) -> None:
        """Take no more runs, and wait for those in flight; with `cancel`, stop them first."""
        self._closed = True
        self._barred = self._closed_error
        self._flight.drain(CancelledError() if cancel else None)
        self._end()

    def _closed_error(self) -> RuntimeError:
        return RuntimeError(f"net {self.name!r} is closed")

    def _missing_error(self) -> ValueError:
        return ValueError(
            f"net {self.name!r}: run has no value for input {min(self._program.needed)!r}; "
            "give it to submit or map"
        )

    def __enter__(self) -> AsyncNet:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(cancel=error is not None)

    def __repr__(self) -> str:
        closed = ", closed" if self._closed else ""
        return (
            f"AsyncNet({self.name!r}, {len(self._program.operators)} operators, "
            f"{self.workers} workers, {self._mode}{closed})"
        )

    def __reduce__(self) -> NoReturn:
        raise not_pickled(self, "send the net, and make an AsyncNet of it there")

    # ---- what it did -------------------------------------------------------------------------

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


def shared() -> Threads:
    """The threads of all nets that do not want their own."""
    if not _shared_threads:
        _shared_threads.append(Threads(processors()))
    return _shared_threads[0]


def _after_fork() -> None:
    for net in _everyone:
        net._flight.after_fork()


os.register_at_fork(after_in_child=_after_fork)
