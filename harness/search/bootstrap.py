"""Compares finalists over fresh seeds and over items: a paired bootstrap, ties, and one winner.

In shapes, C is the number of contenders, S of seeds, I of dev items, R of resamples. This module only
computes: it neither reads a storage nor trains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
LEVEL = 0.95
_DRAWN_AT_ONCE = 2_000_000
"""Items drawn at once, over all resamples of a block. This limits the memory needed for a large corpus."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """From the 2.5 % to the 97.5 % quantile of the resamples, in nats per symbol."""

    low: float
    high: float

    @classmethod
    def of(cls, resampled: Floats) -> Interval:
        low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return cls(float(low), float(high))


def mean_nats(nats_CSI: Floats, symbols_I: NDArray[np.int64]) -> Floats:
    """(C,) each contender's exact loss over all items, averaged over its seeds."""
    means: Floats = nats_CSI.sum(-1).mean(-1) / symbols_I.sum()
    return means


def resampled_means(
    nats_CSI: Floats, symbols_I: NDArray[np.int64], *, resamples: int = RESAMPLES, seed: int = 0
) -> Floats:
    """(R, C) the means of `mean_nats`, for seeds and items drawn with replacement (Efron & Tibshirani 1993, ch. 8).

    Each resample draws one set of seeds and one of items for all contenders, so that what they share
    cancels in their differences. The bootstrap underestimates the spread between S seeds by a factor
    of sqrt((S - 1) / S), which matters for as few seeds as here.

    Args:
        nats_CSI: nats of each item, summed over its symbols.
        symbols_I: number of symbols of each item.
    """
    C, S, I = nats_CSI.shape  # noqa: E741
    item_draws, seed_draws = np.random.default_rng(seed).spawn(2)  # two, so that the block size changes nothing
    block = max(1, _DRAWN_AT_ONCE // I)
    by_item = np.ascontiguousarray(nats_CSI.reshape(C * S, I).T)
    means = np.empty((resamples, C))
    for start in range(0, resamples, block):
        count = min(block, resamples - start)
        items = _times_drawn(item_draws, count, I)
        seeds = _times_drawn(seed_draws, count, S) / S
        sums = (items @ by_item).reshape(count, C, S)
        means[start : start + count] = np.einsum("rcs,rs->rc", sums, seeds) / (items @ symbols_I)[:, None]
    return means


def _times_drawn(generator: np.random.Generator, count: int, size: int) -> Floats:
    """(count, size) how often each of `size` elements is drawn in `size` draws with replacement."""
    drawn = generator.integers(size, size=(count, size)) + size * np.arange(count)[:, None]
    return np.bincount(drawn.ravel(), minlength=count * size).reshape(count, size).astype(np.float64)


def share_better(first: Floats, second: Floats) -> float:
    """Share of paired resamples in which the first is lower; equal ones count half."""
    return float((first < second).mean() + (first == second).mean() / 2)


def tied_with_best(means_C: Floats, resampled_RC: Floats) -> list[bool]:
    """Whether each contender is tied with the lowest mean: the interval of their difference contains 0."""
    best = int(means_C.argmin())
    intervals = [Interval.of(column - resampled_RC[:, best]) for column in resampled_RC.T]
    return [interval.low <= 0 <= interval.high for interval in intervals]


def choose(means: Sequence[float], tied: Sequence[bool], parameters: Sequence[int], yields: Sequence[bool]) -> int:
    """Index of the winner: among the tied, the one with the fewest parameters, then the lowest mean, then the first.

    Args:
        yields: contenders that win only if no other is tied, such as the lecture's recipe.
    """
    eligible = [index for index, is_tied in enumerate(tied) if is_tied]
    preferred = [index for index in eligible if not yields[index]] or eligible
    return min(preferred, key=lambda index: (parameters[index], means[index], index))
