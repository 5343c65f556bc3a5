"""Names to blobs while something is compiled: a workspace, the child workspaces of steps, and what
the compilation adds.

New blobs are kept aside and become the workspace's own in `commit`, once everything was found
right: a definition that is refused leaves no trace.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from caffe2op.workspace.blob import Blob


class Scope(dict[str, Blob]):
    """Blobs by name: `scope[name]` is one that was found before, is `known`, or is the outer
    scope's; KeyError when there is none. (A dict, so that finding one again costs nothing.)"""

    __slots__ = ("_known", "_new", "_outer")

    def __init__(self, known: dict[str, Blob] | None = None, outer: Scope | None = None) -> None:
        super().__init__()
        self._known = {} if known is None else known
        self._outer = outer
        self._new: dict[str, Blob] = {}

    def __missing__(self, name: str) -> Blob:
        found = self._known.get(name)
        if found is None:
            if self._outer is None:
                raise KeyError(name)
            found = self._outer[name]
        self[name] = found
        return found

    __hash__ = object.__hash__  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return self is other

    def find(self, name: str) -> Blob | None:
        """The blob, or None."""
        try:
            return self[name]
        except KeyError:
            return None

    def find_or_create(self, name: str) -> Blob:
        """The blob; a new empty one in this scope when there is none. ValueError for what is no
        name."""
        try:
            return self[name]
        except KeyError:
            if not isinstance(name, str) or not name:
                raise ValueError(f"blobs are given by their names, got {name!r}") from None
            found = self[name] = self._new[name] = Blob(name)
            return found

    def find_all(self, names: Sequence[str]) -> list[Blob | None]:
        """What `find` gives for each of several names; quick for thousands."""
        if self or self._outer is not None:
            return list(map(self.find, names))
        found = list(map(self._known.get, names))
        self.update((n, b) for n, b in zip(names, found, strict=True) if b is not None)
        return found

    def make_all(self, names: Sequence[str]) -> list[Blob]:
        """What `find_or_create` gives for each of several names; quick for thousands."""
        return [
            self.find_or_create(name) if blob is None else blob
            for name, blob in zip(names, self.find_all(names), strict=True)
        ]

    def names(self) -> Iterator[str]:
        """Every name that can be found, some of them twice."""
        yield from self._new
        yield from self._known
        if self._outer is not None:
            yield from self._outer.names()

    def commit(self) -> list[Blob]:
        """Make the new blobs known; returns them."""
        self._known.update(self._new)
        added = list(self._new.values())
        self._new = {}
        return added
