"""What an AsyncNet runs, compiled: a core.Net on the blobs of a workspace.

A blob that the net writes belongs to a run, unless the net reads it before it writes it (then it
is state that the net updates: an iteration counter, a parameter) or the caller names it as
shared. What is given as input belongs to the run too. Everything else is the workspace's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cached_property
from typing import Any, Protocol

from caffe2op._core.suggest import suggest
from caffe2op.asyncnet.barrier import AsyncNetBarrier
from caffe2op.asyncnet.devices import Devices, device_name, lanes, moved_to_threads
from caffe2op.asyncnet.instance import Instance, Outputs
from caffe2op.core.defs import NetDef
from caffe2op.core.names import BlobLike
from caffe2op.workspace import columns, dependencies
from caffe2op.workspace.blob import Blob, Fetch
from caffe2op.workspace.compile import CompiledNet, check_net, compile_net
from caffe2op.workspace.dependencies import Edge
from caffe2op.workspace.executors import InDependencyOrder, check_type
from caffe2op.workspace.observation import Operator
from caffe2op.workspace.scope import Scope
from caffe2op.workspace.workspaces import Workspace

Prepare = Callable[[Any], None]


class Program(Protocol):
    """Makes instances of one net."""

    name: str
    workers: int
    needed: frozenset[str]  # inputs that each run must be given

    @property
    def operators(self) -> list[Operator]: ...
    @property
    def placed(self) -> bool: ...
    @property
    def edges(self) -> list[Edge]: ...
    def shared_instance(self) -> Instance: ...
    def instance(self, inputs: frozenset[str]) -> Instance: ...
    def check_inputs(self, names: Iterable[str]) -> None: ...


class NetProgram:
    """A NetDef in a workspace."""

    def __init__(
        self,
        net: NetDef,
        workspace: Workspace,
        workers: int,
        inputs: Iterable[str],
        shared: Iterable[str],
        outputs: Iterable[BlobLike] | None,
        barriers: Iterable[AsyncNetBarrier],
        devices: Devices | None,
        prepare: Prepare,
    ) -> None:
        check_net(net)
        check_type(net.name, net.type)
        read = columns.checked(net)
        self.name = net.name
        self.workers = workers
        self.needed: frozenset[str] = frozenset()  # what is not given is in the workspace
        self._prepare = prepare
        # A copy: whoever changes the definition later does not change this.
        net = self._given = replace(net, op=list(net.op), type="")
        self._extra = [edge for barrier in barriers for edge in barrier.edges(net)]
        self._lanes = None
        if devices is not None:
            self._lanes = lanes(
                devices, [device_name(net, op) for op in net.op], f"net {net.name!r}"
            )
            self.workers = self._lanes.total
            moved = moved_to_threads(net, devices)
            if moved is not net:
                net, read = moved, columns.checked(moved)
        self._net, self._read = net, read
        for name in inputs:
            workspace.create_blob(name)
        self._sources = read.uses.sources
        self._own = self._own_blobs(set(shared))
        self._outputs = self._check_outputs(outputs)
        # These blobs stay, whatever the workspace forgets later.
        self._compiled, self._blobs = workspace.compiled(self._compile_shared)
        self._graph: Any = dependencies.graph(self._net, self._extra, read)

    def _own_blobs(self, shared: set[str]) -> set[str]:
        written = self._read.uses.written
        unknown = shared - written
        if unknown:
            raise ValueError(
                f"net {self.name!r}: shared: {min(unknown)!r} is not written by any "
                f"operator; blobs that are only read are shared anyway"
                f"{suggest(min(unknown), written)}"
            )
        return written - self._sources - shared

    def _check_outputs(self, outputs: Iterable[BlobLike] | None) -> tuple[str, ...]:
        written = self._read.uses.written
        if outputs is None:
            return tuple(self._net.external_output) or tuple(self._read.uses.unread)
        names = tuple(str(name) for name in outputs)
        for name in names:
            if name not in written:
                raise ValueError(
                    f"net {self.name!r}: outputs: no operator writes {name!r}"
                    f"{suggest(name, written)}"
                )
        return names

    @cached_property
    def operators(self) -> list[Operator]:
        """Made when somebody looks: many nets are only run."""
        net = self._given
        return [
            Operator(
                op.type,
                op.name or ", ".join(op.output) or op.type,
                device_name(net, op),
                tuple(op.input),
                tuple(op.output),
            )
            for op in net.op
        ]

    @property
    def placed(self) -> bool:
        """Whether operators are on devices."""
        return self._lanes is not None

    @property
    def edges(self) -> list[Edge]:
        return dependencies.edges(self._net, self._extra)

    def check_inputs(self, names: Iterable[str]) -> None:
        """ValueError for a name that is no input."""
        for name in names:
            if name not in self._sources:
                raise ValueError(
                    f"net {self.name!r} takes no input {name!r} from outside"
                    f"{suggest(name, self._sources)}"
                )

    def _compile_shared(self, outer: Scope) -> tuple[CompiledNet, dict[str, Blob]]:
        compiled = compile_net(self._net, outer, read=self._read)
        outer.make_all(self._outputs)  # one may be an input that no operator touches
        return compiled, dict(outer)  # it holds every blob that was looked up in it

    def _instance(self, compiled: CompiledNet, scope: Scope) -> Instance:
        def blob(name: str) -> Blob:
            found = scope.find(name)
            assert found is not None
            return found

        outputs = Fetch(scope.make_all(self._outputs))
        execute = InDependencyOrder(compiled.info.c, self._graph, self.workers, self._new_async)
        return Instance(
            compiled.info,
            execute,
            lambda name, value: blob(name).feed(value),
            Outputs(self._outputs, lambda name: blob(name).fetch()),
            lambda: dict(zip(self._outputs, outputs(), strict=True)),
            compiled.native,
            compiled,
        )

    def _new_async(self, one: Any) -> None:
        if self._lanes is not None:
            self._lanes.prepare(one)
        self._prepare(one)

    def shared_instance(self) -> Instance:
        """On the workspace's blobs, as RunNet."""
        return self._instance(self._compiled, Scope(self._blobs))

    def instance(self, inputs: frozenset[str]) -> Instance:
        """On blobs of its own."""
        known = {**self._blobs, **{name: Blob(name) for name in self._own | inputs}}
        scope = Scope(known)
        return self._instance(compile_net(self._net, scope, read=self._read), scope)
