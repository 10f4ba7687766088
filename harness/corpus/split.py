"""Items into train, dev and test: one shuffle, 80/10/10, the same everywhere."""

from __future__ import annotations

import random
from collections.abc import Sequence

SPLIT_SEED = 42
SPLIT_RULE = "shuffle once, 80/10/10 by item"


def train_and_dev_items(items: Sequence[str]) -> tuple[list[str], list[str]]:
    """The two splits that a search may look at; the lecture's proportions.

    One `random.Random(42).shuffle` of a copy, then cuts at 80 and 90 per cent.
    """
    shuffled, first, second = _shuffled(items)
    return shuffled[:first], shuffled[first:second]


def sealed_test_items(items: Sequence[str]) -> list[str]:
    """The test split. Only `harness.search.holdout` may call this (a test checks it)."""
    shuffled, _, second = _shuffled(items)
    return shuffled[second:]


def _shuffled(items: Sequence[str]) -> tuple[list[str], int, int]:
    shuffled = list(items)
    random.Random(SPLIT_SEED).shuffle(shuffled)
    return shuffled, int(0.8 * len(shuffled)), int(0.9 * len(shuffled))
