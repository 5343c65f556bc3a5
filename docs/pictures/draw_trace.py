"""Draws a trace that AsyncNet.trace() saved as bars: python draw_trace.py trace.json trace.svg

trace.svg, which the README shows, is made by it from what `python -m caffe2op.examples.asyncnet`
writes. Runs in flight use instances of the net, each on blobs of its own, and each has a lane for
the device of its caller and one for the other; the colour of a bar tells the tower.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

WIDTH, LEFT, ROW, TOP = 860, 150, 22, 40
SHADES = {"pixels": "#2c5fa8", "edges": "#2e7d4f", "join": "#b7791f"}


def svg(trace: dict[str, Any], runs: int = 6) -> str:
    """The first `runs` runs' bars of each lane; milliseconds go to the right."""
    bars = [e for e in trace["traceEvents"] if e["ph"] == "X"]
    names = {
        (e["pid"], e["tid"]): e["args"]["name"]
        for e in trace["traceEvents"]
        if e["ph"] == "M" and e["name"] == "thread_name"
    }
    bars.sort(key=lambda e: e["ts"])
    per_run = len({e["name"] for e in bars})
    bars = bars[: runs * per_run]
    lanes = sorted({(e["pid"], e["tid"]) for e in bars})
    begin = bars[0]["ts"]
    end = max(e["ts"] + e["dur"] for e in bars)
    scale = (WIDTH - LEFT - 30) / (end - begin)
    height = TOP + ROW * len(lanes) + 40
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img" font-family="system-ui,sans-serif" font-size="12">',
        "<title>Operators of several runs of one net, by worker and time</title>",
        f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#f7f9fb"/>',
    ]
    for k, (group, shade) in enumerate(SHADES.items()):
        x = LEFT + 110 * k
        out.append(f'<rect x="{x}" y="14" width="12" height="12" rx="2" fill="{shade}"/>')
        out.append(f'<text x="{x + 18}" y="24">{group}</text>')
    for row, lane in enumerate(lanes):
        y = TOP + ROW * row
        label = f"instance {lane[0]}, {names[lane]}"
        out.append(f'<text x="12" y="{y + 15}" fill="#5a6675">{label}</text>')
        out.append(f'<path d="M{LEFT} {y + ROW - 1}H{WIDTH - 30}" stroke="#dde3ea"/>')
    for e in bars:
        x = LEFT + (e["ts"] - begin) * scale
        y = TOP + ROW * lanes.index((e["pid"], e["tid"])) + 3
        shade = SHADES.get(e["name"].split("/")[0], "#777777")
        out.append(
            f'<rect x="{x:.1f}" y="{y}" width="{max(e["dur"] * scale, 0.8):.1f}" '
            f'height="{ROW - 7}" rx="2" fill="{shade}" stroke="#f7f9fb" stroke-width="0.5">'
            f"<title>{e['name']}: {e['dur'] / 1e3:.2f} ms</title></rect>"
        )
    y = TOP + ROW * len(lanes) + 22
    for k in range(5):
        ms = (end - begin) * k / 4
        x = LEFT + ms * scale
        out.append(f'<text x="{x:.0f}" y="{y}" text-anchor="middle">{ms / 1e3:.1f} ms</text>')
    return "\n".join([*out, "</svg>", ""])


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(svg(json.loads(Path(sys.argv[1]).read_text())))
