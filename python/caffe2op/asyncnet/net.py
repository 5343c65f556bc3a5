"""AsyncNet: a net whose operators run in dependency order on several workers, and of which
several runs can be in flight."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from types import TracebackType
from typing import Any, NoReturn

from caffe2op._core import lib
from caffe2op._core.pickling import not_pickled
from caffe2op._core.suggest import suggest
from caffe2op.asyncnet import arguments, deadline
from caffe2op.asyncnet.barrier import AsyncNetBarrier
from caffe2op.asyncnet.deadline import check_timeout
from caffe2op.asyncnet.devices import Devices
from caffe2op.asyncnet.flight import Flight
from caffe2op.asyncnet.functions import FunctionProgram
from caffe2op.asyncnet.future import Result, RunFuture
from caffe2op.asyncnet.instance import MODES, Instance, Outputs
from caffe2op.asyncnet.observable import Observable
from caffe2op.asyncnet.program import NetProgram, Program
from caffe2op.asyncnet.threads import Threads, shared_threads
from caffe2op.core.names import BlobLike
from caffe2op.workspace.executors import processors
from caffe2op.workspace.observed import asks_for_trace
from caffe2op.workspace.run import Runner, failure, new_run, on_main_thread, signalled
from caffe2op.workspace.workspaces import NetLike, current, net_def


class AsyncNet(Observable):
    """Runs a core.Net, or a graph of Python functions (`from_functions`), in dependency order::

        net = AsyncNet(core_net)
        net.run()                                   # on the workspace's blobs, as RunNet
        future = net.submit({"x": batch})           # blobs of its own; also: await future
        for outputs in net.map(batches): ...        # several in flight, results in order

    Args:
        workspace: the name of the workspace (SwitchWorkspace makes them) that its blobs are in;
            by default the one that is current now
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
        workspace: str | None = None,
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
        count = arguments.workers(workers) or definition.num_workers or processors()
        home = current.workspace if workspace is None else current.named(workspace)
        self._set_up(
            mode,
            workers,
            lambda: NetProgram(
                definition,
                home,
                count,
                arguments.blobs("inputs", inputs),
                arguments.blobs("shared", shared),
                None if outputs is None else arguments.blobs("outputs", outputs),
                arguments.several("barriers", barriers, AsyncNetBarrier),
                devices if devices is None else arguments.mapping("devices", devices),
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
        arguments.mapping("functions", functions)
        edges, order = arguments.pairs("edges", edges), arguments.pairs("order", order)
        outputs = None if outputs is None else arguments.names("outputs", outputs)
        if devices is not None:
            arguments.mapping("devices", devices)
        if device_of is not None:
            arguments.mapping("device_of", device_of)
        self = cls.__new__(cls)
        count = arguments.workers(workers) or processors()
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
        self._program = make()
        if self._program.needed:
            self._barred = self._missing_error
        self._primary: Instance = self._program.shared_instance()
        execute = self._primary.execute
        self._runner = Runner(execute, self._primary.nets, self._primary)
        self._run = execute.direct(self._runner, self._primary.native)
        own = None if workers is None else Threads(self._program.workers, weakref.ref(self))
        self._flight = Flight(self._program, own or shared_threads(), MODES[mode])
        self._end: Callable[[], object] = own.end if own else lambda: None

    def _prepare(self, one: Any) -> None:
        """Called with each c2_async of this net before its first run."""
        lib.c2_async_mode(one, MODES[self._mode])
        if self._observation is not None:
            self._observation.prepare(one)

    # ---- running ---------------------------------------------------------------------------

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
        values = {} if inputs is None else arguments.mapping("inputs", inputs)
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
