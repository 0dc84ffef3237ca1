"""A small log-log chart as SVG text. No measuring here.

Both axes are decades; a curve is a line with a dot at each measured count and its last value written beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 64, 72, 44, 70
_INK, _GRID = "#1f2430", "#d9dce3"
_COLOURS = ("#0b6e99", "#c2571a")
_LEGEND_PX = 290

Curve = Sequence[tuple[float, float]]
"""(count, cost), rising counts."""


def write(path: Path, title: str, across: str, up: str, curves: Mapping[str, Curve]) -> None:
    """Draw the curves into a file; ``across`` and ``up`` name the axes."""
    path.write_text(chart(title, across, up, curves), encoding="utf-8")


def chart(title: str, across: str, up: str, curves: Mapping[str, Curve]) -> str:
    """The SVG document."""
    xs, ys = (_decades([dot[axis] for curve in curves.values() for dot in curve]) for axis in (0, 1))
    parts = [_head(title), *_across(xs, across), *_up(ys, up)]
    for n, (name, curve) in enumerate(curves.items()):
        parts += _curve([(_x(x, xs), _y(y, ys)) for x, y in curve], _COLOURS[n % len(_COLOURS)], curve[-1][1])
        parts += _legend(n, name)
    return "\n".join([*parts, "</svg>", ""])


def _head(title: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="sans-serif" font-size="12" fill="{_INK}" role="img" aria-label="{title}">\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>\n'
        f'<text x="{LEFT}" y="24" font-size="15">{title}</text>'
    )


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """The powers of ten that hold all values."""
    least = math.floor(math.log10(min(values)))
    return least, max(least + 1, math.ceil(math.log10(max(values))))


def _x(value: float, decades: tuple[int, int]) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * _share(value, decades)


def _y(value: float, decades: tuple[int, int]) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * _share(value, decades)


def _share(value: float, decades: tuple[int, int]) -> float:
    return (math.log10(value) - decades[0]) / (decades[1] - decades[0])


def _across(decades: tuple[int, int], name: str) -> list[str]:
    bottom, parts = HEIGHT - BOTTOM, []
    for power in range(decades[0], decades[1] + 1):
        x = _x(10**power, decades)
        parts.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}" stroke="{_GRID}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{10**power:,}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    return [*parts, f'<text x="{middle:.1f}" y="{bottom + 34}" text-anchor="middle">{name}</text>']


def _up(decades: tuple[int, int], name: str) -> list[str]:
    parts = []
    for power in range(decades[0], decades[1] + 1):
        y = _y(10.0**power, decades)
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="{_GRID}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g}</text>')
    middle = (TOP + HEIGHT - BOTTOM) / 2
    return [
        *parts,
        f'<text x="16" y="{middle:.1f}" text-anchor="middle" transform="rotate(-90 16 {middle:.1f})">{name}</text>',
    ]


def _curve(dots: Sequence[tuple[float, float]], colour: str, last: float) -> list[str]:
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in dots)
    parts = [f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>']
    parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in dots]
    x, y = dots[-1]
    return [*parts, f'<text x="{x + 8:.1f}" y="{y + 4:.1f}" fill="{colour}">{last:.3g}</text>']


def _legend(n: int, name: str) -> list[str]:
    x, y, colour = LEFT + n * _LEGEND_PX, HEIGHT - 12, _COLOURS[n % len(_COLOURS)]
    return [f'<circle cx="{x}" cy="{y - 4}" r="4" fill="{colour}"/>', f'<text x="{x + 10}" y="{y}">{name}</text>']
