"""Schemas: registration, what is refused with which words, and arguments as C sees them."""

import itertools

import numpy as np
import pytest

from caffe2op import core
from caffe2op._core import ffi, lib
from caffe2op.core.defs import OperatorDef, make_argument
from caffe2op.operators import schema
from caffe2op.operators.schema import ANY_PAIR, ONE_TO_ONE, Arg, Schema

NOT_BY_NAME = {"UserFunction"}  # what every function in C of the user is bound to

_count = itertools.count()


def registered(**fields) -> Schema:
    fields = {"inputs": (1, 2), "outputs": (1, 2)} | fields
    made = Schema(f"TestSchema{next(_count)}", **fields)
    schema.register(made)
    return made


def operator(made: Schema, inputs="x", outputs="y", **args) -> OperatorDef:
    return OperatorDef(
        made.type,
        inputs.split(),
        outputs.split(),
        "name",
        [make_argument(k, v) for k, v in args.items()],
    )


def refused(made: Schema, *args, error=ValueError, **kwargs) -> str:
    op = operator(made, *args, **kwargs)
    with pytest.raises(error) as caught:
        schema.validate(op, "net 'n', operator 3")
    text = str(caught.value)
    assert text.startswith(f"net 'n', operator 3: operator {made.type} 'name': ")
    return text.partition("'name': ")[2]


def test_registry() -> None:
    made = registered()
    assert schema.lookup(made.type) is made
    assert made.type in schema.registered()
    assert schema.entry(made.type)[1] == schema.Binding(made.type)
    with pytest.raises(ValueError, match="registered already"):
        schema.register(made)
    with pytest.raises(ValueError, match="'AtomicFetchadd'; did you mean 'AtomicFetchAdd'"):
        schema.lookup("AtomicFetchadd")
    with pytest.raises(ValueError, match="kind 'integer'; accepted: int"):
        Arg("a", "integer")
    with pytest.raises(ValueError, match="declares an argument twice"):
        schema.register(Schema("Twice", (0, 0), (0, 0), (Arg("a", "int"), Arg("a", "int"))))


def test_counts_of_blobs() -> None:
    made = registered(input_names=("left", "right"))
    assert schema.validate(operator(made)) is made
    assert refused(made, "") == "1 to 2 inputs (left, right) accepted, got none"
    assert refused(made, "a b c").endswith("accepted, got 3 (a, b, c)")
    assert refused(made, outputs="a b c") == "1 to 2 outputs accepted, got 3 (a, b, c)"
    assert refused(registered(inputs=(2, None))) == "2 or more inputs accepted, got 1 (x)"
    assert refused(registered(inputs=(1, 1)), "") == "1 input accepted, got none"
    assert refused(made, outputs="y y") == "output 'y' is given twice"


@pytest.mark.parametrize("name", ["", None, 3, core.BlobReference("x")])
def test_blobs_are_names(name) -> None:
    made = registered()
    with pytest.raises(ValueError, match="given by their names"):
        schema.validate(OperatorDef(made.type, [name], ["y"]))


def test_in_place() -> None:
    assert "input 0 and output 0 must be different" in refused(registered(), "x", "x")
    allowed = registered(in_place=((1, 0),), input_names=("a", "b"))
    schema.validate(operator(allowed, "x y", "y"))
    schema.validate(operator(allowed, "y y", "y"))  # may be written as input 1
    assert refused(allowed, "x y", "x") == (
        "input 0 (a) and output 0 must be different blobs, got 'x' for both"
    )
    forced = registered(enforce_in_place=((0, 0),))
    schema.validate(operator(forced, "x", "x"))
    assert refused(forced) == "input 0 and output 0 must be the same blob, got 'x' and 'y'"
    one_to_one = registered(enforce_in_place=ONE_TO_ONE)
    schema.validate(operator(one_to_one, "x y", "x y"))
    assert "must be the same" in refused(one_to_one, "x y", "y x")
    schema.validate(operator(registered(in_place=ANY_PAIR), "x y", "y x"))


def test_the_schemas_own_check() -> None:
    made = registered(check=lambda op: "no x here" if "x" in op.input else None)
    assert refused(made) == "no x here"
    schema.validate(operator(made, "z"))


