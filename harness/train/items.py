"""Losses by item: symbols of one item are not independent of each other, items are.

I items, P distinct pairs of a context and its target.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.corpus import ContextCounts, Corpus, OpenSplit
from harness.model import Predictor
from harness.train.evaluate import Nats, pair_nats


@dataclass(frozen=True)
class ItemNats:
    """A split's loss item by item."""

    nats: NDArray[np.float64]
    """(I,) summed over the item's symbols and its end."""
    symbols: NDArray[np.int64]
    """(I,) how many those are."""

    @property
    def mean(self) -> Nats:
        """Nats per symbol over all items: summed, counted, divided once."""
        return float(self.nats.sum() / self.symbols.sum())

    @property
    def standard_error(self) -> Nats:
        """Of the mean, for other items of the same source and the same weights; not finite for fewer than two.

        The mean is a ratio of two sums over items, so its variance is that of the items'
        residuals from it (Cochran 1977, section 6.3, the ratio estimator, to first order).
        """
        items = len(self.nats)
        if items < 2:
            return math.nan
        residuals = self.nats - self.mean * self.symbols
        return float(math.sqrt(items / (items - 1) * (residuals**2).sum()) / self.symbols.sum())

    def where(self, chosen: NDArray[np.bool_]) -> ItemNats:
        """Some of the items."""
        return ItemNats(self.nats[chosen], self.symbols[chosen])


def item_nats(model: Predictor, corpus: Corpus, split: OpenSplit, context_length: int) -> ItemNats:
    """Exact losses of a split's items, in their order."""
    symbols = np.array([len(item) + 1 for item in corpus.items(split)])
    return nats_by_item(model, corpus.counts(split, context_length), symbols)


def nats_by_item(model: Predictor, counts: ContextCounts, symbols: NDArray[np.int64]) -> ItemNats:
    """The same from a split's counts and (I,) its items' symbols, their ends included."""
    of_examples = pair_nats(model, counts)[counts.pair_of_example].numpy()
    return ItemNats(np.add.reduceat(of_examples, np.append(0, symbols.cumsum()[:-1])), symbols)


def gap_error(train: ItemNats, dev: ItemNats) -> Nats:
    """Standard error of the gap dev minus train: the splits share no draw of items."""
    return math.hypot(train.standard_error, dev.standard_error)


def seen_in_train(items: Sequence[str], train_items: Sequence[str]) -> NDArray[np.bool_]:
    """Which of the items stand in train too, letter for letter."""
    known = set(train_items)
    return np.array([item in known for item in items], dtype=bool)
