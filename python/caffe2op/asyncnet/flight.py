"""Runs in flight: instances that are free, and which way a run takes.

A run that is alone uses all workers. While several are in flight each is done by one thread in
program order: runs do not depend on each other, so that keeps every processor busy without a
single wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from caffe2op._core import lib
from caffe2op._core.suggest import suggest
from caffe2op.asyncnet.future import Result, RunFuture
from caffe2op.asyncnet.instance import Instance
from caffe2op.asyncnet.program import Program
from caffe2op.asyncnet.threads import Threads
from caffe2op.workspace.observe import Observation
from caffe2op.workspace.run import failure, new_run, on_main_thread


class NetParts:
    """The operators of a net by name, and what comes after each."""

    def __init__(self, program: Program) -> None:
        self._program = program

    @property
    def count(self) -> int:
        return len(self._program.operators)

    @cached_property
    def _by_name(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for k, op in enumerate(self._program.operators):
            for name in {op.label, *op.outputs}:
                found.setdefault(name, []).append(k)
        return found

    @cached_property
    def _successors(self) -> list[list[int]]:
        found: list[list[int]] = [[] for _ in range(self.count)]
        for u, v in self._program.edges:
            found[u].append(v)
        return found

    def after(self, operator: str) -> list[int]:
        if operator not in self._by_name:
            raise ValueError(
                f"net {self._program.name!r} has no operator {operator!r}"
                f"{suggest(operator, self._by_name)}"
            )
        found = set(self._by_name[operator])
        left = list(found)
        while left:
            new = set(self._successors[left.pop()]) - found
            found |= new
            left += new
        return sorted(found, reverse=True)

    def left_out(self, output: str, future: RunFuture) -> bool:
        """Whether the operator that writes the output last was skipped."""
        writers = self._by_name.get(output)  # None: an input, passed on
        return writers is not None and future.left_out(writers[-1])


class Flight:
    """The runs of one net that were submitted."""

    def __init__(self, program: Program, threads: Threads, mode: int) -> None:
        self._program = program
        self._parts = NetParts(program)
        self.threads = threads
        self._mode = mode
        # A mode that was asked for, and devices, hold for every run.
        self._always_alone = mode != lib.C2_MODE_AUTO or program.placed
        self._observation: Observation | None = None
        self._free: dict[frozenset[str], list[Instance]] = {}
        self.instances: list[Instance] = []
        self._futures: set[RunFuture] = set()  # not done; one operation on it is atomic

    def submit(self, inputs: Mapping[str, Any], until: float | None) -> RunFuture:
        """Queue a run."""
        self._program.check_inputs(inputs)
        futures = self._futures
        future = RunFuture(
            lambda f: self._do(f, inputs), until, self.threads, futures.discard, self._parts
        )
        futures.add(future)
        try:
            self.threads.put(future)
        except (
            BaseException
        ):  # the interpreter exits, or a signal's handler: nobody gets the future
            future.cancel()
            raise
        if future.done():  # at its deadline, perhaps, before it was added
            futures.discard(future)
        return future

    def _take(self, names: frozenset[str]) -> Instance:
        try:
            return self._free.setdefault(names, []).pop()
        except IndexError:
            found = self._program.instance(names)
            if self._observation is not None:
                self._observation.attach(found.execute)
            self.instances.append(found)
            return found

    def _do(self, future: RunFuture, inputs: Mapping[str, Any]) -> Result:
        names = frozenset(inputs)
        instance = self._take(names)
        run = new_run(on_main_thread())
        try:
            instance.feed(inputs)
            future.begin(run)
            status = 0 if run.stop else self._execute(instance, run)
            if status:
                raise failure(run, instance.nets)
            # Stopped from outside: the future knows why, and the outputs are not whole.
            if run.stop:
                return {}
            return self._of_the_rest(future, instance) if run.skip else instance.fetch()
        finally:
            self._free[names].append(instance)

    def _of_the_rest(self, future: RunFuture, instance: Instance) -> Result:
        """The outputs of operators that were not skipped."""
        found = instance.outputs
        return {n: found[n] for n in found if not self._parts.left_out(n, future)}

    def _execute(self, instance: Instance, run: Any) -> int:
        alone = self._always_alone or self.threads.alone()
        if self._observation is None:
            return (instance.execute if alone else instance.serial)(run)
        set_mode(instance, self._mode if alone else lib.C2_MODE_SERIAL)
        with self._observation.watch:
            return instance.execute(run)

    def observe(self, observation: Observation | None) -> None:
        """From now on every run is to be written down, or none any more."""
        self._observation = observation
        for instance in self.instances:
            set_mode(instance, self._mode)

    def drain(self, stop: BaseException | None) -> None:
        """Wait until no run is queued or running; with `stop`, end them with it."""
        if stop is not None:
            for future in list(self._futures):
                future.abandon(stop)
        while left := [f for f in list(self._futures) if not f.done()]:
            for future in left:
                self.threads.help(future)  # does it here, where that may be
                future.wait()

    def after_fork(self) -> None:
        """In the child: instances that were in use are the parent's."""
        self._futures = set()


def set_mode(instance: Instance, mode: int) -> None:
    """What the instance's runs will do."""
    for one in instance.execute.all:
        lib.c2_async_mode(one, mode)
