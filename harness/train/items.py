"""Losses by item. Standard errors are computed over items because symbols within one item are not independent.

I items, P distinct (context, target) pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from harness.corpus import ContextCounts, Corpus, OpenSplit
from harness.model import Predictor
from harness.train.evaluate import Nats, pair_nats


@dataclass(frozen=True)
class ItemNats:
    """A split's loss item by item."""

    nats: NDArray[np.float64]
    """(I,) the loss summed over the item's symbols and its end."""
    symbols: NDArray[np.int64]
    """(I,) the number of predicted symbols, including the end."""

    @property
    def mean(self) -> Nats:
        """Nats per symbol over all items; summed first, divided once."""
        return float(self.nats.sum() / self.symbols.sum())

    @property
    def standard_error(self) -> Nats:
        """Standard error of the mean over draws of items, for fixed weights; NaN for fewer than two items.

        The mean is a ratio of two sums over items, so its variance follows from the items' residuals
        (the ratio estimator to first order; Cochran 1977, section 6.3).
        """
        items = len(self.nats)
        if items < 2:
            return math.nan
        residuals = self.nats - self.mean * self.symbols
        return float(math.sqrt(items / (items - 1) * (residuals**2).sum()) / self.symbols.sum())

    def where(self, chosen: NDArray[np.bool_]) -> ItemNats:
        """The items selected by an (I,) mask."""
        return ItemNats(self.nats[chosen], self.symbols[chosen])


def item_nats(model: Predictor, corpus: Corpus, split: OpenSplit, context_length: int) -> ItemNats:
    """Exact losses of a split's items, in their order."""
    return items_of_pairs(pair_nats(model, corpus.counts(split, context_length)), corpus, split, context_length)


def items_of_pairs(nats_P: Tensor, corpus: Corpus, split: OpenSplit, context_length: int) -> ItemNats:
    """The same from the nats of every distinct pair of the split."""
    symbols = np.array([len(item) + 1 for item in corpus.items(split)])
    return _by_item(nats_P, corpus.counts(split, context_length), symbols)


def nats_by_item(model: Predictor, counts: ContextCounts, symbols: NDArray[np.int64]) -> ItemNats:
    """Losses by item from a split's counts.

    Args:
        symbols: (I,) the number of predicted symbols of each item, including its end.
    """
    return _by_item(pair_nats(model, counts), counts, symbols)


def _by_item(nats_P: Tensor, counts: ContextCounts, symbols: NDArray[np.int64]) -> ItemNats:
    nats_of_examples = nats_P[counts.pair_of_example].numpy()
    return ItemNats(np.add.reduceat(nats_of_examples, np.append(0, symbols.cumsum()[:-1])), symbols)


def gap_error(train: ItemNats, dev: ItemNats) -> Nats:
    """Standard error of the gap, dev minus train, in nats. The splits are separate draws of items, so errors add in
    squares."""
    return math.hypot(train.standard_error, dev.standard_error)


def seen_in_train(items: Sequence[str], train_items: Sequence[str]) -> NDArray[np.bool_]:
    """(I,) whether each item also occurs in train, symbol for symbol."""
    known = set(train_items)
    return np.array([item in known for item in items], dtype=bool)
