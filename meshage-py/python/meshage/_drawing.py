"""Draws a mesh for notebooks as self-contained SVG. Equal meshes give equal drawings.

The layout is force-directed: nodes start on a circle, then repel each other while links pull them
together. A large mesh stays on the circle.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from html import escape

Point = tuple[float, float]

SIDE = 480.0
"""The side of the drawing, in pixels."""
MARGIN = 48.0
"""The margin for names at the edge, in pixels."""
LAYOUT_NODES_MAX = 120
"""The largest mesh that is laid out. The work grows with the square: 120 nodes take 0.3 s."""
ROUNDS = 60
"""The number of layout rounds: later rounds change nothing visible."""


def svg(nodes: Collection[str], edges: Sequence[tuple[str, str]]) -> str:
    """Draw a mesh as SVG."""
    positions = _fit(_layout(list(nodes), edges))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIDE:.0f} {SIDE:.0f}" '
        f'width="{SIDE:.0f}" height="{SIDE:.0f}" font-family="sans-serif" font-size="12">'
    ]
    for a, b in edges:
        (x1, y1), (x2, y2) = positions[a], positions[b]
        lines.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#8a8f98"/>'
        )
    for name, (x, y) in positions.items():
        text = escape(name)
        lines.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="7" fill="#2f6fb0"><title>{text}</title></circle>'
        )
        lines.append(
            f'<text x="{x:.1f}" y="{y - 11:.1f}" text-anchor="middle" '
            f'fill="currentColor">{text}</text>'
        )
    lines.append("</svg>")
    return "\n".join(lines)


def _layout(nodes: list[str], edges: Sequence[tuple[str, str]]) -> dict[str, Point]:
    angle = 2 * math.pi / max(len(nodes), 1)
    positions = {name: (math.cos(i * angle), math.sin(i * angle)) for i, name in enumerate(nodes)}
    if not 2 < len(nodes) <= LAYOUT_NODES_MAX:
        return positions
    distance = math.sqrt(4.0 / len(nodes))
    for round_number in range(ROUNDS):
        positions = _move(positions, edges, distance, step=0.2 * (1 - round_number / ROUNDS))
    return positions


def _move(
    positions: dict[str, Point], edges: Sequence[tuple[str, str]], distance: float, step: float
) -> dict[str, Point]:
    """One round: pairs repel, links attract, and no node moves further than ``step``."""
    forces: dict[str, list[float]] = {name: [0.0, 0.0] for name in positions}
    names = list(positions)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            dx, dy, length = _difference(positions[a], positions[b])
            _add(forces, a, b, dx, dy, distance * distance / (length * length))
    for a, b in edges:
        dx, dy, length = _difference(positions[a], positions[b])
        _add(forces, a, b, dx, dy, -length / distance)
    moved = {}
    for name, (x, y) in positions.items():
        dx, dy = forces[name]
        length = math.hypot(dx, dy)
        scale = min(step, length) / length if length > 0 else 0.0
        moved[name] = (x + dx * scale, y + dy * scale)
    return moved


def _difference(a: Point, b: Point) -> tuple[float, float, float]:
    dx, dy = a[0] - b[0], a[1] - b[1]
    return dx, dy, max(math.hypot(dx, dy), 1e-3)


def _add(
    forces: dict[str, list[float]], a: str, b: str, dx: float, dy: float, force: float
) -> None:
    forces[a][0] += dx * force
    forces[a][1] += dy * force
    forces[b][0] -= dx * force
    forces[b][1] -= dy * force


def _fit(positions: dict[str, Point]) -> dict[str, Point]:
    """Scale the positions to fill the drawing."""
    if not positions:
        return {}
    left, right = min(x for x, _ in positions.values()), max(x for x, _ in positions.values())
    top, bottom = min(y for _, y in positions.values()), max(y for _, y in positions.values())
    extent = max(right - left, bottom - top)
    scale = (SIDE - 2 * MARGIN) / extent if extent > 0 else 0.0
    x0 = SIDE / 2 - scale * (left + right) / 2
    y0 = SIDE / 2 - scale * (top + bottom) / 2
    return {name: (x0 + x * scale, y0 + y * scale) for name, (x, y) in positions.items()}
