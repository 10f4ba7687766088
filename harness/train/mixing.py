"""A network's exact dev loss when it is mixed with the best counted n-gram, and what fitting the weight costs.

P distinct (context, target) pairs of dev.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.corpus import Corpus
from harness.model import Mixture, Predictor, mixed_log
from harness.train.counted import best_counted, counted_model
from harness.train.evaluate import Nats, pair_nats
from harness.train.items import ItemNats, items_of_pairs

EVEN = 0.5
"""The weight that the paper used (Bengio et al. 2003, section 4.2)."""
_HALVINGS = 40
"""Enough to find the weight to within 1e-12. The loss is flat there."""


@dataclass(frozen=True)
class Mixed:
    """P(next) = weight * network + (1 - weight) * counted n-gram, scored exactly on dev."""

    order: int
    """Length of the n-gram: the order with the lowest dev loss among those whose context the network sees."""
    weight: float
    """The network's share with the lowest dev loss, from 0 to 1."""
    dev_nats: Nats
    """Dev loss with that weight. Too low by about `fitting_cost`, because the weight was fitted on the same items."""
    even_nats: Nats
    """Dev loss with a weight of 0.5 for both, as in the paper: nothing is fitted."""
    fitting_cost: Nats | None
    """How much higher the dev loss is if each half of the items is scored with the weight fitted on the other half;
    at least 0. None for fewer than two items."""

    @property
    def line(self) -> str:
        """The mixture in words, with everything that was fitted."""
        cost = "" if self.fitting_cost is None else f" at a cost of {self.fitting_cost:.5f}"
        return (
            f"mixed with the counted {self.order}-gram {self.dev_nats:.4f} (the network's weight {self.weight:.2f} is "
            f"fitted on dev{cost}; with the paper's fixed 0.5: {self.even_nats:.4f})"
        )


def mix(model: Predictor, corpus: Corpus, context_length: int) -> Mixed:
    """Mix a network with the best counted n-gram; fit the weight on dev, and say what that costs.

    Takes 20 ms for a network of 512 hidden units on `names`, most of it for the network's own predictions, once
    the n-grams are counted.
    """
    return mix_pairs(pair_nats(model, corpus.counts("dev", context_length)), corpus, context_length)


def mix_pairs(nats_P: Tensor, corpus: Corpus, context_length: int) -> Mixed:
    """The same from the network's nats of every distinct pair of dev."""
    order = best_counted(corpus, context_length).order
    pairs = _Pairs(-nats_P, -_counted_pairs(corpus, context_length, order))
    times_P = corpus.counts("dev", context_length).counts
    weight = pairs.fitted(times_P)
    dev_nats = pairs.nats(weight, times_P)
    cost = None
    if len(corpus.dev_items) > 1:
        first, second = _halves(corpus, context_length)
        crossed = pairs.total(pairs.fitted(second), first) + pairs.total(pairs.fitted(first), second)
        cost = max(0.0, crossed / float(times_P.sum()) - dev_nats)  # below 0 only by rounding: see the docs
    return Mixed(order, weight, dev_nats, pairs.nats(EVEN, times_P), cost)


def mixture_of(model: Predictor, corpus: Corpus, mixed: Mixed) -> Mixture:
    """The mixture itself, for contexts of the network's length."""
    return Mixture(model, counted_model(corpus, mixed.order), mixed.weight)


def mixed_item_nats(nats_P: Tensor, corpus: Corpus, context_length: int, mixed: Mixed) -> ItemNats:
    """The mixture's losses of the dev items.

    Args:
        nats_P: the network's own nats of every distinct pair of dev.
    """
    mixed_P = mixed_log(-nats_P, -_counted_pairs(corpus, context_length, mixed.order), mixed.weight)
    return items_of_pairs(-mixed_P, corpus, "dev", context_length)


@dataclass(frozen=True)
class _Pairs:
    """(P,) log probabilities of the targets under both parts."""

    network: Tensor
    counted: Tensor

    def total(self, weight: float, times_P: Tensor) -> float:
        """Nats of all examples, if each pair occurs `times_P` times."""
        return -float(torch.dot(mixed_log(self.network, self.counted, weight), times_P))

    def nats(self, weight: float, times_P: Tensor) -> Nats:
        return self.total(weight, times_P) / float(times_P.sum())

    def fitted(self, times_P: Tensor) -> float:
        """The weight with the lowest loss. The loss is convex, so its slope has one zero, found by bisection."""
        gain_P = torch.expm1(self.network - self.counted)

        def falls(weight: float) -> bool:
            return bool((times_P * gain_P / (1 + weight * gain_P)).sum() > 0)

        if not falls(0.0):
            return 0.0
        if falls(1.0):
            return 1.0
        low, high = 0.0, 1.0
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if falls(middle) else (low, middle)
        return (low + high) / 2


def _counted_pairs(corpus: Corpus, context_length: int, order: int) -> Tensor:
    """(P,) the n-gram's nats of every distinct pair of dev, computed once per corpus."""

    def score() -> Tensor:
        return pair_nats(counted_model(corpus, order), corpus.counts("dev", context_length))

    return corpus.once(("counted pairs", context_length, order), score)


def _halves(corpus: Corpus, context_length: int) -> tuple[Tensor, Tensor]:
    """(P,) how often each pair occurs in the first half of the dev items, and in the second."""

    def count() -> tuple[Tensor, Tensor]:
        counts, items = corpus.counts("dev", context_length), corpus.dev_items
        examples = sum(len(item) + 1 for item in items[: len(items) // 2])
        first = torch.bincount(counts.pair_of_example[:examples], minlength=len(counts.counts)).double()
        return first, counts.counts - first

    return corpus.once(("halves of dev", context_length), count)
