"""How much lower a winner's mean is because it was chosen on the same dev items, by cross-fitting over item halves."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from harness.search.intervals import Counts, Floats

REPETITIONS = 200
FEWEST_ITEMS = 4
"""Items below which halves have no spread of their own."""


def selection_bias(
    nats_CSI: Floats,
    symbols_I: Counts,
    winner: Callable[[Floats, Counts], int],
    *,
    repetitions: int = REPETITIONS,
    seed: int = 0,
) -> float | None:
    """Nats per symbol by which the loss of the chosen contender is expected to rise on new items.

    In each repetition the items are split at random into halves. A contender is chosen on one half and judged on the
    other, both ways; what it loses by that is the bias of choosing on half of the items. Noise falls with the root
    of the number of items, so the bias on all items is that, divided by the root of 2. The estimate is noisy and
    may be negative, because a rule that prefers small models does not always choose the lowest mean.

    None if nothing was chosen: a single contender, or fewer than FEWEST_ITEMS items.

    Args:
        winner: chooses a contender from its nats on some of the items, by the rule of the ranking.
    """
    items = len(symbols_I)
    if len(nats_CSI) < 2 or items < FEWEST_ITEMS:
        return None
    generator = np.random.default_rng(seed)
    lost = 0.0
    for _ in range(repetitions):
        shuffled = generator.permutation(items)
        halves = shuffled[: items // 2], shuffled[items // 2 :]
        for here, there in (halves, halves[::-1]):
            chosen = nats_CSI[winner(nats_CSI[:, :, here], symbols_I[here])]
            lost += _mean(chosen, symbols_I, there) - _mean(chosen, symbols_I, here)
    return lost / (2 * repetitions) / math.sqrt(2)


def _mean(nats_SI: Floats, symbols_I: Counts, half: Counts) -> float:
    return float(nats_SI[:, half].sum(1).mean() / symbols_I[half].sum())
