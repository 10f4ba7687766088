"""Compares finalists over fresh seeds and over items: intervals, P(better), ties, and one winner.

In shapes, C is the number of contenders, S of seeds, I of dev items. This module only computes: it neither
reads a storage nor trains. Everything is in closed form, so every figure can be recomputed from the csv files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

LEVEL = 0.95
SEED_DEVIATION = 0.0024
"""Standard deviation of the dev loss between seeds of one tuned config, in nats per symbol, measured on `names`.
It stands in where a single seed cannot show one."""
SAME = 1e-6
"""Nats per symbol. Losses that are no further apart are equal: float32 models that sum in another order differ by
some 1e-7."""
SEED_MARGIN = 2.0
"""Standard errors of the difference of two means, from the noise of seeds, that still count as a tie."""
LIKELY = 0.9
"""P(the best is better) from which another contender is not tied with it, although the 95 % interval may contain 0."""
Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Interval:
    """A mean in nats per symbol with its 95 % interval, which always contains it."""

    mean: float
    error: float
    """Standard error of the mean."""
    freedom: float
    """Degrees of freedom of Student's t."""

    @property
    def half_width(self) -> float:
        return 0.0 if self.error == 0 else float(student.ppf((1 + LEVEL) / 2, self.freedom)) * self.error

    @property
    def low(self) -> float:
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        return self.mean + self.half_width

    @property
    def p_below_zero(self) -> float:
        """Confidence that the mean is below 0; a half if it is 0 up to rounding."""
        if abs(self.mean) <= SAME:
            return 0.5
        return float(self.mean < 0) if self.error == 0 else float(student.cdf(-self.mean / self.error, self.freedom))


def interval(nats_SI: Floats, symbols_I: Counts, *, one_seed: float = 0.0) -> Interval:
    """The mean over seeds and items, with its error over both: seeds and items are two random factors.

    The variance is that over items (of the ratio of two sums; Cochran 1977, section 6.3), plus that over seeds,
    less that of their interaction, which both contain. The degrees of freedom are Satterthwaite's (1946). Small
    numbers are allowed for: I / (I - 1), S - 1 and Student's t. docs/honest-numbers.md has the measured coverage.

    Args:
        nats_SI: nats of each item, summed over its symbols; or the paired differences of two contenders.
        symbols_I: number of symbols of each item.
        one_seed: the standard deviation between seeds to assume for S = 1; 0 for a model without a seed.
    """
    S, I = nats_SI.shape  # noqa: E741
    symbols, items = float(symbols_I.sum()), I / max(1, I - 1)
    mean_S = nats_SI.sum(1) / symbols
    mean = float(mean_S.mean())
    rest_SI = nats_SI - mean * symbols_I
    over_items = items * float((rest_SI.mean(0) ** 2).sum()) / symbols**2
    if S == 1:
        over_seeds, both, of_seeds = one_seed**2, 0.0, 0.0
    else:
        over_seeds, of_seeds = float(mean_S.var(ddof=1)) / S, 1 / (S - 1)
        left_SI = rest_SI - rest_SI.mean(0) - np.outer(mean_S - mean, symbols_I)
        both = items * float((left_SI**2).sum()) / (S * (S - 1) * symbols**2)
    variance = max(over_items, over_seeds, over_items + over_seeds - both)
    spread = over_items**2 / max(1, I - 1) + over_seeds**2 * of_seeds
    return Interval(mean, math.sqrt(variance), (over_items + over_seeds) ** 2 / spread if spread > 0 else math.inf)


def difference(first_SI: Floats, second_SI: Floats, symbols_I: Counts) -> Interval:
    """The first mean minus the second, paired by seed and item."""
    return interval(first_SI - second_SI, symbols_I, one_seed=SEED_DEVIATION * math.sqrt(2))


def mean_nats(nats_CSI: Floats, symbols_I: Counts) -> Floats:
    """(C,) each contender's exact loss over all items, averaged over its seeds."""
    means: Floats = nats_CSI.sum(-1).mean(-1) / symbols_I.sum()
    return means


def ranks(means: Sequence[float]) -> list[int]:
    """Indices of the contenders, lowest mean first; those that are equal up to SAME keep their order."""
    levels: dict[int, float] = {}
    lowest = -math.inf
    for index in sorted(range(len(means)), key=lambda index: means[index]):
        lowest = lowest if means[index] - lowest <= SAME else means[index]
        levels[index] = lowest
    return sorted(levels, key=lambda index: (levels[index], index))


def tie_margin(nats_CSI: Floats, symbols_I: Counts, yields: Sequence[bool]) -> float:
    """How far above the lowest mean a tie may be, from the noise of seeds, in nats per symbol.

    SEED_MARGIN standard errors of the difference of two means over S seeds. The standard deviation between seeds is
    pooled over the contenders that do not yield, if there are any; for a single seed it is SEED_DEVIATION.
    """
    S = nats_CSI.shape[1]
    pooled_CSI = nats_CSI if all(yields) else nats_CSI[~np.array(yields)]
    mean_CS = pooled_CSI.sum(-1) / symbols_I.sum()
    deviation = SEED_DEVIATION if S == 1 else math.sqrt(mean_CS.var(axis=1, ddof=1).mean())
    return SEED_MARGIN * deviation * math.sqrt(2 / S)


def tied_with_best(nats_CSI: Floats, symbols_I: Counts, margin: float) -> list[bool]:
    """Whether each contender is tied with the lowest mean.

    Its mean is at most `margin` above the lowest, the paired interval of their difference contains 0, and P(the best
    is better) is below LIKELY; or the two are equal up to SAME. Without LIKELY and the margin, everything would be
    tied where there are few items.
    """
    means = mean_nats(nats_CSI, symbols_I)
    best = int(means.argmin())

    def tied(index: int) -> bool:
        behind = means[index] - means[best]
        if behind <= SAME or behind > margin:
            return bool(behind <= SAME)
        apart = difference(nats_CSI[index], nats_CSI[best], symbols_I)
        return apart.low <= 0 and apart.p_below_zero > 1 - LIKELY

    return [tied(index) for index in range(len(means))]


def choose(order: Sequence[int], tied: Sequence[bool], parameters: Sequence[int], yields: Sequence[bool]) -> int:
    """Index of the winner: among the tied, the one with the fewest parameters, then the first in `order`.

    Args:
        order: indices of the contenders, lowest mean first.
        yields: contenders that win only if no other is tied, such as the lecture's recipe.
    """
    eligible = [index for index in order if tied[index]]
    preferred = [index for index in eligible if not yields[index]] or eligible
    return min(preferred, key=lambda index: parameters[index])


def winner_of(nats_CSI: Floats, symbols_I: Counts, parameters: Sequence[int], yields: Sequence[bool]) -> int:
    """Index of the winner by the whole rule: order, margin, ties, size."""
    order = ranks(list(mean_nats(nats_CSI, symbols_I)))
    tied = tied_with_best(nats_CSI, symbols_I, tie_margin(nats_CSI, symbols_I, yields))
    return choose(order, tied, parameters, yields)


def resolution(nats_CSI: Floats, symbols_I: Counts) -> float | None:
    """The median half-width of all paired 95 % intervals, in nats per symbol; None for a single contender.

    Smaller differences between two such contenders cannot be seen on these items with these seeds.
    """
    pairs = combinations(nats_CSI, 2)
    widths = [difference(first, second, symbols_I).half_width for first, second in pairs]
    return median(widths) if widths else None
