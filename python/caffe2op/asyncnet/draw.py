"""Pictures of a net: DOT for Graphviz, and an SVG that needs nothing else.

Operators are boxes, in layers: each below all that it depends on. A box is the darker the more
time the operator took (by the profile, where there is one), its frame has the device's colour,
and the critical path is drawn bold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path

from caffe2op.workspace.dependencies import Edge
from caffe2op.workspace.observation import Operator
from caffe2op.workspace.profile import Profile

MOST = 2000  # operators that a picture can show
WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 132, 34, 18, 34, 12
FRAMES = ("#1b6ca8", "#c1440e", "#2e7d32", "#6a1b9a", "#b8860b", "#00838f", "#ad1457", "#4e342e")


@dataclass(frozen=True)
class Drawing:
    """The picture of a net. A notebook shows the SVG."""

    dot: str
    svg: str

    def save(self, path: str | Path) -> None:
        """Write the SVG, or the DOT where the name ends so."""
        path = Path(path)
        if path.suffix not in (".svg", ".dot"):
            raise ValueError(f"path must end with .svg or .dot, got {str(path)!r}")
        path.write_text(self.svg if path.suffix == ".svg" else self.dot)

    def _repr_svg_(self) -> str:
        return self.svg


def draw(
    name: str, operators: Sequence[Operator], edges: Sequence[Edge], profile: Profile | None
) -> Drawing:
    """The picture. ValueError for more operators than one could see."""
    if len(operators) > MOST:
        raise ValueError(
            f"net {name!r} has {len(operators)} operators; a picture shows up to {MOST}"
        )
    costs = [row.mean_ns for row in profile.operators] if profile else [0.0] * len(operators)
    dearest = max(costs, default=0.0) or 1.0
    fills = [_shade(cost / dearest) for cost in costs]
    devices = list(dict.fromkeys(op.device for op in operators))
    frames = [FRAMES[devices.index(op.device) % len(FRAMES)] for op in operators]
    path = profile.critical_path if profile and profile.critical_ns else []
    bold = set(pairwise(path))
    texts = [_texts(op, cost) for op, cost in zip(operators, costs, strict=True)]
    return Drawing(
        _dot(name, texts, fills, frames, edges, bold),
        _svg(name, texts, fills, frames, edges, bold, devices),
    )


def _shade(part: float) -> str:
    """White for nothing, orange for the most."""
    low, high = (255, 255, 255), (255, 160, 64)
    return "#" + "".join(f"{round(a + (b - a) * part):02x}" for a, b in zip(low, high, strict=True))


def _texts(op: Operator, cost: float) -> tuple[str, str]:
    second = op.type if op.type != op.label else op.device
    return op.label, f"{second}, {cost / 1e3:.3g} us" if cost else second


def _dot(
    name: str,
    texts: list[tuple[str, str]],
    fills: list[str],
    frames: list[str],
    edges: Sequence[Edge],
    bold: set[Edge],
) -> str:
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'

    lines = [f"digraph {quoted(name)} {{", "  node [shape=box, style=filled, penwidth=2];"]
    for k, (first, second) in enumerate(texts):
        label = quoted(f"{first}\n{second}")
        lines.append(f'  {k} [label={label}, fillcolor="{fills[k]}", color="{frames[k]}"];')
    lines += [f"  {u} -> {v}" + (" [penwidth=3];" if (u, v) in bold else ";") for u, v in edges]
    return "\n".join([*lines, "}", ""])


def places(n: int, edges: Sequence[Edge]) -> list[tuple[int, int]]:
    """Layer and position in it for each operator: as far up as what it depends on allows, and in
    the order of the mean position of that."""
    before: list[list[int]] = [[] for _ in range(n)]
    for u, v in edges:
        before[v].append(u)
    layer = [0] * n
    for v in range(n):
        layer[v] = 1 + max((layer[u] for u in before[v]), default=-1)
    layers: list[list[int]] = [[] for _ in range(max(layer, default=-1) + 1)]
    for v in range(n):
        layers[layer[v]].append(v)
    at = [0] * n
    for members in layers:
        wish = {
            v: sum(at[u] for u in before[v]) / len(before[v]) if before[v] else float(k)
            for k, v in enumerate(members)
        }
        for k, v in enumerate(sorted(members, key=lambda v: (wish[v], v))):
            at[v] = k
    return list(zip(layer, at, strict=True))


def _svg(
    name: str,
    texts: list[tuple[str, str]],
    fills: list[str],
    frames: list[str],
    edges: Sequence[Edge],
    bold: set[Edge],
    devices: list[str],
) -> str:
    found = places(len(texts), edges)
    widest = max((k for _, k in found), default=0) + 1
    count = [0] * (max((row for row, _ in found), default=0) + 1)
    for row, _ in found:
        count[row] += 1
    width = max(widest * (WIDTH + GAP_X), len(devices) * 90) + 2 * MARGIN
    height = len(count) * (HEIGHT + GAP_Y) + 2 * MARGIN + 16
    corner = [
        (
            MARGIN + (k + (widest - count[row]) / 2) * (WIDTH + GAP_X),
            MARGIN + row * (HEIGHT + GAP_Y),
        )
        for row, k in found
    ]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">',
        f"<title>{escape(name)}</title>",
    ]
    for u, v in edges:
        (x, y), (to_x, to_y) = corner[u], corner[v]
        x, to_x, y = x + WIDTH / 2, to_x + WIDTH / 2, y + HEIGHT
        middle = (y + to_y) / 2
        weight, colour = (2.5, "#c00000") if (u, v) in bold else (1, "#808080")
        parts.append(
            f'<path d="M{x:.0f} {y:.0f} C{x:.0f} {middle:.0f} {to_x:.0f} {middle:.0f} '
            f'{to_x:.0f} {to_y:.0f}" fill="none" stroke="{colour}" '
            f'stroke-width="{weight}"/>'
        )
    for (x, y), (first, second), fill, frame in zip(corner, texts, fills, frames, strict=True):
        parts.append(
            f"<g><title>{escape(first)}: {escape(second)}</title>"
            f'<rect x="{x:.0f}" y="{y:.0f}" width="{WIDTH}" height="{HEIGHT}" rx="4" '
            f'fill="{fill}" stroke="{frame}" stroke-width="1.5"/>'
            f'<text x="{x + WIDTH / 2:.0f}" y="{y + 14:.0f}" text-anchor="middle">'
            f'{escape(_short(first))}</text><text x="{x + WIDTH / 2:.0f}" y="{y + 27:.0f}" '
            f'text-anchor="middle" fill="#505050">{escape(_short(second))}</text></g>'
        )
    for k, device in enumerate(devices):
        parts.append(
            f'<text x="{MARGIN + 90 * k}" y="{height - 8}" '
            f'fill="{FRAMES[k % len(FRAMES)]}">{escape(_short(device))}</text>'
        )
    return "\n".join([*parts, "</svg>"])


def _short(text: str) -> str:
    return text if len(text) <= 22 else text[:10] + "…" + text[-11:]
