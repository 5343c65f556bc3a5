"""Net: operators in program order, put together by calling their types as methods.

    net = core.Net("count")
    mutex = net.CreateMutex([], "mutex")
    net.AtomicFetchAdd([mutex, "total", "one"], ["total", "before"])

A Net is a definition only; workspace.CreateNet builds what runs. Not to be changed by two
threads at the same time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from caffe2op._core import locks
from caffe2op._core.suggest import suggest
from caffe2op.core.defs import NetDef
from caffe2op.core.gradients import GradientMap, add_gradients
from caffe2op.core.names import BlobLike, BlobReference, Blobs, ScopedBlobReference, references
from caffe2op.core.operator import CreateOperator
from caffe2op.operators import schema

MOST_OUTPUTS = 2**16  # that names are made up for

# Net names of this process: each name that was asked for, and how many numbered ones were made
# of it. The numbered ones are not kept, so that nets made in a loop take no memory for ever.
_asked: dict[str, int] = {}
_asked_lock = locks.lock()
_NUMBERED = re.compile(r"(.+)_([1-9][0-9]{0,17})", re.DOTALL)


def _is_used(name: str) -> bool:
    if name in _asked:
        return True
    numbered = _NUMBERED.fullmatch(name)
    return numbered is not None and int(numbered[2]) <= _asked.get(numbered[1], 0)


def _unused_name(base: str) -> str:
    with _asked_lock:
        name, number = base, _asked.get(base, 0)
        while _is_used(name):
            number += 1
            name = f"{base}_{number}"
        _asked[base] = number
        return name


class Net:
    """A net under construction. `name` gets "_1", "_2", ... where an earlier net of this process
    has had it (for which the process keeps each name that it is given, but not the numbered ones);
    a NetDef is taken as it is."""

    def __init__(self, name_or_proto: str | NetDef) -> None:
        if isinstance(name_or_proto, NetDef):
            self._net = name_or_proto
        elif isinstance(name_or_proto, str) and name_or_proto:
            self._net = NetDef(_unused_name(name_or_proto))
        else:
            raise TypeError(f"a net is made from its name or a NetDef, got {name_or_proto!r}")
        self._reserved: set[str] = set()  # names that NextBlob gave and nobody uses yet
        self._defined: set[str] = set()  # inputs and outputs of the first _seen operators
        self._seen = (0, 0)

    def Name(self) -> str:
        """Its name, unique in the process unless it was made from a NetDef."""
        return self._net.name

    def __str__(self) -> str:
        return self._net.name

    def __repr__(self) -> str:
        return f"Net({self._net.name!r}, {len(self._net.op)} operators)"

    def Proto(self) -> NetDef:
        """The definition itself, not a copy."""
        return self._net

    # ---- names -------------------------------------------------------------------------------

    def BlobIsDefined(self, blob: BlobLike) -> bool:
        """Whether the blob is an external input or some operator's output."""
        ops, inputs = self._net.op, self._net.external_input
        if self._seen[0] > len(ops) or self._seen[1] > len(inputs):
            self._seen = (0, 0)  # somebody took operators away
            self._defined.clear()
        for op in ops[self._seen[0] :]:
            self._defined.update(op.output)
        self._defined.update(inputs[self._seen[1] :])
        self._seen = (len(ops), len(inputs))
        return str(blob) in self._defined

    def GetBlobRef(self, name: BlobLike) -> BlobReference:
        """The reference of a blob that this net defines; ValueError when it does not."""
        if not self.BlobIsDefined(name):
            raise ValueError(
                f"net {self._net.name!r} does not define blob {str(name)!r}"
                f"{suggest(str(name), self._defined)}"
            )
        return BlobReference(name, self)

    def NextName(self, prefix: str | None = None, output_id: int | None = None) -> str:
        """A name that this net does not define yet: "net/prefix", "net/prefix_2", ..., each with
        ":output_id" behind it where that is given."""
        base = f"{self._net.name}/{prefix or 'blob'}"
        suffix = "" if output_id is None else f":{output_id}"
        name, index = base + suffix, 2
        while self.BlobIsDefined(ScopedBlobReference(name)):
            name = f"{base}_{index}{suffix}"
            index += 1
        return name

    def NextBlob(self, prefix: str = "unnamed") -> BlobReference:
        """A reference that neither this net nor an earlier call has used: `prefix`, or
        "prefix_auto_0", ..."""
        name, index = prefix, 0
        while name in self._reserved or self.BlobIsDefined(name):
            name = f"{prefix}_auto_{index}"
            index += 1
        self._reserved.add(name)
        return BlobReference(name, self)

    # ---- what comes from and goes to the outside -----------------------------------------------

    def AddExternalInput(self, *inputs: BlobLike) -> BlobReference | list[BlobReference]:
        """Declare blobs that must be there before the net. Returns its reference, or theirs.
        ValueError for none, and for one that was declared before."""
        names = [str(BlobReference(i)) for i in inputs]
        if not names:
            raise ValueError("AddExternalInput needs at least one blob")
        for name in names:
            if name in self._net.external_input or names.count(name) > 1:
                raise ValueError(f"net {self._net.name!r} has external input {name!r} already")
        self._net.external_input.extend(names)
        refs = [BlobReference(name, self) for name in names]
        return refs[0] if len(refs) == 1 else refs

    def AddExternalOutput(self, *outputs: BlobLike) -> None:
        """Declare blobs that the net must produce; ValueError for one that it does not define."""
        names = [str(self.GetBlobRef(o)) for o in outputs]
        self._net.external_output.extend(names)

    @property
    def external_inputs(self) -> list[BlobReference]:
        """Blobs that must be there before the net runs, in the order in which they were named."""
        return [BlobReference(name, self) for name in self._net.external_input]

    @property
    def external_outputs(self) -> list[BlobReference]:
        """Blobs that the net was declared to produce."""
        return [BlobReference(name, self) for name in self._net.external_output]

    # ---- observers ---------------------------------------------------------------------------

    def AddObserver(self, observer: Any) -> Any:
        """Let an observer see the runs of this net by RunNet. `observer`: "TimeObserver", whose
        average_time() and average_time_children() are milliseconds, or an asyncnet.Observer of
        one's own. Returns it. KeyError when workspace.CreateNet has not made the net (an observer
        is gone when that makes it again), ValueError for another name, RuntimeError during a
        run."""
        return find_created(self).add_observer(observer)

    def RemoveObserver(self, observer: Any) -> None:
        """Let it see no more. ValueError when it was not added."""
        find_created(self).remove_observer(observer)

    def NumObservers(self) -> int:
        """How many see the runs of this net; KeyError when it was not created."""
        return int(find_created(self).observed.count)

    # ---- operators ---------------------------------------------------------------------------

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *schema.registered()})

    def __getattr__(self, op_type: str) -> Callable[..., Any]:
        if op_type.startswith("_") or not schema.is_registered(op_type):
            raise AttributeError(
                f"unknown operator type {op_type!r}{suggest(op_type, schema.registered())}"
            )

        def add(inputs: Blobs = (), outputs: Blobs | int | None = None, **kwargs: Any) -> Any:
            return self._add(op_type, inputs, outputs, **kwargs)

        return add

    def Python(self, f: Callable[[list[Any], list[Any]], Any]) -> Callable[..., Any]:
        """An operator that calls f(inputs, outputs) when it runs: `net.Python(f)(ins, outs)`.
        f gets two lists of workspace.BlobView, and may return False to report failure; what it
        raises is raised by the run. It is called with the GIL, on whichever thread runs the
        operator. TypeError when f cannot be called."""
        if not callable(f):
            raise TypeError(f"f must be a function of (inputs, outputs), got {f!r}")

        def add(inputs: Blobs = (), outputs: Blobs | int | None = None, **kwargs: Any) -> Any:
            return self._add("Python", inputs, outputs, function=f, **kwargs)

        return add

    def _add(self, op_type: str, inputs: Blobs, outputs: Blobs | int | None, **kwargs: Any) -> Any:
        sources = references(inputs)
        targets = self._outputs(op_type, sources, outputs)
        op = CreateOperator(op_type, sources, targets, **kwargs)
        for name in op.input:
            if not self.BlobIsDefined(name):
                self._net.external_input.append(name)
        self._net.op.append(op)
        made = tuple(BlobReference(name, self) for name in op.output)
        return None if not made else made[0] if len(made) == 1 else made

    def _outputs(
        self, op_type: str, sources: list[BlobReference], outputs: Blobs | int | None
    ) -> list[BlobReference]:
        if outputs is not None and not isinstance(outputs, int):
            return references(outputs, self)
        known = schema.lookup(op_type)
        if outputs is None:
            least, most = known.outputs
            count = max(least, 1 if most is None else min(1, most))
        elif isinstance(outputs, bool) or not 0 <= outputs <= MOST_OUTPUTS:
            raise ValueError(
                f"operator {op_type}: outputs must be names, or a count from 0 to "
                f"{MOST_OUTPUTS}, got {outputs!r}"
            )
        else:
            count = outputs
        targets: list[BlobReference] = []
        for k in range(count):
            same = [i for i in range(len(sources)) if schema.allows(known.enforce_in_place, i, k)]
            if same:
                targets.append(sources[same[0]])
            else:
                name = self.NextName(op_type, k if count > 1 else None)
                targets.append(ScopedBlobReference(name, self))
        return targets

    def AddGradientOperators(
        self, ys: Iterable[BlobLike] | Mapping[BlobLike, BlobLike], stop: Blobs = ()
    ) -> GradientMap:
        """Append the operators that compute the gradients of `ys`, and say where they are.

        ys: blobs, whose gradients are ones (of float32; the sum of all elements is what is
        differentiated), or a dict from each to the blob that has its gradient. stop: blobs that
        count as constants, such as the data: what only they need is not computed.

        Returns a dict from each blob's name to the reference of its gradient, or to a
        core.GradientSlice where only rows of it were read. A blob that several operators read gets
        the sum. Works back in program order; a blob that is written in place counts as a new one.
        Gradients are blobs "x_grad", in the current name scope.

        ValueError, before anything is added, that names the operator: where it has no gradient (a
        mutex, counter or atomic bool operator, a user's own), or where its gradient needs a blob
        that a later operator overwrites; and for a blob of `ys` that the net does not define.
        """
        return add_gradients(self, ys, {str(b) for b in references(stop)})


def _nowhere(net: Net) -> Any:
    raise KeyError(f"no net {net.Name()!r}: workspace.CreateNet has not made it")


# The net as the current workspace runs it: beyond definitions, so the workspace sets it.
find_created: Callable[[Net], Any] = _nowhere
