"""Small drawings as SVG text, coloured by the page's own style: light or dark, and sharp at any size.

Drawn 360 units wide, about a telephone's, so that their letters stay readable there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from harness.report.tables.reported import Row, rounding
from harness.store.study_record import RangeTest

_WIDTH, _LEFT, _RIGHT = 360, 34, 350


def draw_rows(rows: Sequence[Row]) -> str:
    """Every reported figure (diamond, its rounding as a bar) over what is measured (dot, its margin as a line)."""
    pairs = [(row, *pair) for row in rows for pair in row.pairs]
    if not pairs:
        return ""
    ends = [float(figure) + sign * rounding(figure) for _, _, figure, _ in pairs for sign in (-1, 1)] + [
        measured.mean + sign * measured.margin for *_, measured in pairs for sign in (-1, 1)
    ]
    low, high = math.floor(10 * min(ends)) / 10, math.ceil(10 * max(ends)) / 10
    x = _scale(low, high, 8, _RIGHT)
    parts, y, last = [], 4.0, ""
    for row, split, figure, measured in pairs:
        if row.experiment != last:
            y += 20
            parts.append(_text(8, y, row.experiment, "head"))
            last = row.experiment
        y += 17
        after = "" if row.steps is None else f"after {row.steps:,}, "
        parts.append(_text(8, y, f"{after}{split}"))
        at, off = y + 9, " off" if measured.off(figure) else ""
        told = float(figure)
        parts += [
            f'<line class="track" x1="8" x2="{_RIGHT}" y1="{at}" y2="{at}"/>',
            f'<line class="told bar" x1="{x(told - rounding(figure)):.1f}" x2="{x(told + rounding(figure)):.1f}" '
            f'y1="{at}" y2="{at}"/>',
            f'<line class="here{off}" x1="{x(measured.mean - measured.margin):.1f}" '
            f'x2="{x(measured.mean + measured.margin):.1f}" y1="{at}" y2="{at}"/>',
            f'<circle class="here{off}" cx="{x(measured.mean):.1f}" cy="{at}" r="3.2"/>',
            f'<path class="told" d="M{x(told):.1f} {at - 5}l5 5l-5 5l-5 -5z"/>',
        ]
        y += 9
    ticks = [low + i / 10 for i in range(round(10 * (high - low)) + 1)]
    foot = y + 22
    parts += [_text(x(tick), foot, f"{tick:.1f}", "tick") for tick in ticks[:: max(1, len(ticks) // 7)]]
    return _svg("".join(parts), foot + 8, "Each reported loss beside the one measured here, in nats per symbol")


def draw_range(probe: RangeTest, rate: float) -> str:
    """A range test's smoothed loss over the rates; the range to try shaded, one rate marked."""
    bottom, top, height = 190.0, 12.0, 226.0
    x = _scale(math.log10(probe.rates[0]), math.log10(probe.rates[-1]), _LEFT, _RIGHT)
    low = min(probe.smoothed)
    high = min(max(probe.smoothed), max(probe.smoothed[0], low + 0.5) * 1.2)
    y = _scale(low, high, bottom, top)
    points = [
        f"{x(math.log10(rate)):.1f},{y(min(nats, high)):.1f}"
        for rate, nats in zip(probe.rates, probe.smoothed, strict=True)
    ]
    left, right, mark = (x(math.log10(value)) for value in (probe.low, probe.high, rate))
    decades = range(math.ceil(math.log10(probe.rates[0]) - 1e-9), math.floor(math.log10(probe.rates[-1]) + 1e-9) + 1)
    parts = [
        f'<rect class="band" x="{left:.1f}" y="{top}" width="{right - left:.1f}" height="{bottom - top}"/>',
        f'<line class="told" x1="{mark:.1f}" x2="{mark:.1f}" y1="{top}" y2="{bottom}"/>',
        f'<polyline class="curve" points="{" ".join(points)}"/>',
        *(_text(x(decade), bottom + 15, f"{10.0**decade:g}", "tick") for decade in decades),
        *(_text(_LEFT - 4, y(nats) + 3, f"{nats:.1f}", "end") for nats in (low, (low + high) / 2, high)),
        _text((_LEFT + _RIGHT) / 2, bottom + 31, "learning rate, one step at each", "tick"),
    ]
    return _svg("".join(parts), height, "Smoothed batch loss (nats) against the learning rate")


def draw_map(points: Sequence[tuple[str, float, float]]) -> str:
    """Symbols where a 2-D embedding keeps them, to one scale in both directions; vowels stand out."""
    xs, ys = [p[1] for p in points], [p[2] for p in points]
    span = max(max(xs) - min(xs), max(ys) - min(ys)) or 1.0
    unit = (_WIDTH - 48) / span
    parts = []
    for symbol, px, py in points:
        at = 24 + (px - min(xs)) * unit, 24 + (max(ys) - py) * unit
        kind = "vowel" if symbol in "aeiou" else "symbol"
        parts.append(f'<circle class="{kind}" cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="8"/>')
        parts.append(_text(at[0], at[1] + 4, symbol if symbol.isprintable() else repr(symbol)[1:-1], "letter"))
    return _svg("".join(parts), 48 + (max(ys) - min(ys)) * unit, "The symbols where the embedding keeps them")


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    return lambda value: start + (value - low) / ((high - low) or 1.0) * (end - start)


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _svg(inside: str, height: float, title: str) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{inside}</svg>"
    )
