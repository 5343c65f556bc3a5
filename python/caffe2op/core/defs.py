"""What operators, nets and plans are made of: plain objects with the field names that Caffe2's
protocol buffers have.

They hold no machinery and check nothing but their own field names: operators/schema.py knows what
an operator accepts, workspace/ what a net or a plan must fulfil before it runs. Fields that were
never given are None, or an empty list.

Source of the names: caffe2/proto/caffe2.proto.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import numpy as np

from caffe2op._core.suggest import suggest


def _fields(cls: type) -> list[str]:
    return [f.name for f in fields(cls)] if is_dataclass(cls) else []


class _NamedFields(type):
    """Calls the class; says which field was meant when a keyword is none."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().__call__(*args, **kwargs)
        except TypeError:
            known = _fields(cls)
            for name in kwargs:
                if name not in known:
                    raise TypeError(
                        f"{cls.__name__} has no field {name!r}{suggest(name, known)}"
                    ) from None
            raise


class Definition(metaclass=_NamedFields):
    """A field that does not exist is an AttributeError, or a TypeError for the constructor, that
    says which one was meant."""

    __slots__ = ()

    def __setattr__(self, name: str, value: Any) -> None:
        try:
            object.__setattr__(self, name, value)
        except AttributeError:
            raise AttributeError(
                f"{type(self).__name__} has no field {name!r}{suggest(name, _fields(type(self)))}"
            ) from None


@dataclass(slots=True)
class Argument(Definition):
    """One named argument. Exactly one of the value fields is set; `n` is a net that the operator
    runs, `object` is for a value that only Python can hold (a function)."""

    name: str
    i: int | None = None
    f: float | None = None
    s: str | bytes | None = None
    ints: list[int] | None = None
    floats: list[float] | None = None
    strings: list[str | bytes] | None = None
    n: NetDef | None = None
    object: Any = None

    @property
    def value(self) -> Any:
        """The value that was given, whichever field holds it."""
        for candidate in (self.i, self.f, self.s, self.ints, self.floats, self.strings, self.n):
            if candidate is not None:
                return candidate
        return self.object


def make_argument(name: str, value: Any) -> Argument:
    """The Argument for a Python value: NumPy scalars count as the Python numbers they hold, an
    array or an iterable as a flat list, a dtype as its name, a core.Net as its definition."""
    if isinstance(value, np.generic):
        value = value.item()
    elif isinstance(value, np.ndarray):
        value = value.ravel().tolist()
    elif isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        value = np.dtype(value).name
    definition = value.Proto() if hasattr(type(value), "Proto") else value
    if isinstance(definition, NetDef):
        return Argument(name, n=definition)
    if isinstance(value, int):
        return Argument(name, i=value)
    if isinstance(value, float):
        return Argument(name, f=value)
    if isinstance(value, str | bytes):
        return Argument(name, s=value)
    if isinstance(value, Iterable) and not callable(value):
        items = [v.item() if isinstance(v, np.generic) else v for v in value]
        if all(isinstance(v, int) for v in items):
            return Argument(name, ints=items)
        if all(isinstance(v, int | float) for v in items):
            try:
                return Argument(name, floats=[float(v) for v in items])
            except OverflowError:
                raise OverflowError(
                    f"argument {name!r}: an int that no float of 64 bits holds, among floats"
                ) from None
        if all(isinstance(v, str | bytes) for v in items):
            return Argument(name, strings=items)
        return Argument(name, object=items)
    return Argument(name, object=value)


@dataclass(slots=True)
class DeviceOption(Definition):
    """Where an operator runs. There is one device here: the CPU, device_type 0."""

    device_type: int = 0
    device_id: int = 0
    random_seed: int | None = None
    node_name: str = ""
    numa_node_id: int | None = None
    extra_info: list[str] = field(default_factory=list)


@dataclass(slots=True)
class OperatorDef(Definition):
    """An operator: its type, the names of its input and output blobs, its arguments."""

    type: str = ""
    input: list[str] = field(default_factory=list)
    output: list[str] = field(default_factory=list)
    name: str = ""
    arg: list[Argument] = field(default_factory=list)
    device_option: DeviceOption | None = None
    engine: str = ""
    control_input: list[str] = field(default_factory=list)
    debug_info: str = ""


@dataclass(slots=True)
class NetDef(Definition):
    """Operators in program order, and what they take from and give to the outside."""

    name: str = ""
    op: list[OperatorDef] = field(default_factory=list)
    type: str = ""
    num_workers: int = 0
    device_option: DeviceOption | None = None
    arg: list[Argument] = field(default_factory=list)
    external_input: list[str] = field(default_factory=list)
    external_output: list[str] = field(default_factory=list)


@dataclass(slots=True, weakref_slot=True)
class ExecutionStepDef(Definition):
    """Nets (`network`, by name) or substeps, and how often and how they run."""

    name: str = ""
    substep: list[ExecutionStepDef] = field(default_factory=list)
    network: list[str] = field(default_factory=list)
    num_iter: int | None = None
    criteria_network: str = ""
    report_net: str = ""
    report_interval: int = 0
    run_every_ms: int = 0
    concurrent_substeps: bool = False
    should_stop_blob: str = ""
    only_once: bool = False
    create_workspace: bool = False
    num_concurrent_instances: int = 1


@dataclass(slots=True, weakref_slot=True)
class PlanDef(Definition):
    """The nets that the steps name, and the steps, run in order."""

    name: str = ""
    network: list[NetDef] = field(default_factory=list)
    execution_step: list[ExecutionStepDef] = field(default_factory=list)
