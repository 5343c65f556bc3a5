"""From a NetDef to what runs: checks, in program order, and a c2_net bound to its blobs.

Checked here: the net's type, each operator against its schema, that each input is a blob that is
there or that an earlier operator produces, external inputs and outputs, the device, and that a
kernel exists. Whatever is wrong, the scope is thrown away by the caller and nothing has changed.
A blob's kind and dtype are looked at when the operator runs.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from caffe2op._core import ffi, lib
from caffe2op._core.suggest import near, suggest
from caffe2op.core.defs import DeviceOption, NetDef, OperatorDef
from caffe2op.core.fields import check_fields, has_lists
from caffe2op.operators import schema
from caffe2op.workspace import columns, compile_many, dependencies
from caffe2op.workspace.blob import Blob
from caffe2op.workspace.executors import EXECUTORS, InDependencyOrder, check_type
from caffe2op.workspace.observation import Observer
from caffe2op.workspace.observed import Observed, asks_for_trace, without_edges
from caffe2op.workspace.python_calls import PythonOperator, handle_of
from caffe2op.workspace.run import NetInfo, OperatorInfo, Runner
from caffe2op.workspace.scope import Scope

MOST_NESTED = 16  # nets inside a net: each takes some of a thread's stack


class CompiledNet:
    """A c2_net with all that it points to. Constant: any number of threads may run it at the same
    time, and what its operators do to shared blobs then is theirs to order."""

    __slots__ = ("_keep", "foreign", "info", "waits")

    def __init__(self, info: NetInfo, waits: bool, foreign: bool, keep: list[Any]) -> None:
        self.info = info
        self.waits = waits  # an operator may wait for another one
        self.foreign = foreign  # an operator is the user's: Python, or C that is not this package's
        self._keep = keep

    @property
    def native(self) -> bool:
        """Every operator is of this package's C, and none waits."""
        return not (self.waits or self.foreign)


class RunnableNet:
    """A compiled net and the executor of its type. `run(allow_fail)` runs it once."""

    __slots__ = ("_execute", "_observed", "_plain", "compiled", "run", "simple")

    def __init__(self, compiled: CompiledNet, net: NetDef) -> None:
        type_ = net.type or "simple"
        traced = bool(net.arg) and asks_for_trace(net)
        execute = EXECUTORS[type_](compiled.info.c, net)
        runner = Runner(execute, (compiled.info,), compiled)
        self.run = self._plain = execute.direct(runner, compiled.native)
        self.compiled = compiled
        self.simple = type_ == "simple"  # and nobody looks at it
        self._execute = execute
        self._observed: Observed | None = None
        if type_ == "prof_dag":
            self.observed.keep_profile(dependencies.edges(net))
        if traced:
            self.observed.keep_trace()
        if self._observed is not None:
            self._look()

    @property
    def observed(self) -> Observed:
        """What has been written down about its runs."""
        if self._observed is None:
            info, execute = self.compiled.info, self._execute
            if not isinstance(execute, InDependencyOrder):
                execute = without_edges(info)
            self._observed = Observed(info, execute, self.compiled)
        return self._observed

    def add_observer(self, observer: str | Observer) -> Observer:
        """Let an observer see the runs from now on. Returns it."""
        added = self.observed.add(observer)
        self._look()
        return added

    def remove_observer(self, observer: Observer) -> None:
        """Let it see no more; ValueError when it was not added."""
        self.observed.remove(observer)
        self._look()

    def _look(self) -> None:
        """Run as somebody looks, or nobody."""
        seen = self.observed.on
        self.run = self.observed.run if seen else self._plain
        self.simple = not seen and not isinstance(self._execute, InDependencyOrder)


def runnable(net: NetDef, scope: Scope) -> RunnableNet:
    """The net, checked, built, and ready to run; errors as compile_net."""
    return RunnableNet(compile_net(net, scope), net)


