"""Net.AddGradientOperators: back through a net, from what is differentiated to what it came from.

A blob that is written twice is two values, so a value is a name and a version, the number of
writes before. The walk goes over the operators in reverse. For one of whose outputs a gradient has
come back, its maker (operators/gradient.py) adds the operators for the gradients of its inputs;
where several came back for one value, a Sum is put before their first use. A gradient operator
reads blobs of the forward pass by name, so the version that it needs must be the last one: that is
checked.

Nothing is added to the net before the whole way back is found. As in Caffe2, but that every
gradient has a blob of its own, so an optimizer may change one in place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from caffe2op._core.suggest import suggest
from caffe2op.core.defs import OperatorDef
from caffe2op.core.names import BlobLike, BlobReference, ScopedName, references
from caffe2op.core.operator import CreateOperator
from caffe2op.core.scopes import CurrentNameScope
from caffe2op.operators import schema
from caffe2op.operators.gradient import (
    GradientRequest,
    GradientSlice,
    NoGradientError,
    maker_of,
)

if TYPE_CHECKING:
    from caffe2op.core.net import Net

Gradient = BlobReference | GradientSlice
Value = tuple[str, int]


class GradientMap(dict[str, Gradient]):
    """Blob name -> its gradient. A reference finds it as its name does."""

    def __missing__(self, key: object) -> Gradient:
        if isinstance(key, BlobReference):
            return self[str(key)]
        raise KeyError(f"no gradient of blob {key!r} was asked for{suggest(str(key), self)}")

    def __contains__(self, key: object) -> bool:
        return super().__contains__(str(key) if isinstance(key, BlobReference) else key)


def add_gradients(
    net: Net, ys: Iterable[BlobLike] | Mapping[BlobLike, BlobLike], stop: set[str]
) -> GradientMap:
    """See Net.AddGradientOperators."""
    back = _WayBack(net, stop)
    if isinstance(ys, Mapping):
        for y, gradient in ys.items():
            back.begin(references(y)[0], str(references(gradient)[0]))
    else:
        for y in references(ys):
            back.begin(y, None)
    for index in reversed(range(len(back.forward))):
        back.pass_by(index)
    found = back.found()
    net.Proto().op.extend(back.added)
    return found


class _WayBack:
    def __init__(self, net: Net, stop: set[str]) -> None:
        self._net = net
        self._stop = stop
        self.forward = list(net.Proto().op)
        self.added: list[OperatorDef] = []
        self._names: set[str] = set()  # of blobs that self.added writes
        self._gradients: dict[Value, list[str | tuple[str, str]]] = {}
        self._last: dict[str, int] = {}  # name -> its last version
        self._in: list[list[Value]] = []
        self._out: list[list[Value]] = []
        for op in self.forward:
            self._in.append([(name, self._last.get(name, 0)) for name in op.input])
            for name in op.output:
                self._last[name] = self._last.get(name, 0) + 1
            self._out.append([(name, self._last[name]) for name in op.output])

    def begin(self, y: BlobReference, gradient: str | None) -> None:
        name = str(self._net.GetBlobRef(y))
        if gradient is None:
            gradient = self._new_name(f"{name}_autogen_grad")
            self._add("ConstantFill", [name], [gradient], {"value": 1.0}, None)
        self._gradients.setdefault((name, self._last.get(name, 0)), []).append(gradient)

    def pass_by(self, index: int) -> None:
        """One operator, after all that read its outputs."""
        op = self.forward[index]
        outputs = self._out[index]
        if not any(value in self._gradients for value in outputs):
            return
        inputs = self._in[index]
        try:
            maker = maker_of(op)
            if maker is None:
                return
            wanted = [name not in self._stop for name, _ in inputs]
            if not any(wanted):
                return
            request = GradientRequest(
                op,
                [self._dense(value, op) for value in outputs],
                wanted,
                [self._new_name(f"{name}_grad") for name, _ in inputs],
            )
            maker(request)
            if not any(wanted[k] for k in request.gradients):
                return  # it is for constants only
            used = [inputs[k] for k in sorted(request.inputs_used)]
            for name, version in [*used, *(outputs[k] for k in sorted(request.outputs_used))]:
                if self._last[name] != version if name in self._last else version:
                    raise NoGradientError(
                        f"its gradient needs blob {name!r}, which a later operator overwrites"
                    )
        except NoGradientError as error:
            raise ValueError(
                f"net {self._net.Name()!r}: {schema.describe(op)} ({', '.join(op.output)}): {error}"
            ) from None
        for type_, reads, writes, args in request.made:
            self._add(type_, reads, writes, args, op)
        for k, gradient in request.gradients.items():
            if wanted[k]:
                self._gradients.setdefault(inputs[k], []).append(gradient)

    def found(self) -> GradientMap:
        """The gradient of the first version of each blob that has one."""
        first: dict[str, int] = {}
        for name, version in self._gradients:
            first[name] = min(version, first.get(name, version))
        result = GradientMap()
        for name, version in first.items():
            gradient = self._one((name, version), None)
            if isinstance(gradient, str):
                result[name] = BlobReference(gradient, self._net)
            else:
                result[name] = GradientSlice(*(BlobReference(g, self._net) for g in gradient))
        return result

    def _dense(self, value: Value, op: OperatorDef) -> str | None:
        """The one blob that is the gradient of a value, or None where none came back."""
        if value not in self._gradients:
            return None
        gradient = self._one(value, op)
        if isinstance(gradient, str):
            return gradient
        raise NoGradientError(
            f"the gradient of {value[0]!r} is rows of it; only what nothing computes, a parameter "
            "or an external input, can be read by rows"
        )

    def _one(self, value: Value, op: OperatorDef | None) -> str | tuple[str, str]:
        """The gradient of a value, summed where several came back."""
        parts = self._gradients[value]
        if len(parts) == 1:
            return parts[0]
        dense = [p for p in parts if isinstance(p, str)]
        slices = [p for p in parts if not isinstance(p, str)]
        total: str | tuple[str, str]
        if not slices:
            total = self._new_name(f"{value[0]}_grad_sum")
            self._add("Sum", dense, [total], {}, op)
        elif not dense:
            joined = [self._new_name(f"{value[0]}_grad_{what}") for what in ("indices", "values")]
            for k, name in enumerate(joined):
                pieces = [part[k] for part in slices]
                self._add("Concat", pieces, [name, f"{name}_split_info"], {"axis": 0}, op)
            total = (joined[0], joined[1])
        else:
            raise ValueError(
                f"net {self._net.Name()!r}: blob {value[0]!r} is read whole and by rows, and its "
                "gradients cannot be added up; give each reader a blob of its own (Copy)"
            )
        self._gradients[value] = [total]
        return total

    def _new_name(self, wanted: str) -> str:
        """In the current name scope: replicas share parameters, not their gradients."""
        if not wanted.startswith(CurrentNameScope()):
            wanted = ScopedName(wanted)
        name, number = wanted, 0
        while name in self._names or self._net.BlobIsDefined(name):
            number += 1
            name = f"{wanted}_{number}"
        self._names.add(name)
        return name

    def _add(
        self,
        type_: str,
        inputs: list[str],
        outputs: list[str],
        args: dict[str, Any],
        of: OperatorDef | None,
    ) -> None:
        self.added.append(
            CreateOperator(
                type_,
                [BlobReference(name) for name in inputs],
                [BlobReference(name) for name in outputs],
                device_option=of.device_option if of else None,
                **args,
            )
        )
