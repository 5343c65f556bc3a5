"""Compiled plans, kept while their definitions are what they were.

A definition is plain objects and lists, which anybody may change at any time and tells nobody. So
a compiled plan is kept beside every value that its definitions held, and used again only where a
fresh look finds the very same ones. They are compared by identity: stricter than equality (-0.0
is not 0.0, True is not 1), and sound, since they are immutable, and while they are kept no new
one can be where an old one was.

| what changes                             | what becomes of the compiled plan                |
|------------------------------------------|--------------------------------------------------|
| a field, an argument, an item of a list  | the fresh look finds it; it is compiled again    |
| the operator that a type is registered as| the same                                         |
| what a blob holds                        | nothing: a run reads its blobs as they are       |
| the workspace is reset                   | all of them go, with the blobs                   |
| nobody has the definition any more       | it goes too: the definition is referred to weakly|

A run takes its compiled plan out, and puts it back when it is over. Another run of the plan
meanwhile compiles one of its own, so nothing in a compiled plan is shared by two runs.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from operator import attrgetter, is_, setitem
from typing import Any, NamedTuple

from caffe2op.core.defs import (
    Argument,
    DeviceOption,
    ExecutionStepDef,
    NetDef,
    OperatorDef,
    PlanDef,
)
from caffe2op.operators import schema
from caffe2op.workspace.run import Runner

MOST = 16  # kept by a workspace; the one that has not run for longest goes first

Values = list[Any]


class _Kept(NamedTuple):
    definition: weakref.ref[PlanDef | ExecutionStepDef]
    compiled: list[tuple[Values, Runner] | object]  # one item, not a tuple when the definition went


class KeptPlans:
    """The compiled plans of one workspace, each taken out by the run that uses it. For any
    thread: each step is one operation on a dict."""

    def __init__(self) -> None:
        self._kept: dict[int, _Kept] = {}  # by the definition's identity, oldest first

    def take(self, definition: PlanDef | ExecutionStepDef, values: Values) -> Runner | None:
        """The definition's compiled plan, no longer kept; None where its values are not these."""
        kept = self._kept.pop(id(definition), None)
        if kept is None or kept.definition() is not definition:
            return None
        found = kept.compiled[0]
        return found[1] if isinstance(found, tuple) and same(found[0], values) else None

    def put(self, definition: PlanDef | ExecutionStepDef, values: Values, runner: Runner) -> None:
        """Keep what was compiled from a definition of these values."""
        compiled: list[tuple[Values, Runner] | object] = [(values, runner)]
        # When the definition goes, the dead reference takes the place of what was compiled. Nothing
        # of Python's runs then: what a signal's handler raised in there would be lost.
        gone = partial(setitem, compiled, 0)
        self._kept[id(definition)] = _Kept(weakref.ref(definition, gone), compiled)
        for oldest in list(self._kept)[:-MOST]:
            self._kept.pop(oldest, None)


# ---- values ------------------------------------------------------------------------------------


class _Fields(NamedTuple):
    """How to get the fields of a definition: those of one value, the lists of values, and those
    that hold definitions. Each gives a tuple."""

    single: Callable[[Any], tuple[Any, ...]]
    lists: Callable[[Any], tuple[Any, ...]]
    definitions: Callable[[Any], tuple[Any, ...]]


_DEFINITIONS = (Argument, DeviceOption, OperatorDef, NetDef, ExecutionStepDef, PlanDef)


def _getter(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    if len(names) > 1:
        return attrgetter(*names)
    return (lambda definition: (getattr(definition, names[0]),)) if names else lambda _: ()


def _fields(cls: type[Any]) -> _Fields:
    """From the types that the fields are declared with, so that none can be forgotten."""
    single: list[str] = []
    lists: list[str] = []
    definitions: list[str] = []
    for field in fields(cls):
        if any(one.__name__ in str(field.type) for one in _DEFINITIONS):
            definitions.append(field.name)
        else:
            (lists if "list[" in str(field.type) else single).append(field.name)
    return _Fields(_getter(single), _getter(lists), _getter(definitions))


_FIELDS = {cls: _fields(cls) for cls in _DEFINITIONS}
_END = object()  # of a list


def values_of(plan: PlanDef) -> Values | None:
    """Every value in the plan, its steps and its nets, and the stamp of the operator types. None
    where there is something that only compilation can judge."""
    values: Values = [schema.stamp()]
    try:
        _add_values(plan, values)
    except (TypeError, AttributeError, RecursionError):
        return None
    return values


def _add_values(definition: Any, values: Values) -> None:
    """TypeError for what is no definition, or no list where one is declared."""
    get = _FIELDS.get(type(definition))
    if get is None:
        raise TypeError(definition)
    values += get.single(definition)
    for items in get.lists(definition):
        if items:
            values += items if type(items) is list else _items(items)
        values.append(_END)
    for one in get.definitions(definition):
        if type(one) in _FIELDS:
            _add_values(one, values)
        elif one:
            for item in one if type(one) is list else _items(one):
                _add_values(item, values)
        values.append(_END)


def _items(given: Any) -> list[Any] | tuple[Any, ...]:
    if isinstance(given, list | tuple):
        return given
    raise TypeError(given)


def same(old: Values, new: Values) -> bool:
    """Whether they are the very same objects."""
    return len(old) == len(new) and all(map(is_, old, new))
