"""The end of a message about a name that is not known: what was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def suggest(given: str, accepted: Iterable[str]) -> str:
    """ "; did you mean 'x'?" for a near miss, else what is accepted when that is short, else ''."""
    known = list(accepted)
    folded = {k.lower(): k for k in known}
    near = difflib.get_close_matches(str(given).lower(), folded, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {folded[near[0]]!r}?"
    if known and len(known) <= 20:
        return f"; accepted: {', '.join(known)}"
    return ""
