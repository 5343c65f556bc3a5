"""A net of plain Python functions: each is called with the results of those before it.

The functions run as Python operators of a c2_net: whoever runs one takes the GIL for it, so they
run at the same time as far as they release it (NumPy on large arrays, files, sockets, sleeping).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from caffe2op._core import ffi, lib
from caffe2op._core.suggest import suggest
from caffe2op.asyncnet.devices import Devices, lanes, on_thread
from caffe2op.asyncnet.instance import Instance, Outputs
from caffe2op.asyncnet.program import Prepare
from caffe2op.workspace.dependencies import Edge, owned
from caffe2op.workspace.executors import InDependencyOrder
from caffe2op.workspace.observation import Operator
from caffe2op.workspace.python_calls import handle_of
from caffe2op.workspace.run import NetInfo, keep_raised

Pairs = Iterable[tuple[str, str]]
MISSING = object()


class FunctionProgram:
    """Functions in an order that keeps the edges."""

    def __init__(
        self,
        functions: Mapping[str, Callable[..., Any]],
        edges: Pairs,
        order: Pairs,
        outputs: Iterable[str] | None,
        workers: int,
        devices: Devices | None,
        device_of: Mapping[str, str],
        prepare: Prepare,
    ) -> None:
        self.name = "functions"
        self.workers = workers
        self._prepare = prepare
        for name, function in functions.items():
            if not isinstance(name, str) or not callable(function):
                raise TypeError(
                    f"functions must map names to functions, got {name!r}: {function!r}"
                )
        for name in device_of:
            if name not in functions:
                raise ValueError(
                    f"device_of: there is no function {name!r}{suggest(str(name), functions)}"
                )
        sources, before = _read(functions, list(edges), list(order))
        names = _in_order(functions, before)
        at = {name: k for k, name in enumerate(names)}
        on = [device_of.get(name, "cpu:0") for name in names]
        self._functions = [
            _placed(functions[name], device, devices)
            for name, device in zip(names, on, strict=True)
        ]
        self._lanes = None if devices is None else lanes(devices, on, "functions")
        if self._lanes is not None:
            self.workers = self._lanes.total
        given = {s for one in sources.values() for s in one if s not in functions}
        self._inputs = {name: len(names) + k for k, name in enumerate(sorted(given))}
        self.needed = frozenset(self._inputs)
        self._at = {**at, **self._inputs}
        self._sources = [tuple(self._at[s] for s in sources[name]) for name in names]
        self.edges: list[Edge] = sorted((at[u], at[v]) for v in names for u in before[v])
        self.operators = [
            Operator("Python", name, device, tuple(sources[name]), (name,))
            for name, device in zip(names, on, strict=True)
        ]
        used = {u for one in before.values() for u in one}
        self._outputs = (
            tuple(n for n in functions if n not in used) if outputs is None else tuple(outputs)
        )
        for name in self._outputs:
            if name not in at:
                raise ValueError(f"outputs: there is no function {name!r}{suggest(name, at)}")
        self._graph = self._new_graph()

    @property
    def placed(self) -> bool:
        """Whether functions are on devices."""
        return self._lanes is not None

    def _new_graph(self) -> Any:
        made = ffi.new("c2_graph **")
        tails = ffi.new("int32_t[]", [u for u, _ in self.edges])
        heads = ffi.new("int32_t[]", [v for _, v in self.edges])
        lib.c2_graph_of_edges(len(self._functions), len(self.edges), tails, heads, made)
        return owned(made[0], self.name)

    def check_inputs(self, names: Iterable[str]) -> None:
        """ValueError unless these are the inputs."""
        names = set(names)
        for name in sorted(names ^ set(self._inputs)):
            if name in names:
                raise ValueError(
                    f"the functions take no input {name!r}{suggest(name, self._inputs)}"
                )
            raise ValueError(f"input {name!r} is missing")

    def _new_async(self, one: Any) -> None:
        if self._lanes is not None:
            self._lanes.prepare(one)
        self._prepare(one)

    def shared_instance(self) -> Instance:
        return self.instance(frozenset())

    def instance(self, inputs: frozenset[str]) -> Instance:
        values: list[Any] = [MISSING] * len(self._at)
        net = lib.c2_net_new(len(self._functions))
        if net == ffi.NULL:
            raise MemoryError("no memory for a net of functions")
        net = ffi.gc(net, lib.c2_net_free)
        info = NetInfo(self.name, [("Python", one.label, [], []) for one in self.operators], net)
        tasks = [
            Task(f, s, values, k, info)
            for k, (f, s) in enumerate(zip(self._functions, self._sources, strict=True))
        ]
        for k, task in enumerate(tasks):
            if lib.c2_net_set(
                net, k, ffi.NULL, handle_of(task), 0, ffi.NULL, 0, ffi.NULL, ffi.NULL, 0
            ):
                raise MemoryError("no memory for a net of functions")

        def put(name: str, value: Any) -> None:
            values[self._at[name]] = value

        def get(name: str) -> Any:
            value = values[self._at[name]]
            if value is MISSING:
                raise ValueError(f"function {name!r} has not run yet")
            return value

        execute = InDependencyOrder(net, self._graph, self.workers, self._new_async)
        outputs = Outputs(self._outputs, get)
        return Instance(info, execute, put, outputs, lambda: dict(outputs), False, tasks)


def _placed(
    function: Callable[..., Any], device: str, devices: Devices | None
) -> Callable[..., Any]:
    return on_thread(device, function) if (devices or {}).get(device) == "thread" else function


def _read(
    functions: Mapping[str, Any], edges: list[tuple[str, str]], order: list[tuple[str, str]]
) -> tuple[dict[str, list[str]], dict[str, set[str]]]:
    """Where each function's arguments come from, and which functions come before it."""
    sources: dict[str, list[str]] = {name: [] for name in functions}
    before: dict[str, set[str]] = {name: set() for name in functions}
    for kind, pairs in (("edges", edges), ("order", order)):
        for u, v in pairs:
            if v not in functions or (kind == "order" and u not in functions):
                wrong = v if v not in functions else u
                raise ValueError(
                    f"{kind}: ({u!r}, {v!r}): there is no function {wrong!r}"
                    f"{suggest(str(wrong), functions)}"
                )
            if kind == "edges":
                sources[v].append(u)
            if u in functions:
                before[v].add(u)
    return sources, before


