"""The Python operator: a function of the user, called with the GIL held.

    def double(inputs, outputs):
        outputs[0].feed(inputs[0].data * 2)

    net.Python(double)(["x"], ["y"])

`inputs` and `outputs` are lists of workspace.BlobView: `.data` is a NumPy view of the blob's own
memory (after the call the blob may have moved to another); `.feed(array)` makes the blob a copy of
the array; `.reshape(shape, dtype)` gives it memory to write into through `.data`. Returning False
reports failure; any other value is success. An exception ends the run and is raised by whoever ran
it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from caffe2op.operators.schema import ANY_PAIR, Arg, Binding, PythonFunction, Schema, register

if TYPE_CHECKING:
    from caffe2op.core.defs import OperatorDef


def _callable(value: Any) -> str | None:
    return None if callable(value) else "must be a function of (inputs, outputs)"


def _function(op: OperatorDef) -> PythonFunction:
    found: PythonFunction = next(a.object for a in op.arg if a.name == "function")
    return found


register(
    Schema(
        "Python",
        inputs=(0, None),
        outputs=(0, None),
        args=(Arg("function", "object", doc="function(inputs, outputs)", check=_callable),),
        in_place=ANY_PAIR,
        waits=True,
        doc="Calls a Python function.",
    ),
    Binding(kernel=None, python=_function),
)
