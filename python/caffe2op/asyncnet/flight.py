"""Runs in flight: instances that are free, and which way a run takes.

A run that is alone uses all workers. While several are in flight each is done by one thread in
program order: runs do not depend on each other, so that keeps every processor busy without a
single wait.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from caffe2op._core import lib
from caffe2op._core.living import Living
from caffe2op._core.suggest import suggest
from caffe2op.asyncnet.future import Result, RunFuture, Submission
from caffe2op.asyncnet.instance import Instance
from caffe2op.asyncnet.program import Program
from caffe2op.asyncnet.threads import Threads
from caffe2op.workspace.observation import Observation
from caffe2op.workspace.run import failure, new_run, on_main_thread

_everyone: Living[Flight] = Living()


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

    def left_out(self, output: str, submission: Submission) -> bool:
        """Whether the operator that writes the output last was skipped."""
        writers = self._by_name.get(output)  # None: an input, passed on
        return writers is not None and submission.left_out(writers[-1])


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
        self._pending: set[Submission] = set()  # not done; one operation on it is atomic
        _everyone.add(self)

    def submit(self, inputs: Mapping[str, Any], until: float | None) -> RunFuture:
        """Queue a run."""
        self._program.check_inputs(inputs)
        pending = self._pending
        submission = Submission(
            lambda s: self._do(s, inputs), until, self.threads, pending.discard, self._parts
        )
        pending.add(submission)
        try:
            self.threads.put(submission)
        except BaseException:  # the interpreter exits, or by a signal's handler: nobody has it
            submission.future.cancel()
            raise
        if submission.future.done():  # at its deadline, perhaps, before it was added
            pending.discard(submission)
        return submission.future

    def _take(self, names: frozenset[str]) -> Instance:
        try:
            return self._free.setdefault(names, []).pop()
        except IndexError:
            found = self._program.instance(names)
            if self._observation is not None:
                self._observation.attach(found.execute)
            self.instances.append(found)
            return found

    def _do(self, submission: Submission, inputs: Mapping[str, Any]) -> Result:
        names = frozenset(inputs)
        instance = self._take(names)
        run = new_run(on_main_thread())
        try:
            instance.feed(inputs)
            submission.begin(run)
            status = 0 if run.stop else self._execute(instance, run)
            if status:
                raise failure(run, instance.nets)
            # Stopped from outside: the future knows why, and the outputs are not whole.
            if run.stop:
                return {}
            return self._of_the_rest(submission, instance) if run.skip else instance.fetch()
        finally:
            self._free[names].append(instance)

    def _of_the_rest(self, submission: Submission, instance: Instance) -> Result:
        """The outputs of operators that were not skipped."""
        found = instance.outputs
        return {n: found[n] for n in found if not self._parts.left_out(n, submission)}

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
            for submission in list(self._pending):
                submission.abandon(stop)
        while left := [s for s in list(self._pending) if not s.future.done()]:
            for submission in left:
                submission.help()  # does it here, where that may be
                submission.wait()

    def after_fork(self) -> None:
        """In the child: instances that were in use are the parent's."""
        self._pending = set()


def set_mode(instance: Instance, mode: int) -> None:
    """What the instance's runs will do."""
    for one in instance.execute.all:
        lib.c2_async_mode(one, mode)


def _after_fork() -> None:
    for flight in _everyone:
        flight.after_fork()


os.register_at_fork(after_in_child=_after_fork)
