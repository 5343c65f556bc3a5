"""Definitions of operators, nets and plans, under the names that Caffe2's users know.

Nothing here runs anything: `workspace` does.
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
