"""Whether the fields of a definition hold what they are declared to hold.

Definitions are plain objects that take any value (defs.py); what builds or runs them asks here
first, so that a wrong field is a TypeError that names it, and not whatever Python says of it later.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from caffe2op.core.defs import (
    Argument,
    DeviceOption,
    ExecutionStepDef,
    NetDef,
    OperatorDef,
    PlanDef,
)

# A type: such a value, or None where the field was never given. A list of one type: a list or
# tuple of such values (Hashable: names that are looked up, and found wrong then). What the values
# may be is checked by whoever reads them.
_EXPECTED: dict[type, dict[str, Any]] = {
    OperatorDef: {
        "type": str,
        "input": [str],
        "output": [str],
        "arg": [Argument],
        "control_input": [str],
        "device_option": DeviceOption,
    },
    NetDef: {
        "type": str,
        "op": [OperatorDef],
        "arg": [Argument],
        "external_input": [Hashable],
        "external_output": [Hashable],
        "device_option": DeviceOption,
    },
    ExecutionStepDef: {
        "name": str,
        "substep": [ExecutionStepDef],
        "network": [str],
        "criteria_network": str,
        "report_net": str,
        "should_stop_blob": str,
    },
    PlanDef: {"name": str, "network": [NetDef], "execution_step": [ExecutionStepDef]},
}


def check_fields(definition: object, where: str, items_unseen: str = "") -> None:
    """TypeError, beginning with `where`, for a field that holds something else. Of the field
    `items_unseen` only that it is a list."""
    kind = next(t for t in type(definition).__mro__ if t in _EXPECTED)  # or one derived from it
    for field, expected in _EXPECTED[kind].items():
        value = getattr(definition, field)
        if not isinstance(expected, list):
            if value is not None and not isinstance(value, expected):
                raise TypeError(
                    f"{where}: field {field!r} must be a {expected.__name__}, got {value!r}"
                )
            continue
        item = expected[0]
        items = "names" if item in (str, Hashable) else item.__name__
        if not isinstance(value, list | tuple):
            raise TypeError(f"{where}: field {field!r} must be a list of {items}, got {value!r}")
        if not value or field == items_unseen or set(map(type, value)) == {item}:
            continue  # so it nearly always is
        for one in value:
            if not isinstance(one, item):
                raise TypeError(
                    f"{where}: field {field!r} must be a list of {items}, got {one!r} in it"
                )


def has_lists(op: OperatorDef) -> bool:
    """The quick form for operators, of which a net has thousands: that its fields are of the types
    that they nearly always are, the lists' items not looked at."""
    return (
        type(op.type) is str
        and type(op.input) is list
        and type(op.output) is list
        and type(op.arg) is list
        and type(op.control_input) is list
    )