def compile_net(
    net: NetDef,
    scope: Scope,
    outer: _Builder | None = None,
    read: columns.Columns | None = None,
) -> CompiledNet:
    """Check the net and build it on the blobs of the scope; its outputs are made there. ValueError
    or TypeError that names the net, the operator and the blob or argument. `outer` builds the net
    whose next operator is to run this one. `read`: the net in columns, where it is known."""
    check_net(net)
    check_type(net.name, net.type)
    if outer is None and len(net.op) >= compile_many.FEW:
        read = read or columns.plain(net)
        built = compile_many.build(net, read, scope) if read is not None and read.plain else None
        if built is not None:
            return CompiledNet(built.info, built.waits, built.foreign, built.keep)
    c = lib.c2_net_new(len(net.op))
    if not c:
        raise MemoryError(f"net {net.name!r}: no memory for {len(net.op)} operators")
    builder = _Builder(net, ffi.gc(c, lib.c2_net_free), scope, outer)
    for op in net.op:
        try:
            builder.add(op)
        except (TypeError, ValueError) as error:
            where = f"net {net.name!r}, operator {len(builder.info.ops)}"
            if isinstance(error, TypeError) and isinstance(op, OperatorDef):
                check_fields(op, f"{where}: {schema.describe(op)}")  # it may say more
            raise type(error)(f"{where}: {error}") from None
    try:
        builder.check_outputs()
    except ValueError as error:
        raise ValueError(f"net {net.name!r}: {error}") from None
    return CompiledNet(builder.info, builder.waits, builder.foreign, builder.keep)


