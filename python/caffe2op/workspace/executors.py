"""The seam between a net's type and what runs it.

An executor is made once for a net that is built, from its c2_net, and then called with a zeroed
c2_run for each run, from any thread; it returns the run's status. Any executor must give what
the simple one gives, for deterministic operators.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from caffe2op._core import lib
from caffe2op.operators.schema import suggest
from caffe2op.workspace.run import Execute


def simple(net: Any) -> Execute:
    """Every operator in program order, on the calling thread."""
    execute: Execute = partial(lib.c2_net_run, net)
    return execute


EXECUTORS: dict[str, Callable[[Any], Execute]] = {
    "simple": simple,
    # Dependency order is a freedom that program order uses none of.
    "dag": simple,
    "async_dag": simple,
    "async_polling": simple,
    "async_scheduling": simple,
    "parallel": simple,
    "prof_dag": simple,
}


def check_type(net: str, type_: str) -> str:
    """The net's type, "simple" for none. ValueError for one that is unknown."""
    if type_ and type_ not in EXECUTORS:
        raise ValueError(f"net {net!r}: unknown type {type_!r}{suggest(type_, EXECUTORS)}")
    return type_ or "simple"