def _in_order(functions: Mapping[str, Any], before: dict[str, set[str]]) -> list[str]:
    """The names, each after those before it, otherwise as they were given."""
    missing = {name: len(found) for name, found in before.items()}
    later: dict[str, list[str]] = {name: [] for name in functions}
    for v, found in before.items():
        for u in found:
            later[u].append(v)
    names = [name for name in functions if not missing[name]]
    for name in names:  # grows meanwhile
        for v in later[name]:
            missing[v] -= 1
            if not missing[v]:
                names.append(v)
    if len(names) < len(functions):
        circle = sorted(name for name, count in missing.items() if count)
        raise ValueError(f"the edges go round in a circle among {', '.join(circle[:10])}")
    return names


class Task:
    """A function of a net of functions, as C calls it."""

    __slots__ = ("_function", "_index", "_info", "_sources", "_values")

    def __init__(
        self,
        function: Callable[..., Any],
        sources: tuple[int, ...],
        values: list[Any],
        index: int,
        info: NetInfo,
    ) -> None:
        self._function = function
        self._sources = sources
        self._values = values
        self._index = index
        self._info = info

    def call(self) -> int:
        """The function on the results of others; a c2_status."""
        values = self._values
        values[self._index] = self._function(*[values[k] for k in self._sources])
        return 0

    def keep(self, run: int, exception: BaseException) -> None:
        """Store what `call` raised for the caller of the run at this address."""
        given = ", ".join(_described(self._values[k]) for k in self._sources) or "none"
        keep_raised(run, self._info, self._index, exception, given)


def _described(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return type(value).__name__ if shape is None else f"{type(value).__name__} {shape}"
