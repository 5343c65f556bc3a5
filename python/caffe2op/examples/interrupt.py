"""Ctrl-C ends an example with one line and the status that shells expect, 130."""

from __future__ import annotations

import sys
from collections.abc import Callable


def interruptible(main: Callable[[], int]) -> int:
    """What `main` returns, or 130 when Ctrl-C ended it."""
    try:
        return main()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
