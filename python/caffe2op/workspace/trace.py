"""Chrome-trace JSON: what chrome://tracing and https://ui.perfetto.dev show.

Each instance of the net is a process there, each of its workers a thread, each operator that ran
a bar. Format: the Trace Event Format's complete events ("ph": "X"), times in microseconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from caffe2op.workspace.observation import Event, Operator


class Trace(dict[str, Any]):
    """The trace as the JSON object that it is; `save` writes it."""

    def save(self, path: str | Path) -> None:
        """Write it as a file for the viewers."""
        Path(path).write_text(json.dumps(self))

    @property
    def events(self) -> list[dict[str, Any]]:
        """The operators' bars."""
        return [e for e in self["traceEvents"] if e["ph"] == "X"]


def chrome_trace(name: str, operators: list[Operator], instances: Iterable[list[Event]]) -> Trace:
    """The events of each instance as one trace, the first event being at time 0."""
    kept = [events for events in instances if events]
    zero = min((events[0].begin_ns for events in kept), default=0)
    found: list[dict[str, Any]] = []
    for pid, events in enumerate(kept, 1):
        found.append(_meta("process_name", pid, 0, f"{name}, instance {pid}"))
        for worker in sorted({event.worker for event in events}):
            called = f"worker {worker}" if worker else "caller"
            found.append(_meta("thread_name", pid, worker, called))
        found += [_bar(operators[event.op], event, pid, zero) for event in events]
    return Trace(traceEvents=found, displayTimeUnit="ns")


def _meta(kind: str, pid: int, tid: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": pid, "tid": tid, "args": {"name": name}}


def _bar(op: Operator, event: Event, pid: int, zero: int) -> dict[str, Any]:
    return {
        "ph": "X",
        "name": op.label,
        "cat": op.type,
        "ts": (event.begin_ns - zero) / 1e3,
        "dur": (event.end_ns - event.begin_ns) / 1e3,
        "pid": pid,
        "tid": event.worker,
        "args": {
            "type": op.type,
            "device": op.device,
            "operator": event.op,
            "inputs": list(op.inputs),
            "outputs": list(op.outputs),
        },
    }
