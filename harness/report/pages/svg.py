"""Reported figures and measured losses drawn as SVG, coloured by the page's style sheet.

The drawing is 360 units wide, about the width of a phone, so that its text stays readable there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from harness.report.tables.reported import Row, rounding

_WIDTH, _LEFT, _RIGHT = 360, 8, 350


def draw_rows(rows: Sequence[Row]) -> str:
    """One line for each reported figure; empty if nothing was reported.

    A diamond is the reported figure, and the bar around it is its rounding. A dot is the measured mean, and the line
    through it is its margin.
    """
    pairs = [(row, *pair) for row in rows for pair in row.pairs]
    if not pairs:
        return ""
    ends = [float(figure) + sign * rounding(figure) for _, _, figure, _ in pairs for sign in (-1, 1)] + [
        measured.mean + sign * measured.margin for *_, measured in pairs for sign in (-1, 1)
    ]
    low, high = math.floor(10 * min(ends)) / 10, math.ceil(10 * max(ends)) / 10

    def x(nats: float) -> float:
        return _LEFT + (nats - low) / ((high - low) or 1.0) * (_RIGHT - _LEFT)

    parts, y, last = [], 4.0, ""
    for row, split, figure, measured in pairs:
        if row.experiment != last:
            y += 20
            parts.append(_text(_LEFT, y, row.experiment, "head"))
            last = row.experiment
        y += 17
        after = "" if row.steps is None else f"after {row.steps:,}, "
        parts.append(_text(_LEFT, y, f"{after}{split}"))
        at, differs = y + 9, " differs" if measured.excess(figure) else ""
        reported = float(figure)
        parts += [
            f'<line class="track" x1="{_LEFT}" x2="{_RIGHT}" y1="{at}" y2="{at}"/>',
            f'<line class="reported bar" x1="{x(reported - rounding(figure)):.1f}" '
            f'x2="{x(reported + rounding(figure)):.1f}" y1="{at}" y2="{at}"/>',
            f'<line class="measured{differs}" x1="{x(measured.mean - measured.margin):.1f}" '
            f'x2="{x(measured.mean + measured.margin):.1f}" y1="{at}" y2="{at}"/>',
            f'<circle class="measured{differs}" cx="{x(measured.mean):.1f}" cy="{at}" r="3.2"/>',
            f'<path class="reported" d="M{x(reported):.1f} {at - 5}l5 5l-5 5l-5 -5z"/>',
        ]
        y += 9
    ticks = [low + i / 10 for i in range(round(10 * (high - low)) + 1)]
    y += 22
    parts += [_text(x(tick), y, f"{tick:.1f}", "tick") for tick in ticks[:: max(1, len(ticks) // 7)]]
    title = "Each reported loss and the loss measured here, in nats per symbol"
    return (
        f'<svg viewBox="0 0 {_WIDTH} {y + 8:.0f}" role="img" aria-label="{title}"><title>{title}</title>'
        f"{''.join(parts)}</svg>"
    )


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'
