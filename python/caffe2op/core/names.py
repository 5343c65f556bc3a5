"""Blob references: a blob's name, and the net that gave it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, final

from caffe2op._core.suggest import suggest
from caffe2op.core import scopes
from caffe2op.operators import schema

if TYPE_CHECKING:
    from caffe2op.core.net import Net


@final
class BlobReference:
    """A blob's name that remembers which net produced it. Equal to another reference of the same
    name, whatever its net; `str()` gives the name. `ref + "x"` is the reference of the longer
    name.

    `ref.OpType(more_inputs, outputs)` adds an operator with `ref` as its first input to its net.
    """

    __slots__ = ("_from_net", "_name")

    def __init__(self, name: str | BlobReference, net: Net | None = None) -> None:
        # A net of thousands of operators makes several for each: no union of types made anew.
        if not isinstance(name, (str, BlobReference)) or not (text := str(name)):
            raise TypeError(f"a blob's name must be a non-empty string, got {name!r}")
        self._name = text
        self._from_net = net

    def Net(self) -> Net | None:
        """The net that produced it, if known."""
        return self._from_net

    def GetUnscopedName(self) -> str:
        """The name after its last "/"."""
        return self._name.rsplit(scopes.SEPARATOR, 1)[-1]

    def GetNameScope(self) -> str:
        """The name up to its last "/", that included."""
        return self._name[: len(self._name) - len(self.GetUnscopedName())]

    def __str__(self) -> str:
        return self._name

    def __repr__(self) -> str:
        return f"BlobReference({self._name!r})"

    def __hash__(self) -> int:
        return hash(self._name)

    def __reduce__(self) -> tuple[Any, ...]:
        return BlobReference, (self._name, self._from_net)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BlobReference) and self._name == other._name

    def __add__(self, suffix: str) -> BlobReference:
        if not isinstance(suffix, str):
            return NotImplemented
        return BlobReference(self._name + suffix, self._from_net)

    def __radd__(self, prefix: str) -> BlobReference:
        if not isinstance(prefix, str):
            return NotImplemented
        return BlobReference(prefix + self._name, self._from_net)

    def __getattr__(self, op_type: str) -> Callable[..., Any]:
        if op_type.startswith("_") or not schema.is_registered(op_type):
            raise AttributeError(
                f"no operator type {op_type!r} to apply to blob {self._name!r}"
                f"{suggest(op_type, schema.registered())}"
            )
        if self._from_net is None:
            raise AttributeError(
                f"blob {self._name!r} has no net to add {op_type} to; call it on a net"
            )
        net = self._from_net

        def add(inputs: Blobs = (), *args: Any, **kwargs: Any) -> Any:
            return getattr(net, op_type)([self, *references(inputs)], *args, **kwargs)

        return add


BlobLike = str | BlobReference
Blobs = BlobLike | Iterable[BlobLike]


def ScopedName(name: str) -> str:
    """The name with this thread's name scope before it."""
    return scopes.CurrentNameScope() + name


def ScopedBlobReference(name: BlobLike, net: Net | None = None) -> BlobReference:
    """The reference of the name with this thread's name scope before it."""
    if type(name) is not str or not name:
        name = str(BlobReference(name))
    return BlobReference(ScopedName(name), net)


def references(blobs: Blobs | None, net: Net | None = None) -> list[BlobReference]:
    """One blob or several as references. Strings get the current name scope, references have
    theirs already."""
    if blobs is None:
        return []
    if isinstance(blobs, str):
        return [ScopedBlobReference(blobs, net)]
    if isinstance(blobs, BlobReference):
        return [blobs]
    several: Any = blobs
    if not isinstance(several, Iterable):
        raise TypeError(f"blobs are given as a name, a reference or a list of them, got {blobs!r}")
    found: list[BlobReference] = []
    for blob in several:
        if isinstance(blob, BlobReference):
            found.append(blob)
        elif isinstance(blob, str):
            found.append(ScopedBlobReference(blob, net))
        else:
            raise TypeError(f"a blob is given by its name or a reference, got {blob!r}")
    return found
