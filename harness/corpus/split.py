"""Items into train, dev and test: shuffled from one seed, 80/10/10, the same everywhere."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

SPLIT_SEED = 42


@dataclass(frozen=True)
class SplitRule:
    """How items are shuffled before the cuts at 80 and 90 per cent."""

    text: str
    """Part of every fingerprint."""
    shuffles: int
    """Times the list is shuffled over, each from a generator seeded anew with `SPLIT_SEED`."""


ONCE = SplitRule("shuffle once, 80/10/10 by item", 1)
PUBLISHED = SplitRule("shuffle four times, each from the same seed, 80/10/10 by item", 4)
"""What the split sizes in the lecture's published notebook come from: its cell ran four times on one list."""


def train_and_dev_items(items: Sequence[str], rule: SplitRule = ONCE) -> tuple[list[str], list[str]]:
    """The two splits that a search may look at; the lecture's proportions.

    `random.Random(42).shuffle` of a copy, as often as the rule says, then cuts at 80 and 90 per cent.
    """
    shuffled, first, second = _shuffled(items, rule)
    return shuffled[:first], shuffled[first:second]


def sealed_test_items(items: Sequence[str], rule: SplitRule = ONCE) -> list[str]:
    """The test split. Only `harness.holdout.open` may call this (a test checks it)."""
    shuffled, _, second = _shuffled(items, rule)
    return shuffled[second:]


def _shuffled(items: Sequence[str], rule: SplitRule) -> tuple[list[str], int, int]:
    shuffled = list(items)
    for _ in range(rule.shuffles):
        random.Random(SPLIT_SEED).shuffle(shuffled)
    return shuffled, int(0.8 * len(shuffled)), int(0.9 * len(shuffled))
