"""An instance: a net bound to one set of blobs, and what runs it.

Runs of one net that are in flight at the same time are runs of as many instances: each has its
own intermediate blobs, and all share the blobs that the net only reads or updates in place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

from caffe2op._core import lib
from caffe2op._core.pickling import not_pickled
from caffe2op.workspace.executors import InDependencyOrder
from caffe2op.workspace.run import NetInfo

MODES = {
    "auto": lib.C2_MODE_AUTO,
    "serial": lib.C2_MODE_SERIAL,
    "static": lib.C2_MODE_STATIC,
    "dynamic": lib.C2_MODE_DYNAMIC,
}


class Outputs(Mapping[str, Any]):
    """What a net gave, by name. A value is fetched (copied) when it is asked for."""

    __slots__ = ("_get", "_names")

    def __init__(self, names: tuple[str, ...], get: Callable[[str], Any]) -> None:
        self._names = names
        self._get = get

    def __reduce__(self) -> NoReturn:
        raise not_pickled(self, "send dict(outputs)")

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        return self._get(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"Outputs({', '.join(self._names)})"


class Instance:
    """One c2_net with its blobs; one run at a time, but for callers who want runs side by side on
    the same blobs."""

    __slots__ = ("_put", "execute", "fetch", "info", "keep", "native", "nets", "outputs")

    def __init__(
        self,
        info: NetInfo,
        execute: InDependencyOrder,
        put: Callable[[str, Any], None],
        outputs: Outputs,
        fetch: Callable[[], dict[str, Any]],
        native: bool,
        keep: object,
    ) -> None:
        self.info = info
        self.nets = [info]
        self.execute = execute
        self.outputs = outputs
        self.fetch = fetch  # all of them
        self.native = native  # as of a CompiledNet
        self._put = put
        self.keep = keep

    def serial(self, run: Any) -> int:
        """A run in program order, on the calling thread."""
        return int(lib.c2_net_run(self.info.c, run))

    def feed(self, inputs: Mapping[str, Any]) -> None:
        """Copy the inputs of one run into its blobs."""
        for name, value in inputs.items():
            self._put(name, value)
