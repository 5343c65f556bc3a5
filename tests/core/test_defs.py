"""Definitions: Caffe2's field names, and errors that say which field was meant."""

import numpy as np
import pytest

from caffe2op import core
from caffe2op.core.defs import Argument, make_argument


def test_field_names_are_those_of_caffe2() -> None:
    net = core.Net("fields")
    net.Proto().type = "dag"
    net.Proto().num_workers = 4
    op = core.CreateOperator(
        "Copy",
        ["x"],
        ["y"],
        name="c",
        engine="e",
        debug_info="d",
        control_input=["z"],
        device_option=core.DeviceOption(0, 1),
    )
    assert (op.type, op.input, op.output, op.name) == ("Copy", ["x"], ["y"], "c")
    assert (op.engine, op.debug_info, op.control_input) == ("e", "d", ["z"])
    assert op.device_option is not None
    assert (op.device_option.device_type, op.device_option.device_id) == (0, 1)
    assert core.PlanDef(name="p").execution_step == []


@pytest.mark.parametrize(
    ("make", "wrong", "meant"),
    [
        (core.NetDef, "num_worker", "num_workers"),
        (core.OperatorDef, "inputs", "input"),
        (core.ExecutionStepDef, "substeps", "substep"),
        (core.ExecutionStepDef, "should_stop_blobs", "should_stop_blob"),
        (core.PlanDef, "networks", "network"),
        (core.DeviceOption, "device_typ", "device_type"),
    ],
)
def test_unknown_fields_name_the_one_that_was_meant(make, wrong, meant) -> None:
    with pytest.raises(TypeError, match=f"no field '{wrong}'; did you mean '{meant}'"):
        make(**{wrong: 1})
    made = make()
    with pytest.raises(AttributeError, match=f"no field '{wrong}'; did you mean '{meant}'"):
        setattr(made, wrong, 1)


@pytest.mark.parametrize(
    ("value", "field", "kept"),
    [
        (3, "i", 3),
        (True, "i", True),
        (np.int32(3), "i", 3),
        (1.5, "f", 1.5),
        (np.float32(1.5), "f", 1.5),
        ("s", "s", "s"),
        (b"s", "s", b"s"),
        ([1, 2], "ints", [1, 2]),
        ((), "ints", []),
        (np.arange(4).reshape(2, 2), "ints", [0, 1, 2, 3]),
        ([1, 2.5], "floats", [1.0, 2.5]),
        (["a", "b"], "strings", ["a", "b"]),
        (np.float32, "s", "float32"),
        (np.dtype("int64"), "s", "int64"),
        (core.DataType.INT64, "i", 10),
    ],
)
def test_values_go_into_the_field_of_their_kind(value, field, kept) -> None:
    argument = make_argument("a", value)
    assert getattr(argument, field) == kept
    assert argument.value == kept
    others = {"i", "f", "s", "ints", "floats", "strings", "object"} - {field}
    assert all(getattr(argument, other) is None for other in others)


def test_a_function_is_kept_as_it_is() -> None:
    assert make_argument("f", len) == Argument("f", object=len)
    assert make_argument("f", len).value is len


def test_an_int_among_floats_that_is_none() -> None:
    with pytest.raises(OverflowError, match="argument 'values': an int that no float"):
        make_argument("values", [1.5, 10**400])
