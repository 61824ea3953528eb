"""A drawing of a mesh, for notebooks: self-contained SVG, the same for the same mesh.

Nodes begin on a circle and then push each other away while links pull them together; a large mesh
stays on its circle.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from html import escape

Point = tuple[float, float]

SIDE = 480.0
"""The drawing's side, in pixels."""
MARGIN = 48.0
"""Room for names at the edge, in pixels."""
LAID_OUT_MAX = 120
"""Meshes up to this many nodes are laid out: the work grows with the square, 120 take 0.3 s."""
ROUNDS = 60
"""How often the nodes are moved: later rounds change nothing that the eye sees."""


def svg(nodes: Collection[str], edges: Sequence[tuple[str, str]]) -> str:
    """The drawing."""
    places = _fit(_layout(list(nodes), edges))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIDE:.0f} {SIDE:.0f}" '
        f'width="{SIDE:.0f}" height="{SIDE:.0f}" font-family="sans-serif" font-size="12">'
    ]
    for a, b in edges:
        (x1, y1), (x2, y2) = places[a], places[b]
        lines.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#8a8f98"/>'
        )
    for name, (x, y) in places.items():
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
    turn = 2 * math.pi / max(len(nodes), 1)
    places = {name: (math.cos(i * turn), math.sin(i * turn)) for i, name in enumerate(nodes)}
    if not 2 < len(nodes) <= LAID_OUT_MAX:
        return places
    distance = math.sqrt(4.0 / len(nodes))
    for done in range(ROUNDS):
        places = _moved(places, edges, distance, step=0.2 * (1 - done / ROUNDS))
    return places


def _moved(
    places: dict[str, Point], edges: Sequence[tuple[str, str]], distance: float, step: float
) -> dict[str, Point]:
    """One round: every pair pushes, every link pulls, and nobody moves further than ``step``."""
    push: dict[str, list[float]] = {name: [0.0, 0.0] for name in places}
    names = list(places)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            dx, dy, far = _between(places[a], places[b])
            _add(push, a, b, dx, dy, distance * distance / (far * far))
    for a, b in edges:
        dx, dy, far = _between(places[a], places[b])
        _add(push, a, b, dx, dy, -far / distance)
    moved = {}
    for name, (x, y) in places.items():
        dx, dy = push[name]
        length = math.hypot(dx, dy)
        scale = min(step, length) / length if length > 0 else 0.0
        moved[name] = (x + dx * scale, y + dy * scale)
    return moved


def _between(a: Point, b: Point) -> tuple[float, float, float]:
    dx, dy = a[0] - b[0], a[1] - b[1]
    return dx, dy, max(math.hypot(dx, dy), 1e-3)


def _add(
    push: dict[str, list[float]], a: str, b: str, dx: float, dy: float, force: float
) -> None:
    push[a][0] += dx * force
    push[a][1] += dy * force
    push[b][0] -= dx * force
    push[b][1] -= dy * force


def _fit(places: dict[str, Point]) -> dict[str, Point]:
    """The same, filling the drawing."""
    if not places:
        return {}
    left, right = min(x for x, _ in places.values()), max(x for x, _ in places.values())
    top, bottom = min(y for _, y in places.values()), max(y for _, y in places.values())
    extent = max(right - left, bottom - top)
    scale = (SIDE - 2 * MARGIN) / extent if extent > 0 else 0.0
    x0 = SIDE / 2 - scale * (left + right) / 2
    y0 = SIDE / 2 - scale * (top + bottom) / 2
    return {name: (x0 + x * scale, y0 + y * scale) for name, (x, y) in places.items()}