ALL_KINDS = (
    Arg("n", "int", check=lambda n: None if n >= 0 else "must be at least 0"),
    Arg("f", "float", 0.5),
    Arg("b", "bool", False),
    Arg("ns", "ints", ()),
    Arg("fs", "floats", (1.0, 2.0)),
    Arg("s", "str", "default"),
    Arg("d", "dtype", "float32"),
    Arg("o", "object", None),
)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({}, "argument 'n' (int) is missing"),
        ({"n": -1}, "argument 'n' must be at least 0, got -1"),
        ({"n": 2**63}, "argument 'n' must be an int of 64 bits, got 9223372036854775808"),
        ({"n": 1, "ff": 1}, "unknown argument 'ff'; did you mean 'f'?"),
        ({"n": 1, "f": 10**400}, "argument 'f' must be a float of 64 bits"),
        ({"n": 1, "s": "a\0b"}, "argument 's' must be a string without NUL"),
        (
            {"n": 1, "d": 12},
            "argument 'd': no dtype has the number 12; accepted: core.DataType.FLOAT",
        ),
    ],
)
def test_values_refused(args, message) -> None:
    assert refused(registered(args=ALL_KINDS), **args).startswith(message)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"n": 1.0}, "argument 'n' must be an int, got 1.0"),
        ({"n": True}, "argument 'n' must be an int, got True"),
        ({"n": "1"}, "argument 'n' must be an int, got '1'"),
        ({"n": 1, "f": "x"}, "argument 'f' must be a float, got 'x'"),
        ({"n": 1, "b": 2}, "argument 'b' must be a bool, got 2"),
        ({"n": 1, "ns": 3}, "argument 'ns' must be a list of ints, got 3"),
        ({"n": 1, "ns": [1.5]}, "argument 'ns' must be a list of ints, got [1.5]"),
        ({"n": 1, "fs": ["a"]}, "argument 'fs' must be a list of floats, got ['a']"),
        ({"n": 1, "s": 3}, "argument 's' must be a string, got 3"),
        ({"n": 1, "d": "complex64"}, "argument 'd': dtype: dtype complex64 is not accepted"),
        ({"n": 1, "d": "nonsense"}, "argument 'd': dtype: 'nonsense' is not a dtype"),
        ({"n": 1, "d": 1.5}, "argument 'd': not a dtype: 1.5"),
    ],
)
def test_types_refused(args, message) -> None:
    assert refused(registered(args=ALL_KINDS), error=TypeError, **args).startswith(message)


def test_an_argument_given_twice_or_to_a_type_without_any() -> None:
    made = registered(args=ALL_KINDS)
    op = operator(made, n=1)
    op.arg.append(make_argument("n", 2))
    with pytest.raises(ValueError, match="'n' is given twice"):
        schema.validate(op)
    assert refused(registered(), n=1) == "unknown argument 'n'; it takes none"


def test_packed_in_schema_order_with_defaults() -> None:
    made = registered(args=ALL_KINDS)
    packed = schema.pack_args(operator(made, n=7, ns=[1, -2], s="é", b=True), made)
    n, f, b, ns, fs, s, d, o = packed.args
    assert packed.n == len(packed.args) == 8
    assert (n.i, n.given) == (7, 1)
    assert (f.f, f.given) == (0.5, 0)
    assert (b.i, b.given) == (1, 1)
    assert ffi.unpack(ns.ints, ns.count) == [1, -2]
    assert ffi.unpack(fs.floats, fs.count) == [1.0, 2.0]
    assert ffi.string(s.s).decode() == "é"
    assert (d.i, d.given) == (lib.C2_FLOAT32, 0)
    assert o.given == 0
    assert schema.pack_args(operator(registered()), registered()).args == ffi.NULL


@pytest.mark.parametrize("dtype", [core.DataType.INT64, 10, "int64", np.int64, np.dtype(np.int64)])
def test_every_way_to_name_a_dtype(dtype) -> None:
    made = registered(args=(Arg("d", "dtype"),))
    assert schema.pack_args(operator(made, d=dtype), made).args[0].i == lib.C2_INT64


def test_every_registered_type_can_run() -> None:
    for type_ in schema.registered():
        if not type_.startswith("TestSchema"):
            _, binding = schema.entry(type_)
            has_kernel = binding.kernel and lib.c2_kernel_find(binding.kernel.encode()) != ffi.NULL
            assert has_kernel or binding.python, type_


def test_kernels_in_c_and_schemas_in_python_are_the_same() -> None:
    """A kernel that no net can name is dead; a schema without one fails when its net is made."""
    kernels = [ffi.string(lib.c2_kernel_name(k)).decode() for k in range(lib.c2_kernel_count())]
    assert len(set(kernels)) == len(kernels)
    assert lib.c2_kernel_name(len(kernels)) == ffi.NULL
    native = {
        type_
        for type_ in schema.registered()
        if not type_.startswith("TestSchema") and lib.c2_kernel_find(type_.encode()) != ffi.NULL
    }
    assert native == set(kernels) - NOT_BY_NAME
    for type_ in kernels:
        assert lib.c2_kernel_find(type_.encode()) != ffi.NULL


def test_a_number_that_is_given_leaves_nothing_of_the_default() -> None:
    args = (
        Arg("n", "number", 7),
        Arg("s", "str", "some"),
        Arg("l", "ints", (1, 2, 3)),
        Arg("f", "floats", None),
    )
    made = registered(args=args)
    usual = schema.pack_args(operator(made), made)
    given = schema.pack_args(operator(made, n=2.5, s="other", l=[4], f=[0.5]), made)
    again = schema.pack_args(operator(made), made)
    for packed in (usual, again):
        n, s, ints, floats = packed.args
        assert (n.i, n.f, n.given, ffi.string(s.s), ints.ints[2], ints.count) == (
            7, 7.0, 0, b"some", 3, 3,
        )  # fmt: skip
        assert (floats.floats, floats.count, floats.given) == (ffi.NULL, 0, 0)
    n, s, ints, floats = given.args
    assert (n.i, n.f, n.given, ffi.string(s.s)) == (0, 2.5, 1, b"other")
    assert (ints.ints[0], ints.count, floats.floats[0], floats.given) == (4, 1, 0.5, 1)
