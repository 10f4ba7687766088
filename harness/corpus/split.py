"""Splitting items into train, dev and test: shuffled with a fixed seed, then 80/10/10."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

SPLIT_SEED = 42


@dataclass(frozen=True)
class SplitRule:
    """How items are shuffled before they are split at 80 and 90 per cent."""

    text: str
    """Part of every fingerprint."""
    shuffles: int
    """Number of shuffles, one after another, each with a generator newly seeded with `SPLIT_SEED`."""


ONCE = SplitRule("shuffle once, 80/10/10 by item", 1)
PUBLISHED = SplitRule("shuffle four times, each from the same seed, 80/10/10 by item", 4)
"""The rule that gives the split sizes in the lecture's published notebook, whose cell ran four times on one list."""


def train_and_dev_items(items: Sequence[str], rule: SplitRule = ONCE) -> tuple[list[str], list[str]]:
    """The two splits that a search may use, in the lecture's proportions.

    A copy is shuffled by `random.Random(42).shuffle`, once or as often as the rule says, then split at 80 and
    90 per cent.
    """
    shuffled, first, second = _shuffled(items, rule)
    return shuffled[:first], shuffled[first:second]


def sealed_test_items(items: Sequence[str], rule: SplitRule = ONCE) -> list[str]:
    """The test split. Only the code that opens the holdout may call this (a test checks it)."""
    shuffled, _, second = _shuffled(items, rule)
    return shuffled[second:]


def _shuffled(items: Sequence[str], rule: SplitRule) -> tuple[list[str], int, int]:
    shuffled = list(items)
    for _ in range(rule.shuffles):
        random.Random(SPLIT_SEED).shuffle(shuffled)
    return shuffled, int(0.8 * len(shuffled)), int(0.9 * len(shuffled))
