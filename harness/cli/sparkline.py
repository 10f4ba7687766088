"""A series of numbers as one line of block characters."""

from __future__ import annotations

from collections.abc import Sequence

from harness.store.trial_record import thinned

_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII = "_.-=*#"


def sparkline(values: Sequence[float], width: int, *, plain: bool = False) -> str:
    """At most `width` characters, always including the last value. A constant series is drawn at the lowest level.

    Args:
        plain: draw with ASCII characters only.
    """
    points = thinned(list(values), width) if width > 0 else []
    if not points:
        return ""
    levels = _ASCII if plain else _BLOCKS
    low, span = min(points), max(points) - min(points)
    shares = [0.0 if span == 0 else (value - low) / span for value in points]
    return "".join(levels[round(share * (len(levels) - 1))] for share in shares)
