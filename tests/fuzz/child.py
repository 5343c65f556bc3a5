"""Runs one property on so many inputs: `python child.py PROPERTY SEED INPUTS`. Without arguments
it prints their names.

A process of its own, so that one that dies, or hangs, is an answer too. An input is one call of
the package. Hypothesis makes them in examples of one call or more, and those in rounds, each from
its own seed; what it finds false it makes small, and prints. When the process dies, faulthandler
says where, and the last round's seed is in the last line before that.
"""

from __future__ import annotations

import faulthandler
import functools
import sys
import time
import warnings
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "atomics"), str(HERE.parent / "operators")]

import fuzz_atomics  # noqa: E402, F401
import fuzz_definitions  # noqa: E402, F401
import fuzz_operators  # noqa: E402, F401
import fuzz_workspace  # noqa: E402, F401
import hostile  # noqa: E402
from hostile import PROPERTIES  # noqa: E402
from hypothesis import HealthCheck, Phase, given, seed, settings  # noqa: E402

FIRST, ROUND = 100, 1000  # examples
HANGS = 300  # seconds for 64 inputs, which take less than one where nobody else computes


def main(name: str, first_seed: int, inputs: int) -> None:
    faulthandler.enable()
    warnings.simplefilter("ignore")
    body, strategies = PROPERTIES[name]
    done, number, began = 0, 0, time.monotonic()  # done: examples, each of one call or more

    @functools.wraps(body)
    def watched(*args: Any, **kwargs: Any) -> None:
        nonlocal done
        if done % 64 == 0:
            faulthandler.dump_traceback_later(HANGS, exit=True)
        done += 1
        body(*args, **kwargs)

    while hostile.inputs < inputs:
        print(f"{name}: round {number}, seed {first_seed + number}", flush=True)
        left = (inputs - hostile.inputs) * done // max(hostile.inputs, 1) + 1
        limits = settings(
            max_examples=min(ROUND, left) if done else FIRST,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        )
        before = done
        seed(first_seed + number)(limits(given(*strategies)(watched)))()
        number += 1
        if done == before:
            break  # there are no more different inputs
    faulthandler.cancel_dump_traceback_later()
    print(f"{name}: {hostile.inputs} inputs in {done} examples, {time.monotonic() - began:.1f} s")


if __name__ == "__main__" and len(sys.argv) == 1:
    print(*PROPERTIES)
elif __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
