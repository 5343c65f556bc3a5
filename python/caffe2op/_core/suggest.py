"""The end of a message about a name that is not known: what was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def near(given: str, accepted: Iterable[str]) -> str | None:
    """The accepted name that is nearly the given one, or None."""
    folded = {k.lower(): k for k in accepted}
    found = difflib.get_close_matches(str(given).lower(), folded, n=1, cutoff=0.6)
    return folded[found[0]] if found else None


def suggest(given: str, accepted: Iterable[str]) -> str:
    """ "; did you mean 'x'?" for a near miss, else what is accepted when that is short, else ''."""
    known = list(accepted)
    close = near(given, known)
    if close is not None:
        return f"; did you mean {close!r}?"
    if known and len(known) <= 20:
        return f"; accepted: {', '.join(known)}"
    return ""
