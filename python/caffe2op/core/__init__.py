"""Definitions of operators, nets and plans, under the names that Caffe2's users know.

Nothing here runs anything: `workspace` does. So nothing here waits, and the GIL is kept. An object
under construction is for one thread at a time; scopes belong to the thread that opened them.

Errors: an object of the wrong type is a TypeError; what contradicts itself, or a schema, is a
ValueError that names the net, step or operator; an operator type or a field that does not exist is
an AttributeError (from a constructor a TypeError) that names the nearest one. Nothing has changed
then.
"""

from caffe2op.core.defs import (
    Argument,
    DeviceOption,
    ExecutionStepDef,
    NetDef,
    OperatorDef,
    PlanDef,
)
from caffe2op.core.names import BlobReference, ScopedBlobReference, ScopedName
from caffe2op.core.net import Net
from caffe2op.core.operator import CreateOperator
from caffe2op.core.plan import Plan
from caffe2op.core.scopes import CurrentDeviceScope, CurrentNameScope, DeviceScope, NameScope
from caffe2op.core.steps import ExecutionStep, execution_step
from caffe2op.operators.datatype import DataType
from caffe2op.operators.gradient import GradientSlice
from caffe2op.operators.user import register_operator

__all__ = [
    "Argument",
    "BlobReference",
    "CreateOperator",
    "CurrentDeviceScope",
    "CurrentNameScope",
    "DataType",
    "DeviceOption",
    "DeviceScope",
    "ExecutionStep",
    "ExecutionStepDef",
    "GradientSlice",
    "NameScope",
    "Net",
    "NetDef",
    "OperatorDef",
    "Plan",
    "PlanDef",
    "ScopedBlobReference",
    "ScopedName",
    "execution_step",
    "register_operator",
]


def __dir__() -> list[str]:
    return sorted(__all__)
