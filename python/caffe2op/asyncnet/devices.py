"""Devices: named groups of workers. An operator runs on its device's workers only.

An operator's device is its device_option, or else the net's: `node_name` where that is given,
else "cpu:0", "cpu:1", ... by device_id. `devices` of an AsyncNet says what each has:

| value      | meaning                                                                          |
|------------|----------------------------------------------------------------------------------|
| a number   | so many threads of the pool                                                      |
| a dict     | {"workers": 2, "cpus": [0, 1]}: these threads run on these processors only while |
|            | they work for the device (where the system has such a thing: Linux)              |
| "caller"   | the thread that calls run (or does a submitted run), and no other                |
| "thread"   | one thread of that name, the same for every run of every net: for libraries that |
|            | want it so. Python operators only                                                |

At most one device has the caller; where none does, the caller only waits.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypedDict

from caffe2op._core import ffi, lib, status
from caffe2op._core.suggest import suggest
from caffe2op.core.defs import Argument, NetDef, OperatorDef
from caffe2op.operators import schema


class Pinned(TypedDict):
    """A device's workers, and the processors that they run on."""

    workers: int
    cpus: Sequence[int]


Device = int | str | Pinned
Devices = Mapping[str, Device]


def device_name(net: NetDef, op: OperatorDef) -> str:
    """The device that an operator of the net is on."""
    option = op.device_option or net.device_option
    if option is None:
        return "cpu:0"
    return option.node_name or f"cpu:{option.device_id}"


class Lanes(NamedTuple):
    """What C gets to know of the devices."""

    names: list[str]
    of_op: Any
    workers: Any
    flags: Any
    cpus: dict[int, Any]  # of a lane, where it has some of its own

    @property
    def total(self) -> int:
        """Threads for one run, the caller's included."""
        return max(1, int(sum(self.workers)))

    def prepare(self, one: Any) -> None:
        """Give a c2_async its lanes."""
        status.check(
            lib.c2_async_lanes(one, self.of_op, len(self.names), self.workers, self.flags),
            "devices: the lanes were refused",
        )
        for lane, cpus in self.cpus.items():
            status.check(lib.c2_async_pin(one, lane, cpus, len(cpus)), "devices: cpus were refused")


def _count(device: Device) -> int:
    if isinstance(device, Mapping):
        device = device["workers"]
    return device if isinstance(device, int) else 1


def _check(name: str, device: object, where: str) -> None:
    """ValueError unless the value is one of the table's."""
    workers = device
    if isinstance(device, Mapping):
        if device.keys() != {"workers", "cpus"}:
            raise ValueError(
                f'{where}: device {name!r} must be {{"workers": number, "cpus": list}}, '
                f"got {dict(device)!r}"
            )
        workers = device["workers"]
        _check_cpus(name, device["cpus"], where)
    number = isinstance(workers, int) and not isinstance(workers, bool) and 1 <= workers <= 256
    if not number and (device is not workers or workers not in ("caller", "thread")):
        raise ValueError(
            f'{where}: device {name!r} must have 1 to 256 workers, "caller" or "thread", '
            f"got {workers!r}"
        )


def _check_cpus(name: str, cpus: object, where: str) -> None:
    here = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    given = list(cpus) if isinstance(cpus, Iterable) and not isinstance(cpus, str) else []
    if not given or any(isinstance(k, bool) or k not in here for k in given):
        raise ValueError(
            f"{where}: device {name!r}: cpus must be some of the processors that this process may "
            f"use, {here}; got {cpus!r}"
        )


def lanes(devices: Devices, of_op: list[str], where: str) -> Lanes:
    """The lanes for operators on these devices. ValueError for a device that is not there, or a
    value that is none of the table's."""
    callers = [name for name, value in devices.items() if value == "caller"]
    if len(callers) > 1:
        raise ValueError(
            f"{where}: devices {callers[0]!r} and {callers[1]!r} both have the caller; one can"
        )
    for name, value in devices.items():
        _check(name, value, where)
    names = list(devices)
    at = {name: k for k, name in enumerate(names)}
    for device in of_op:
        if device not in at:
            raise ValueError(
                f"{where}: an operator is on device {device!r}, which devices does "
                f"not have{suggest(device, names)}"
            )
    counts = [_count(value) for value in devices.values()]
    flags = [lib.C2_LANE_CALLER if value == "caller" else 0 for value in devices.values()]
    return Lanes(
        names,
        ffi.new("int32_t[]", [at[device] for device in of_op]),
        ffi.new("int32_t[]", counts),
        ffi.new("int32_t[]", flags),
        {
            at[name]: ffi.new("int32_t[]", list(value["cpus"]))
            for name, value in devices.items()
            if isinstance(value, Mapping)
        },
    )


# ---- one thread of a name ----------------------------------------------------------------------

Job = tuple[Callable[[], Any], list[Any], threading.Lock]


class NamedThread:
    """A thread that does what it is given, one after the other; it starts with the first."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._start = threading.Lock()
        self._thread: threading.Thread | None = None

    def call(self, function: Callable[[], Any]) -> Any:
        """function() on the thread: blocks until done; what it raises is raised here. On the
        thread itself, it is just called."""
        with self._start:
            if self._thread is None:
                thread = threading.Thread(target=self._work, name=self.name, daemon=True)
                thread.start()
                self._thread = thread
        if threading.current_thread() is self._thread:
            return function()
        answer: list[Any] = []
        done = threading.Lock()
        done.acquire()
        self._jobs.put((function, answer, done))
        done.acquire()
        if isinstance(answer[0], BaseException):
            raise answer[0]
        return answer[1]

    def _work(self) -> None:
        with self._start:
            if threading.current_thread() is not self._thread:
                return  # a signal's handler raised in `start`: there will be another one
        while True:
            function, answer, done = self._jobs.get()
            lib.c2_guard_enter()  # as whoever runs an operator
            try:
                answer.extend((None, function()))
            except BaseException as error:  # raised where call was called
                answer.append(error)
            finally:
                lib.c2_guard_leave()
            done.release()
            del function, answer, done


_threads: dict[str, NamedThread] = {}


def on_thread(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, to be called on the thread of that name."""

    def call(*args: Any) -> Any:
        # Looked up in each call: a forked child has threads of its own.
        return _threads.setdefault(name, NamedThread(name)).call(lambda: function(*args))

    return call


def moved_to_threads(net: NetDef, devices: Devices) -> NetDef:
    """The net with the functions of operators on "thread" devices called there. ValueError for a
    native operator on one."""
    if "thread" not in devices.values():
        return net
    return replace(net, op=[_moved(net, op, devices) for op in net.op])


def _moved(net: NetDef, op: OperatorDef, devices: Devices) -> OperatorDef:
    name = device_name(net, op)
    if devices.get(name) != "thread":
        return op
    schema.validate(op, f"net {net.name!r}")
    python = schema.entry(op.type)[1].python
    if python is None:
        raise ValueError(
            f"net {net.name!r}: {schema.describe(op)} is native and on device "
            f"{name!r}, a thread; only Python operators can be there"
        )
    function = Argument("function", object=on_thread(name, python(op)))
    return replace(op, type="Python", arg=[function])


os.register_at_fork(after_in_child=_threads.clear)
