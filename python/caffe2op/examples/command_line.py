"""What the examples' command lines have in common: the values they take, and how Ctrl-C ends them.

Whatever is wrong is one line on stderr that names the option, what came and what is accepted, and
exit status 2, before anything has run.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import ParamSpec

PICTURES = (".png", ".svg", ".pdf", ".jpg")
INTERRUPTED = 130  # as shells have it: 128 and SIGINT's number

P = ParamSpec("P")


def whole_number(least: int, most: int | None = None) -> Callable[[str], int]:
    """For argparse: an int of `least` to `most`."""
    accepted = f"of at least {least}" if most is None else f"from {least} to {most}"

    def read(text: str) -> int:
        with suppress(ValueError):
            number = int(text)
            if least <= number and (most is None or number <= most):
                return number
        raise argparse.ArgumentTypeError(f"must be a whole number {accepted}, got {text!r}")

    return read


positive_int = whole_number(1)
seed = whole_number(0)


def positive(text: str) -> float:
    """For argparse: a finite number greater than 0."""
    with suppress(ValueError):
        if 0 < float(text) < float("inf"):
            return float(text)
    raise argparse.ArgumentTypeError(f"must be a number greater than 0, got {text!r}")


def not_negative(text: str) -> float:
    """For argparse: a finite number of at least 0."""
    with suppress(ValueError):
        if 0 <= float(text) < float("inf"):
            return float(text)
    raise argparse.ArgumentTypeError(f"must be a number of at least 0, got {text!r}")


def check_picture(p: argparse.ArgumentParser, path: Path) -> None:
    """Ends the program where no picture could be written at `path`, as far as its name tells."""
    if not path.parent.is_dir():
        p.error(f"--plot: there is no directory {path.parent}")
    if path.is_dir():
        p.error(f"--plot: {path} is a directory")
    if path.suffix.lower() not in PICTURES:
        p.error(f"--plot: the name must end in one of {', '.join(PICTURES)}, got {path}")


def cpus() -> int:
    """Processors that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not everywhere
        return os.cpu_count() or 1


def interruptible(main: Callable[P, int]) -> Callable[P, int]:
    """The same main, which Ctrl-C ends with a word and INTERRUPTED."""

    @functools.wraps(main)
    def ended(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            return main(*args, **kwargs)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return INTERRUPTED

    return ended
