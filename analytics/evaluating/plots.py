"""Plots as SVG: lines and points over two axes, readable by any browser and small enough to commit.

In: series of points. Out: SVG text. Keeps nothing. Fails with nothing. Pure. No plotting library: five kinds of lines do not pay
for one.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

Points = Sequence[tuple[float, float]]

WIDTH: Final = 720
HEIGHT: Final = 440
_LEFT: Final = 70
_RIGHT: Final = 190
_TOP: Final = 40
_BOTTOM: Final = 50
_TICKS: Final = 5
_COLOURS: Final = (
    "#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22",
)  # fmt: skip


def plot(
    title: str, x_name: str, y_name: str, lines: Mapping[str, Points], dots: Mapping[str, Points] | None = None
) -> str:
    """An SVG picture with a line for each of ``lines``, and marks for each of ``dots``."""
    marks = dots or {}
    every = [point for points in (*lines.values(), *marks.values()) for point in points]
    xs, ys = [x for x, _ in every] or [0.0], [y for _, y in every] or [0.0]
    left, right, low, high = min(xs), max(xs), min(ys), max(ys)
    wide, tall = (right - left) or 1.0, (high - low) or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        across = _LEFT + (x - left) / wide * (WIDTH - _LEFT - _RIGHT)
        return across, HEIGHT - _BOTTOM - (y - low) / tall * (HEIGHT - _TOP - _BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{_LEFT}" y="24" font-size="15">{escape(title)}</text>',
        f'<text x="{(WIDTH - _RIGHT) // 2}" y="{HEIGHT - 10}">{escape(x_name)}</text>',
        f'<text x="16" y="{HEIGHT // 2}" transform="rotate(-90 16 {HEIGHT // 2})">{escape(y_name)}</text>',
    ]
    for step in range(_TICKS + 1):
        x, y = left + wide * step / _TICKS, low + tall * step / _TICKS
        across, bottom = place(x, low)
        _, up = place(left, y)
        parts.append(f'<text x="{across:.1f}" y="{bottom + 18:.1f}" text-anchor="middle">{x:.4g}</text>')
        parts.append(f'<text x="{_LEFT - 6}" y="{up + 4:.1f}" text-anchor="end">{y:.3g}</text>')
        parts.append(f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{up:.1f}" y2="{up:.1f}" stroke="#ddd"/>')
    for number, (name, points) in enumerate((*lines.items(), *marks.items())):
        colour = _COLOURS[number % len(_COLOURS)]
        placed = [place(x, y) for x, y in points]
        if name in lines:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
            parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
        else:
            parts.extend(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>' for x, y in placed)
        down = _TOP + 18 * number
        parts.append(f'<rect x="{WIDTH - _RIGHT + 12}" y="{down}" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{WIDTH - _RIGHT + 30}" y="{down + 10}">{escape(name)}</text>')
    return "\n".join((*parts, "</svg>", ""))
