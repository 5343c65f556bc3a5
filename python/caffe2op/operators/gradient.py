"""What is known of the gradients of operator types: for each, a maker or that there is none.

A maker is a function of a GradientRequest, which knows the operator, and for each output the blob
that holds its gradient. It adds the operators that compute the inputs' gradients:

    def _relu(r: GradientRequest) -> None:
        r.add("ReluGradient", [r.O(0), r.GO(0)], [r.GI(0)])

core/gradients.py goes through a net and asks. A type that is not here cannot be differentiated,
and a net says so when it would have to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from caffe2op.core.defs import OperatorDef
    from caffe2op.core.names import BlobReference


class GradientSlice(NamedTuple):
    """The gradient of a table of which only some rows were used: row `indices[k]` gets
    `values[k]`; a row that comes twice gets the sum."""

    indices: BlobReference
    values: BlobReference


class NoGradientError(ValueError):
    """An operator cannot be differentiated in the way that is asked; says why."""


class GradientRequest:
    """One operator on the way back, as its maker sees it."""

    def __init__(
        self,
        op: OperatorDef,
        output_gradients: list[str | None],
        wanted: list[bool],
        names: list[str],
    ) -> None:
        self.op = op
        self.wanted = wanted
        """For each input, whether anybody asks for its gradient."""
        self.made: list[tuple[str, list[str], list[str], dict[str, Any]]] = []
        self.inputs_used: set[int] = set()
        self.outputs_used: set[int] = set()
        self.gradients: dict[int, str | tuple[str, str]] = {}
        self._given = output_gradients
        self._names = names

    @property
    def args(self) -> dict[str, Any]:
        """The arguments that the operator was given."""
        return {a.name: a.value for a in self.op.arg}

    def I(self, k: int) -> str:  # noqa: E743  Caffe2's name
        """Input k as it was when the operator ran."""
        self.inputs_used.add(k)
        return self.op.input[k]

    def O(self, k: int) -> str:  # noqa: E743
        """Output k as the operator left it."""
        self.outputs_used.add(k)
        return self.op.output[k]

    def GO(self, k: int) -> str:
        """The gradient of output k. NoGradientError where none comes back."""
        given = self._given[k]
        if given is None:
            raise NoGradientError(f"no gradient comes back to output {self.op.output[k]!r}")
        return given

    def refuse(self, k: int) -> None:
        """NoGradientError if a gradient comes back to output k."""
        if k < len(self._given) and self._given[k] is not None:
            raise NoGradientError(f"cannot be differentiated by output {self.op.output[k]!r}")

    def GI(self, k: int) -> str:
        """The name for the gradient of input k, which the maker is to fill."""
        self.gradients[k] = self._names[k]
        return self._names[k]

    def give_slice(self, k: int, indices: str, values: str) -> None:
        """The gradient of input k is these rows."""
        self.gradients[k] = (indices, values)

    def add(self, type_: str, inputs: list[str], outputs: list[str], **args: Any) -> None:
        """One more operator."""
        self.made.append((type_, inputs, outputs, args))


Maker = Callable[[GradientRequest], None]

_makers: dict[str, Maker | None] = {}


def register_gradient(type_: str, maker: Maker) -> None:
    """How to differentiate operators of this type."""
    _makers[type_] = maker


def register_constant(*types: str) -> None:
    """These types end the way back: what they give depends on nothing that is differentiated."""
    for type_ in types:
        _makers[type_] = None


def maker_of(op: OperatorDef) -> Maker | None:
    """The maker of the operator's type, None for a constant. NoGradientError for neither."""
    if op.type not in _makers:
        raise NoGradientError("has no gradient")
    return _makers[op.type]
