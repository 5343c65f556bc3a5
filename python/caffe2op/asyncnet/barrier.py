"""Barriers within a net: operators that must all be done before others begin.

Two ways to say it. As an operator of the net, between the blobs that it names:
`net.AsyncNetBarrier(blobs, blobs)`, or the definitions AsyncBarrierOp and AsyncNetBarrierOp. And
from outside, without a change to the net: AsyncNetBarrier between groups of operators or devices,
which adds edges.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from caffe2op._core.suggest import suggest
from caffe2op.asyncnet.devices import device_name
from caffe2op.core.defs import NetDef, OperatorDef
from caffe2op.core.names import Blobs, references
from caffe2op.core.operator import CreateOperator
from caffe2op.workspace import dependencies
from caffe2op.workspace.dependencies import Edge


class AsyncBarrierOp(OperatorDef):
    """The definition of an AsyncNetBarrier operator: all that wrote the blobs comes before it,
    all that reads or writes them later comes after it. To be appended to a NetDef's `op`."""

    CROSS_DEVICE = False

    def __init__(self, blobs: Blobs, name: str = "", control_input: Blobs | None = None) -> None:
        names = references(blobs)
        made = CreateOperator(
            "AsyncNetBarrier", names, names, name, control_input, cross_device=self.CROSS_DEVICE
        )
        for field in OperatorDef.__dataclass_fields__:
            setattr(self, field, getattr(made, field))


class AsyncNetBarrierOp(AsyncBarrierOp):
    """The same between devices: its `cross_device` argument is set."""

    CROSS_DEVICE = True


class AsyncNetBarrier:
    """Every operator of the groups `before` is done before any of the groups `after` begins.

    A group is named by an operator's name; by what its operators' names begin with, up to a "/"
    ("tower_a" is "tower_a/fc", "tower_a/relu", ...); or by a device ("cpu:1"). Given to AsyncNet,
    for one net or many, and in force in each run.
    """

    def __init__(
        self, before: str | Sequence[str], after: str | Sequence[str], name: str = "barrier"
    ) -> None:
        self.before = _groups("before", before)
        self.after = _groups("after", after)
        self.name = name

    def edges(self, net: NetDef) -> list[Edge]:
        """The edges that it adds to the net, by the operators' indices. ValueError for a group
        without an operator, an operator in groups on both sides, and one of `after` that stands
        before one of `before` in program order."""
        first = self._members(net, self.before)
        second = self._members(net, self.after)
        both = set(first) & set(second)
        if both:
            raise self._error(
                net, f"operator {min(both)} ({_label(net, min(both))}) is on both sides"
            )
        if first and second and first[-1] > second[0]:
            late = next(v for v in second if v < first[-1])
            raise self._error(
                net,
                f"operator {late} ({_label(net, late)}) comes after the barrier, but stands "
                f"before operator {first[-1]} ({_label(net, first[-1])}) in program order",
            )
        return _between(net, first, second)

    def _members(self, net: NetDef, groups: Sequence[str]) -> list[int]:
        found: set[int] = set()
        for group in groups:
            members = [
                k
                for k, op in enumerate(net.op)
                if op.name == group
                or op.name.startswith(group + "/")
                or device_name(net, op) == group
            ]
            if not members:
                known = {op.name.split("/")[0] for op in net.op if op.name}
                raise self._error(
                    net, f"no operator or device is called {group!r}{suggest(group, known)}"
                )
            found.update(members)
        return sorted(found)

    def _error(self, net: NetDef, text: str) -> ValueError:
        return ValueError(f"net {net.name!r}, {self.name}: {text}")

    def __repr__(self) -> str:
        return f"AsyncNetBarrier({', '.join(self.before)} -> {', '.join(self.after)})"


def _groups(argument: str, given: str | Sequence[str]) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        given = (given,)
    names = tuple(given)
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ValueError(f"{argument} must be the name of a group or several, got {given!r}")
    return names


def _label(net: NetDef, index: int) -> str:
    return net.op[index].name or net.op[index].type


def _between(net: NetDef, first: Iterable[int], second: Iterable[int]) -> list[Edge]:
    """From the last ones of `first` to the first ones of `second`: what lies behind another
    member of its own side is ordered by that one."""
    firsts, seconds = set(first), set(second)
    have = dependencies.edges(net)
    last = firsts - {u for u, v in have if v in firsts}
    begin = seconds - {v for u, v in have if u in seconds}
    return [(u, v) for u in sorted(last) for v in sorted(begin)]
