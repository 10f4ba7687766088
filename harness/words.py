"""Numbers with their words."""

from __future__ import annotations


def plural(count: int, thing: str, things: str = "") -> str:
    """`1 trial`, `2 trials`, `1,000 trials`.

    Args:
        things: the plural, if it is not made with an s.
    """
    return f"{count:,} {thing if count == 1 else things or f'{thing}s'}"


def number_of(amount: float, thing: str) -> str:
    """`1 minute`, `0.5 minutes`, for an amount that may be a fraction."""
    return f"{amount:g} {thing if amount == 1 else f'{thing}s'}"
