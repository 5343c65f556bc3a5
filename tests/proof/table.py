"""The rows of the proof's table: what was checked, how often, and the verdict."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Row:
    what: str
    how_many: str  # with its unit: "10,240 kills"
    verdict: str = "holds"
    notes: list[str] = field(default_factory=list)  # printed below the table
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        return self.verdict == "FAILED"


def render(rows: Sequence[Row]) -> str:
    heads = ("what was checked", "how many", "time", "verdict")
    cells = [(row.what, row.how_many, f"{row.seconds:.1f} s", row.verdict) for row in rows]
    widths = [max(len(line[k]) for line in [heads, *cells]) for k in range(4)]
    lines = [
        f"{what:{widths[0]}}  {many:{widths[1]}}  {time:>{widths[2]}}  {verdict}"
        for what, many, time, verdict in [heads, *cells]
    ]
    for row in rows:
        if row.notes:
            lines += ["", f"{row.what}:"]
            lines += [textwrap.indent(note, "  ") for note in row.notes]
    return "\n".join(lines)