class _Builder:
    """Adds operators to a c2_net, each checked against those before it."""

    current: str = ""  # where messages say that an inner net is

    def __init__(self, net: NetDef, c: Any, scope: Scope, outer: _Builder | None) -> None:
        self._net = net
        self._scope = scope
        self._outer = outer
        # With external_input, each source must be one of these or an earlier output.
        self._sources = set(net.external_input)
        self._closed = bool(self._sources)
        self._inner: list[NetInfo] = []
        within = f"{outer.current}, in its " if outer else ""
        self.ops: list[OperatorInfo] = []
        self.info = NetInfo(net.name, self.ops, c, self._inner, within)
        self.waits = False
        self.foreign = False
        self.keep: list[Any] = []

    def add(self, op: OperatorDef) -> None:
        """Check the operator and set it in the net. A plan may have thousands: what is only for
        failures or rare cases is elsewhere."""
        if not isinstance(op, OperatorDef):
            raise TypeError(f"expected a core.OperatorDef, got {op!r}")
        if not has_lists(op):
            check_fields(op, schema.describe(op))
        known, binding = schema.entry(op.type)
        schema.check_blobs(op, known)
        packed = schema.pack_args(op, known)
        if binding.prepare is not None:
            binding.prepare()
        if op.device_option is not None:
            check_device(schema.describe(op), op.device_option)
        if op.control_input:
            self._find(op, "control_input", op.control_input)
        handle = ffi.NULL
        if binding.inner is not None:  # first: these nets may make the operator's inputs
            handle = binding.inner(op, partial(self._build_inner, op))
            self.keep.append(handle)
        inputs = self._find(op, "input", op.input)
        outputs = [self._scope.find_or_create(name) for name in op.output]
        self._sources.update(op.output)
        info = self.info
        index = len(info.ops)
        self.ops.append((op.type, op.name, inputs, outputs))
        kernel = (
            ffi.NULL
            if binding.kernel is None
            else compile_many.kernel(binding.kernel) or _no_kernel(op, binding.kernel)
        )
        if binding.python is not None:
            operator = PythonOperator(binding.python(op), info, index)
            self.keep.append(operator)
            handle = handle_of(operator)
            self.foreign = True
        elif binding.handle is not None:
            handle = binding.handle
            self.keep.append(handle)
            self.foreign = True
        if packed.n:
            self.keep.append(packed)
        if known.waits or (binding.blocks is not None and binding.blocks(op)):
            self.waits = True
        if lib.c2_net_set(
            info.c,
            index,
            kernel,
            handle,
            len(inputs),
            [b.c for b in inputs],
            len(outputs),
            [b.c for b in outputs],
            packed.args,
            packed.n,
        ):
            raise MemoryError(f"net {info.name!r}: no memory for operator {index}")

    def _find(self, op: OperatorDef, kind: str, names: list[str]) -> list[Blob]:
        if self._closed and not self._sources.issuperset(names):
            self._check_external_names()
            name = next(n for n in names if n not in self._sources)
            raise ValueError(
                f"{schema.describe(op)}: Source for {kind} {name} is unknown: no earlier operator "
                f"produces it and external_input does not have it{_suggest(name, self._sources)}"
            )
        scope = self._scope
        try:
            return [scope[name] for name in names]
        except KeyError as missing:
            name = missing.args[0]
            there = set(scope.names())
            close = near(name, there) if len(there) <= 1000 else None
            raise ValueError(
                f"{schema.describe(op)}: {kind} blob {name!r} is not in the workspace and no "
                f"earlier operator produces it{f' (did you mean {close!r}?)' if close else ''}; "
                "FeedBlob makes a blob, and a model's param_init_net, run once, its parameters"
            ) from None

    def _build_inner(self, op: OperatorDef, argument: str, net: NetDef) -> Any:
        """The c2_net of a net that an operator is given to run."""
        where = f"{schema.describe(op)}: {argument}"
        depth = 0
        around: _Builder | None = self
        while around is not None and around._net is not net:
            depth, around = depth + 1, around._outer
        if around is not None:
            raise ValueError(f"{where}: net {net.name!r} is inside itself")
        if depth > MOST_NESTED:
            raise ValueError(
                f"{where}: net {net.name!r} lies in {depth} others; at most {MOST_NESTED} accepted"
            )
        name = f" {op.name!r}" if op.name else ""
        self.current = (
            f"{self.info.within}net {self.info.name!r}, operator {len(self.info.ops)}: "
            f"{op.type}{name}"
        )
        try:
            built = compile_net(net, self._scope, self)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{where}: {error}") from None
        self._inner.append(built.info)
        self.keep.append(built)
        self.waits = self.waits or built.waits
        self.foreign = self.foreign or built.foreign
        return built.info.c

    def check_outputs(self) -> None:
        for name in self._net.external_output:
            if name not in self._sources:
                self._check_external_names()
                raise ValueError(
                    f"external_output {name!r} is never produced{_suggest(name, self._sources)}"
                )

    def _check_external_names(self) -> None:
        """A reference in the place of a name is found nowhere: say so, rather than that."""
        for name in (*self._net.external_input, *self._net.external_output):
            if not isinstance(name, str) or not name:
                raise ValueError(f"external blobs are given by their names, got {name!r}")


def check_net(net: NetDef) -> None:
    """ValueError or TypeError for fields of the net itself; its operators are not looked at."""
    if not isinstance(net.name, str) or not net.name:
        raise ValueError(f"a net's name must be a non-empty string, got {net.name!r}")
    where = f"net {net.name!r}"
    check_fields(net, where, "op")  # the items of op: one by one, as they are added
    if not isinstance(net.num_workers, int) or not 0 <= net.num_workers < 2**31:
        raise ValueError(
            f"{where}: num_workers must be an int from 0 to {2**31 - 1}, got {net.num_workers!r}"
        )
    if net.device_option is not None:
        check_device(where, net.device_option)


def check_device(where: str, device: DeviceOption) -> None:
    """ValueError for any device but the CPU; TypeError for what is no DeviceOption."""
    if not isinstance(device, DeviceOption):
        raise TypeError(f"{where}: device_option must be a core.DeviceOption, got {device!r}")
    if device.device_type != 0:
        raise ValueError(
            f"{where}: device_type {device.device_type!r} is not there; accepted: 0 (CPU)"
        )


def _no_kernel(op: OperatorDef, name: str) -> Any:
    raise ValueError(f"{schema.describe(op)}: there is no native kernel {name!r}")


def _suggest(name: str, known: set[str]) -> str:
    return suggest(name, known) if len(known) <= 1000 else ""
