"""Draws held-out loss against time, one panel for each data set: docs/pictures/linear-loss.svg.

    python bench/report.py run.json    # draws it, with the tables, from what is kept
    python bench/loss_curves.py run.json picture.svg

A curve is a row of bench_linear.py's run that has `points`: [milliseconds, loss] after each pass,
or at each look for torch. Time is on a logarithmic axis, as the slowest takes a hundred times the
fastest; the dashed line is the loss to reach. Plain SVG, the same for the same run.
"""

from __future__ import annotations

import json
import math
import sys
from html import escape
from pathlib import Path
from typing import Any

Row = dict[str, Any]
PANEL, GAP, LEFT, TOP, HEIGHT = 250, 62, 52, 34, 230
COLOURS = ("#9cc3ea", "#1f5fae", "#0e9f6e", "#d97706", "#b91c1c", "#6b7280", "#7c3aed", "#111827")


def drawn(rows: list[Row]) -> list[Row]:
    """The rows with a curve."""
    return [row for row in rows if row.get("points")]


def nice_step(span: float) -> float:
    """1, 2 or 5 times a power of ten: three to seven of them are in the span."""
    power = 10 ** math.floor(math.log10(span / 3))
    return power * max(m for m in (1, 2, 5) if m * power <= span / 3)


def range_of(rows: list[Row]) -> tuple[float, float]:
    """Losses that the panel shows: from the least to what most have after one pass."""
    least = min(loss for row in rows for _, loss in row["points"])
    firsts = sorted(row["points"][0][1] for row in rows)
    most = max(firsts[len(firsts) // 2], rows[0]["target"])
    margin = 0.08 * (most - least) or 0.01
    return least - margin, most + 2 * margin


class Axes:
    """Where a panel puts a time and a loss."""

    def __init__(self, left: float, rows: list[Row]) -> None:
        self.left = left
        self.low, self.high = range_of(rows)
        times = [ms for row in rows for ms, _ in row["points"]]
        self.first, self.last = math.log10(min(times)) - 0.05, math.log10(max(times)) + 0.05

    def x(self, ms: float) -> float:
        return self.left + PANEL * (math.log10(ms) - self.first) / (self.last - self.first)

    def y(self, loss: float) -> float:
        return TOP + HEIGHT * (self.high - loss) / (self.high - self.low)


def grid(axes: Axes, name: str) -> list[str]:
    middle, bottom = axes.left + PANEL / 2, TOP + HEIGHT
    head = f'x="{middle:.0f}" y="20" text-anchor="middle" font-weight="600"'
    out = [f"<text {head}>{escape(name)}</text>"]
    step = nice_step(axes.high - axes.low)
    for k in range(math.ceil(axes.low / step), math.floor(axes.high / step) + 1):
        y = axes.y(k * step)
        out.append(f'<path d="M{axes.left} {y:.1f}h{PANEL}" stroke="#dde3ea"/>')
        out.append(
            f'<text x="{axes.left - 6}" y="{y + 4:.1f}" text-anchor="end">{k * step:.6g}</text>'
        )
    for power in range(math.ceil(axes.first), math.floor(axes.last) + 1):
        x = axes.x(10.0**power)
        out.append(f'<path d="M{x:.1f} {TOP}v{HEIGHT}" stroke="#dde3ea"/>')
        out.append(
            f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{10.0**power:g} ms</text>'
        )
    return out


def curve(axes: Axes, row: Row, colour: str) -> str:
    """The row's line, from where it enters the panel."""
    places = [(axes.x(ms), axes.y(loss)) for ms, loss in row["points"]]
    seen = next((k for k, (_, y) in enumerate(places) if y >= TOP), len(places))
    if 0 < seen < len(places):
        (x0, y0), (x1, y1) = places[seen - 1 : seen + 1]
        places[seen - 1] = x0 + (x1 - x0) * (TOP - y0) / (y1 - y0), TOP
        seen -= 1
    points = " ".join(f"{x:.1f},{max(y, TOP):.1f}" for x, y in places[seen:])
    return (
        f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2" '
        f'stroke-linejoin="round"><title>{escape(row["row"])}</title></polyline>'
    )


def svg(rows: list[Row]) -> str:
    """The picture of these rows."""
    rows = drawn(rows)
    if not rows:
        raise ValueError("the run has no curve: bench_linear.py's test_curves makes them")
    panels = list(dict.fromkeys(row["column"] for row in rows))
    who = list(dict.fromkeys(row["row"] for row in rows))
    colours = {name: COLOURS[k % len(COLOURS)] for k, name in enumerate(who)}
    width = LEFT + len(panels) * (PANEL + GAP) - GAP + 20
    height = TOP + HEIGHT + 40 + 20 * math.ceil(len(who) / 3)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" font-family="system-ui,sans-serif" font-size="12" '
        'fill="#1d2733">',
        "<title>Held-out loss against training time</title>",
        f'<rect width="{width}" height="{height}" rx="8" fill="#f7f9fb"/>',
    ]
    for k, panel in enumerate(panels):
        there = [row for row in rows if row["column"] == panel]
        axes = Axes(LEFT + k * (PANEL + GAP), there)
        y = axes.y(there[0]["target"])
        out += grid(axes, panel)
        out.append(
            f'<path d="M{axes.left} {y:.1f}h{PANEL}" stroke="#5a6675" stroke-dasharray="4 4"/>'
        )
        out += [curve(axes, row, colours[row["row"]]) for row in there]
    for k, name in enumerate(who):
        x = LEFT + (k % 3) * (width - LEFT) // 3
        y = TOP + HEIGHT + 44 + 20 * (k // 3)
        out.append(f'<path d="M{x} {y - 4}h22" stroke="{colours[name]}" stroke-width="3"/>')
        out.append(f'<text x="{x + 28}" y="{y}">{escape(name)}</text>')
    return "\n".join([*out, "</svg>", ""])


def rows_of(run: dict[str, Any]) -> list[Row]:
    """The rows of a run of pytest-benchmark, or of a kept result."""
    if "rows" in run:
        return list(run["rows"])
    return [row for b in run["benchmarks"] for row in b["extra_info"].get("rows", [])]


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} run.json picture.svg")
    Path(sys.argv[2]).write_text(svg(rows_of(json.loads(Path(sys.argv[1]).read_text()))))
