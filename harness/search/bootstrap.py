"""Which of several models is better, over fresh seeds and over items: paired bootstrap, ties, and one winner.

C contenders, S seeds, I items of dev, R resamples. Pure arithmetic: no storage, no training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
LEVEL = 0.95
_DRAWN_AT_ONCE = 2_000_000
"""Items drawn together, over all the resamples of a piece: what bounds the memory on a large corpus."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """From the 2.5 % to the 97.5 % point of the resamples, in nats per symbol."""

    low: float
    high: float

    @classmethod
    def of(cls, resampled: Floats) -> Interval:
        low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return cls(float(low), float(high))


def mean_nats(nats_CSI: Floats, symbols_I: NDArray[np.int64]) -> Floats:
    """(C,) mean over the seeds of each contender's exact loss over all items."""
    means: Floats = nats_CSI.sum(-1).mean(-1) / symbols_I.sum()
    return means


def resampled_means(
    nats_CSI: Floats, symbols_I: NDArray[np.int64], *, resamples: int = RESAMPLES, seed: int = 0
) -> Floats:
    """(R, C) the same means over seeds and items drawn with replacement (Efron & Tibshirani 1993, chapter 8).

    Each resample draws one set of seeds and one of items for all contenders, so that what they share
    cancels in their differences. With S seeds the spread between them comes out narrower by
    sqrt((S - 1) / S), as in any bootstrap of so few.

    Args:
        nats_CSI: summed over each item's symbols.
        symbols_I: how many those are.
    """
    C, S, I = nats_CSI.shape  # noqa: E741
    of_items, of_seeds = np.random.default_rng(seed).spawn(2)  # two, so that the pieces' size changes nothing
    at_once = max(1, _DRAWN_AT_ONCE // I)
    by_item = np.ascontiguousarray(nats_CSI.reshape(C * S, I).T)
    means = np.empty((resamples, C))
    for start in range(0, resamples, at_once):
        count = min(at_once, resamples - start)
        items = _times_drawn(of_items, count, I)
        seeds = _times_drawn(of_seeds, count, S) / S
        sums = (items @ by_item).reshape(count, C, S)
        means[start : start + count] = np.einsum("rcs,rs->rc", sums, seeds) / (items @ symbols_I)[:, None]
    return means


def _times_drawn(chance: np.random.Generator, count: int, of: int) -> Floats:
    """(count, of) how often each of `of` things comes up in `of` draws with replacement."""
    drawn = chance.integers(of, size=(count, of)) + of * np.arange(count)[:, None]
    return np.bincount(drawn.ravel(), minlength=count * of).reshape(count, of).astype(np.float64)


def share_better(first: Floats, second: Floats) -> float:
    """P(first < second) over paired resamples; where they are equal, half."""
    return float((first < second).mean() + (first == second).mean() / 2)


def tied_with_best(means_C: Floats, resampled_RC: Floats) -> list[bool]:
    """Whether the interval of each contender's difference to the lowest mean contains 0; the lowest is tied itself."""
    best = int(means_C.argmin())
    intervals = [Interval.of(column - resampled_RC[:, best]) for column in resampled_RC.T]
    return [interval.low <= 0 <= interval.high for interval in intervals]


def choose(means: Sequence[float], tied: Sequence[bool], parameters: Sequence[int], yields: Sequence[bool]) -> int:
    """Index of the winner: of those tied, the one with the fewest parameters, then the lower mean, then the first.

    Args:
        yields: contenders that win only where nobody else is tied, as the lecture's recipe.
    """
    eligible = [index for index, is_tied in enumerate(tied) if is_tied]
    preferred = [index for index in eligible if not yields[index]] or eligible
    return min(preferred, key=lambda index: (parameters[index], means[index], index))
