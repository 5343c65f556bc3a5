"""CreateOperator: an operator's definition from its type, blobs and arguments."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from caffe2op._core.suggest import suggest
from caffe2op.core import scopes
from caffe2op.core.defs import Argument, DeviceOption, OperatorDef, make_argument
from caffe2op.core.names import Blobs, references
from caffe2op.operators import schema

_FIELDS = ("name", "control_input", "device_option", "arg", "engine", "debug_info")


def CreateOperator(
    operator_type: str,
    inputs: Blobs,
    outputs: Blobs,
    name: str = "",
    control_input: Blobs | None = None,
    device_option: DeviceOption | None = None,
    arg: Iterable[Argument] | None = None,
    engine: str = "",
    debug_info: str = "",
    **kwargs: Any,
) -> OperatorDef:
    """An operator's definition; `kwargs` are its arguments. Blobs given as strings get the
    current name scope.

    ValueError for an argument that the type does not have. Everything else is checked against
    the type's schema when a net is created, or the operator runs.
    """
    if not isinstance(operator_type, str):
        raise TypeError(f"operator_type must be a string, got {operator_type!r}")
    arguments = list(arg or ())
    arguments += [make_argument(key, kwargs[key]) for key in sorted(kwargs)]
    op = OperatorDef(
        operator_type,
        [str(b) for b in references(inputs)],
        [str(b) for b in references(outputs)],
        name,
        arguments,
        device_option or scopes.CurrentDeviceScope(),
        engine,
        [str(b) for b in references(control_input)],
        debug_info,
    )
    if schema.is_registered(operator_type):
        known = [a.name for a in schema.lookup(operator_type).args]
        for argument in arguments:
            if argument.name not in known:
                raise ValueError(
                    f"{schema.describe(op)}: unknown argument {argument.name!r}"
                    f"{suggest(argument.name, (*known, *_FIELDS))}"
                )
    return op
