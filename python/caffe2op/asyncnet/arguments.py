"""Whether what a caller gave is of the kind that is wanted: a TypeError that names the argument
otherwise (a ValueError for a number out of range), before anything is changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from caffe2op.core.names import BlobLike, BlobReference

T = TypeVar("T")


def blobs(argument: str, given: Iterable[BlobLike]) -> list[str]:
    """The names of several blobs. One name alone would be taken for its letters."""
    if isinstance(given, str | BlobReference) or not isinstance(given, Iterable):
        raise TypeError(f"{argument} must be a list of blobs, got {given!r}")
    found = list(given)
    for one in found:
        if not isinstance(one, str | BlobReference) or not str(one):
            raise TypeError(f"{argument} must be a list of blobs, got {one!r} in it")
    return [str(one) for one in found]


def names(argument: str, given: Iterable[str]) -> list[str]:
    """Several names that are strings."""
    return several(argument, given, str, "names")


def pairs(argument: str, given: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Several pairs of names."""
    if isinstance(given, str | Mapping) or not isinstance(given, Iterable):
        raise TypeError(f"{argument} must be a list of pairs of names, got {given!r}")
    found = []
    for pair in given:
        two = tuple(pair) if isinstance(pair, tuple | list) else ()
        if len(two) != 2 or not all(isinstance(name, str) for name in two):
            raise TypeError(f"{argument} must be a list of pairs of names, got {pair!r} in it")
        found.append((two[0], two[1]))
    return found


def mapping(argument: str, given: Any) -> Mapping[Any, Any]:
    """Names and what belongs to them."""
    if not isinstance(given, Mapping):
        raise TypeError(f"{argument} must be a dict by name, got {given!r}")
    return given


def several(argument: str, given: Iterable[Any], kind: type[T], called: str = "") -> list[T]:
    """Several objects of one type, which messages call by its name, or as `called` says."""
    wanted = f"{argument} must be a list of {called or kind.__name__}"
    if isinstance(given, kind) or not isinstance(given, Iterable):
        raise TypeError(f"{wanted}, got {given!r}")
    found = list(given)
    for one in found:
        if not isinstance(one, kind):
            raise TypeError(f"{wanted}, got {one!r} in it")
    return found


def workers(given: int | None) -> int | None:
    """A number of threads, or None; ValueError for any other number."""
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= 256:
        raise ValueError(f"workers must be an int of 1 to 256, got {given!r}")
    return given
