"""Names to blobs while something is compiled: a workspace, the child workspaces of steps, and what
the compilation adds.

New blobs are kept aside and become the workspace's own in `commit`, once everything was found
right: a definition that is refused leaves no trace.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from caffe2op.workspace.blob import Blob


class Scope:
    """Blobs by name: `known` are there already, an outer scope is looked at last."""

    __slots__ = ("_known", "_outer", "new")

    def __init__(self, known: dict[str, Blob] | None = None, outer: Scope | None = None) -> None:
        self._known = {} if known is None else known
        self._outer = outer
        self.new: dict[str, Blob] = {}

    def find(self, name: str) -> Blob | None:
        """The blob, or None."""
        found = self.new.get(name) or self._known.get(name)
        if found is None and self._outer is not None:
            return self._outer.find(name)
        return found

    def find_or_create(self, name: str) -> Blob:
        """The blob; a new empty one in this scope when there is none."""
        found = self.find(name)
        if found is None:
            found = self.new[name] = Blob(name)
        return found

    def names(self) -> Iterator[str]:
        """Every name that can be found, some of them twice."""
        yield from self.new
        yield from self._known
        if self._outer is not None:
            yield from self._outer.names()

    def commit(self) -> Iterable[Blob]:
        """Make the new blobs known; returns them."""
        self._known.update(self.new)
        added = list(self.new.values())
        self.new = {}
        return added
