"""A series of numbers as one line of block characters."""

from __future__ import annotations

from collections.abc import Sequence

from harness.store.trial_record import thinned

_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII = "_.-=*#"


def sparkline(values: Sequence[float], width: int, *, plain: bool = False) -> str:
    """At most `width` characters, the last value always among them; a constant series lies at the bottom.

    Args:
        plain: draw with ASCII alone.
    """
    shown = thinned(list(values), width) if width > 0 else []
    if not shown:
        return ""
    levels = _ASCII if plain else _BLOCKS
    low, span = min(shown), max(shown) - min(shown)
    steps = [0.0 if span == 0 else (value - low) / span for value in shown]
    return "".join(levels[round(step * (len(levels) - 1))] for step in steps)
