"""What each operator type accepts, and the checks of an operator against it.

The other modules of this package register one Schema per operator type when they are imported.
`validate` is called when an operator or a net is created, before anything is changed; its errors
name the operator, the blob or argument, what was given and what is accepted. `pack_args` lays an
operator's arguments out as C sees them.

Registration happens at import, or from user code: it may come from any thread, one dict
operation each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from caffe2op._core import ffi
from caffe2op._core.suggest import suggest
from caffe2op.operators.kinds import CONVERT, INT64_MIN
from caffe2op.operators.kinds import INT64_MAX as INT64_MAX

if TYPE_CHECKING:
    from caffe2op.core.defs import NetDef, OperatorDef


class _Required:
    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED = _Required()

Pairs = tuple[tuple[int, int], ...]
ONE_TO_ONE: Pairs = ((-1, -1),)
"""For in_place and enforce_in_place: each input and the output of the same index."""
ANY_PAIR: Pairs = ((-2, -2),)
"""For in_place: every input and every output."""


@dataclass(frozen=True)
class Arg:
    """One argument of an operator type."""

    name: str
    kind: str  # "int" "float" "bool" "number" "ints" "floats" "bools" "str" "dtype" "object"
    default: object = REQUIRED  # None: C sees zeros with given == 0
    doc: str = ""
    check: Callable[[Any], str | None] | None = None  # returns what is wrong, or None

    def __post_init__(self) -> None:
        if self.kind not in CONVERT:
            raise ValueError(
                f"argument {self.name!r} has kind {self.kind!r}; accepted: {', '.join(CONVERT)}"
            )


@dataclass(frozen=True)
class Schema:
    """What operators of one type take and give."""

    type: str  # operator name, also the native kernel's name
    inputs: tuple[int, int | None]  # least, most (None: any number)
    outputs: tuple[int, int | None]
    args: tuple[Arg, ...] = ()  # the order in which C sees them (c2_context.args[k])
    input_names: tuple[str, ...] = ()
    output_names: tuple[str, ...] = ()
    in_place: Pairs = ()  # (input, output) that MAY be the same blob
    enforce_in_place: Pairs = ()  # pairs that MUST be
    mutates: tuple[int, ...] = ()  # inputs changed without being outputs: a queue, a counter
    waits: bool = False  # may wait for another operator (queues, Python)
    check: Callable[[OperatorDef], str | None] | None = None  # whatever else must hold
    doc: str = ""

    # The same for all operators of the type, and made when the first one needs them.

    @cached_property
    def by_name(self) -> dict[str, Arg]:
        """The arguments by name."""
        return {arg.name: arg for arg in self.args}

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """The values of arguments that are not given, converted; not to be changed."""
        return {
            arg.name: None if arg.default is None else CONVERT[arg.kind](arg.default)
            for arg in self.args
            if arg.default is not REQUIRED
        }

    @cached_property
    def needs(self) -> bool:
        """Whether there are arguments that must be given."""
        return len(self.defaults) < len(self.args)

    @cached_property
    def packed(self) -> PackedArgs:
        """The arguments for C where none is given."""
        packed = ffi.new("c2_arg[]", len(self.args))
        keep: list[Any] = [packed]
        for slot, arg in zip(packed, self.args, strict=True):
            _put(slot, arg, self.defaults.get(arg.name), keep)
        return PackedArgs(packed, len(self.args), tuple(keep))


PythonFunction = Callable[[list[Any], list[Any]], Any]


@dataclass(frozen=True)
class Binding:
    """How a net runs operators of a type: the native kernel of that name, or (kernel None) the
    Python function that `python` gives for the operator.

    `prepare` is called before a net with such an operator is built: it loads what the kernel
    needs, or raises. `blocks` tells of one operator what `Schema.waits` does of all of its type.

    `handle` is the `void *` that a native kernel finds in its context (a c2_user_schema, say), and
    nets keep it alive. `inner` makes it for an operator that runs nets of its own: it is given what
    builds one, the value of the argument of that name, into a c2_net.
    """

    kernel: str | None
    handle: Any = None
    inner: Callable[[OperatorDef, Callable[[str, NetDef], Any]], Any] | None = None
    python: Callable[[OperatorDef], PythonFunction] | None = None
    prepare: Callable[[], None] | None = None
    blocks: Callable[[OperatorDef], bool] | None = None


_types: dict[str, tuple[Schema, Binding]] = {}
_stamp = object()  # another one whenever a type that was there becomes another


def register(schema: Schema, binding: Binding | None = None, *, replace: bool = False) -> None:
    """Add an operator type. Without a binding the native kernel `schema.type` runs it.
    ValueError when the type is there already, unless it is to be replaced: nets that exist keep
    what they were made with."""
    global _stamp
    names = [a.name for a in schema.args]
    if len(set(names)) != len(names):
        raise ValueError(f"operator {schema.type!r} declares an argument twice: {names}")
    entry = schema, binding or Binding(schema.type)
    if replace:
        _types[schema.type] = entry
        _stamp = object()  # after it: what is built in between is built again
    elif _types.setdefault(schema.type, entry) is not entry:
        raise ValueError(f"operator type {schema.type!r} is registered already")


def stamp() -> object:
    """Something that is the same as long as every registered type is what it was."""
    return _stamp


def registered() -> list[str]:
    """Every operator type, sorted."""
    return sorted(_types)


def is_registered(type_: str) -> bool:
    """Whether there is an operator of this type."""
    return type_ in _types


def entry(type_: str) -> tuple[Schema, Binding]:
    """The schema of an operator type, and how it runs. ValueError, with the nearest name, when
    there is none."""
    found = _types.get(type_)
    if found is None:
        raise ValueError(f"unknown operator type {type_!r}{suggest(type_, _types)}")
    return found


def lookup(type_: str) -> Schema:
    """The schema of an operator type; ValueError as `entry`."""
    return entry(type_)[0]


# ---- arguments ---------------------------------------------------------------------------------


def _convert(op: OperatorDef, arg: Arg, value: Any) -> Any:
    try:
        result = CONVERT[arg.kind](value)
    except (TypeError, ValueError) as error:
        text = f": {error}" if arg.kind == "dtype" else f" must be {error}, got {value!r}"
        raise type(error)(f"{describe(op)}: argument {arg.name!r}{text}") from None
    wrong = arg.check(result) if arg.check else None
    if wrong:
        raise ValueError(f"{describe(op)}: argument {arg.name!r} {wrong}, got {value!r}")
    return result


def argument_values(op: OperatorDef, schema: Schema) -> dict[str, Any]:
    """Every argument of the schema with its value, converted and checked, defaults filled in.
    A dtype is its c2_dtype code."""
    if not op.arg and not schema.args:
        return {}
    declared = schema.by_name
    given: dict[str, Any] = {}
    for argument in op.arg:
        try:
            name, value = argument.name, argument.value
        except AttributeError:
            raise TypeError(
                f"{describe(op)}: field 'arg' must be a list of Argument, got {argument!r} in it"
            ) from None
        if not isinstance(name, str) or name not in declared:
            known = suggest(name, declared) if declared else "; it takes none"
            raise ValueError(f"{describe(op)}: unknown argument {name!r}{known}")
        if name in given:
            raise ValueError(f"{describe(op)}: argument {name!r} is given twice")
        given[name] = value
    values = dict(schema.defaults)
    if not given and len(values) == len(schema.args):
        return values
    for arg in schema.args:  # the first that is wrong, in their order
        if arg.name in given:
            values[arg.name] = _convert(op, arg, given[arg.name])
        elif arg.default is REQUIRED:
            raise ValueError(f"{describe(op)}: argument {arg.name!r} ({arg.kind}) is missing")
    return values


# ---- an operator against its schema -------------------------------------------------------------


def describe(op: OperatorDef) -> str:
    """How messages name an operator."""
    return f"operator {op.type}" + (f" {op.name!r}" if op.name else "")


def validate(op: OperatorDef, where: str = "") -> Schema:
    """The operator's schema, once the operator is found to fit it. ValueError or TypeError
    otherwise, whose message begins with `where` (the net, say) and the operator."""
    try:
        schema = lookup(op.type)
        check_names(op)
        check_blobs(op, schema)
        argument_values(op, schema)
        return schema
    except (TypeError, ValueError) as error:
        raise type(error)(f"{where}: {error}" if where else str(error)) from None


def check_names(op: OperatorDef) -> None:
    """ValueError for a blob that is not given by its name."""
    for name in (*op.input, *op.output, *op.control_input):
        if not isinstance(name, str) or not name:
            raise ValueError(f"{describe(op)}: blobs are given by their names, got {name!r}")


def check_blobs(op: OperatorDef, schema: Schema) -> None:
    """The inputs and outputs against the schema, and the schema's own check. A net of thousands of
    operators passes through here: messages are made for failures only."""
    inputs, outputs = op.input, op.output
    least, most = schema.inputs
    if len(inputs) < least or (most is not None and len(inputs) > most):
        raise _wrong_count(op, "input", inputs, schema.inputs, schema.input_names)
    least, most = schema.outputs
    if len(outputs) < least or (most is not None and len(outputs) > most):
        raise _wrong_count(op, "output", outputs, schema.outputs, schema.output_names)
    if len(outputs) > 1 and len(set(outputs)) < len(outputs):
        twice = min(name for name in outputs if outputs.count(name) > 1)
        raise ValueError(f"{describe(op)}: output {twice!r} is given twice")
    if schema.enforce_in_place:
        for o, target in enumerate(outputs):
            _check_in_place(op, schema, o, target)
    else:
        for o, target in enumerate(outputs):
            if target in inputs and (inputs.index(target), o) not in schema.in_place:
                _check_in_place(op, schema, o, target)
    if schema.check:
        wrong = schema.check(op)
        if wrong:
            raise ValueError(f"{describe(op)}: {wrong}")


def _wrong_count(
    op: OperatorDef,
    kind: str,
    given: list[str],
    limits: tuple[int, int | None],
    names: tuple[str, ...],
) -> ValueError:
    least, most = limits
    if most is None:
        accepted = f"{least} or more"
    else:
        accepted = f"{least}" if least == most else f"{least} to {most}"
    plural = "" if accepted == "1" else "s"
    called = f" ({', '.join(names)})" if names else ""
    got = f"{len(given)} ({', '.join(map(str, given))})" if given else "none"
    return ValueError(f"{describe(op)}: {accepted} {kind}{plural}{called} accepted, got {got}")


def allows(pairs: Pairs, i: int, o: int) -> bool:
    """Whether `pairs` holds input i and output o."""
    return (i, o) in pairs or (pairs == ONE_TO_ONE and i == o) or pairs == ANY_PAIR


def _check_in_place(op: OperatorDef, schema: Schema, o: int, target: str) -> None:
    may = False  # the blob may stand at two inputs, of which one may be written in place
    same = -1
    for i, source in enumerate(op.input):
        must = allows(schema.enforce_in_place, i, o)
        if source == target:
            same = i
            may = may or must or allows(schema.in_place, i, o)
        elif must:
            raise ValueError(
                f"{_pair(op, schema, i, o)} must be the same blob, got {source!r} and {target!r}"
            )
    if same >= 0 and not may:
        raise ValueError(
            f"{_pair(op, schema, same, o)} must be different blobs, got {target!r} for both"
        )


def _pair(op: OperatorDef, schema: Schema, i: int, o: int) -> str:
    names = schema.input_names[i : i + 1], schema.output_names[o : o + 1]
    one, other = (f" ({name[0]})" if name else "" for name in names)
    return f"{describe(op)}: input {i}{one} and output {o}{other}"


# ---- arguments for C --------------------------------------------------------------------------


class PackedArgs(NamedTuple):
    """A `c2_arg[]` in schema order (NULL when there are none), its length, and what must live as
    long as it."""

    args: Any
    n: int
    keepalive: tuple[Any, ...]


NO_ARGS = PackedArgs(ffi.NULL, 0, ())


def pack_args(op: OperatorDef, schema: Schema) -> PackedArgs:
    """The operator's arguments as C sees them: ints, dtypes (their code) and bools (0 or 1) in
    `i`, floats in `f`, a number in `f` and, when it is integral and fits, in `i`; strings in `s`,
    lists in `ints` (bools too) or `floats` with `count`; defaults filled in with `given` 0. An
    "object" stays in Python: C sees only `given`."""
    values = argument_values(op, schema)
    if not schema.args:
        return NO_ARGS
    usual = schema.packed
    if not op.arg:
        return usual
    packed = ffi.new("c2_arg[]", len(schema.args))
    ffi.memmove(packed, usual.args, ffi.sizeof(packed))
    keep = [packed, usual]
    given = {a.name for a in op.arg}
    for k, arg in enumerate(schema.args):
        if arg.name in given:
            packed[k].given = 1
            _put(packed[k], arg, values[arg.name], keep)
    return PackedArgs(packed, len(schema.args), tuple(keep))


def _put(slot: Any, arg: Arg, value: Any, keep: list[Any]) -> None:
    """One argument's value into its c2_arg; what that points to is added to `keep`."""
    if value is None or arg.kind == "object":
        return
    if arg.kind in ("int", "bool", "dtype"):
        slot.i = int(value)
    elif arg.kind == "float":
        slot.f = value
    elif arg.kind == "number":
        slot.f = value
        integral = value == value // 1 and INT64_MIN <= value <= INT64_MAX
        slot.i = int(value) if integral else 0  # not the default's
    elif arg.kind == "str":
        keep.append(ffi.new("char[]", value.encode(errors="surrogateescape")))
        slot.s = keep[-1]
    else:
        keep.append(ffi.new("double[]" if arg.kind == "floats" else "int64_t[]", value))
        if arg.kind == "floats":
            slot.floats = keep[-1]
        else:
            slot.ints = keep[-1]
        slot.count = len(value)
