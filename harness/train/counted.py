"""Baselines for a network: counted n-grams, which it should beat, and the floor, which it cannot go below."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from harness.corpus import Corpus, OpenSplit
from harness.model import CountedBigram, Predictor
from harness.model.kneser_ney import KneserNey
from harness.train.evaluate import Nats, split_nats
from harness.train.items import ItemNats, item_nats

SPLITS: tuple[OpenSplit, ...] = ("train", "dev")


@dataclass(frozen=True)
class Counted:
    """A counted n-gram, scored exactly on train and dev."""

    name: str
    order: int
    """Length of the n-gram: the symbols it looks at, including the one it predicts."""
    train_nats: Nats
    dev_nats: Nats


@dataclass(frozen=True)
class Baselines:
    """What can be known about a corpus at one context length without training a network."""

    context_length: int
    floor: Nats
    """Conditional entropy of the train targets given their contexts. No model with this context length can have a
    lower train loss."""
    bigram: Counted
    """Add-one counts."""
    kneser_ney: tuple[Counted, ...]
    """Every order from 1 to the context length plus one."""

    @property
    def best(self) -> Counted:
        """The Kneser-Ney order with the lowest dev loss; the lower order if two are equal."""
        return _lowest(self.kneser_ney)


def baselines(corpus: Corpus, context_length: int) -> Baselines:
    """Count the train split and score the counts on train and dev.

    Takes 1.5 seconds at context length 8 on `names`. Each order is counted only once per corpus.
    """
    train, dev = corpus.counts("train", context_length), corpus.counts("dev", context_length)
    bigram = CountedBigram.of(train, corpus.vocabulary_size)
    return Baselines(
        context_length=context_length,
        floor=train.conditional_entropy(),
        bigram=Counted("bigram, add one", 2, split_nats(bigram, train), split_nats(bigram, dev)),
        kneser_ney=kneser_ney(corpus, context_length),
    )


def best_counted(corpus: Corpus, context_length: int) -> Counted:
    """The Kneser-Ney order with the lowest dev loss among those whose context fits in `context_length` symbols."""
    return _lowest(kneser_ney(corpus, context_length))


def kneser_ney(corpus: Corpus, context_length: int) -> tuple[Counted, ...]:
    """Every order from 1 to the context length plus one."""
    # The longest n-gram covers the longest item and both of its boundaries. Higher orders score the same.
    longest = max(map(len, corpus.train_items)) + 2
    found = (_scored(corpus, min(order, longest)).counted for order in range(1, context_length + 2))
    return tuple(replace(each, name=_name_of(order), order=order) for order, each in enumerate(found, start=1))


def ends_by_context(corpus: Corpus, order: int) -> Nats:
    """The part of a Kneser-Ney order's dev loss that is for whether an item ends; the rest is for which symbol follows.

    Both parts are in nats per predicted symbol, so they add up to the loss.
    """
    longest = max(map(len, corpus.train_items)) + 2
    return _scored(corpus, min(order, longest)).ends_nats


def counted_item_nats(corpus: Corpus, order: int) -> ItemNats:
    """Losses of the dev items under the Kneser-Ney model of one order."""
    return item_nats(counted_model(corpus, order), corpus, "dev", max(1, order - 1))


def counted_model(corpus: Corpus, order: int) -> KneserNey:
    """The Kneser-Ney model of one order, counted once per corpus."""

    return corpus.once(("counted model", order), lambda: _count(corpus, order))


def _count(corpus: Corpus, order: int) -> KneserNey:
    return KneserNey.of(corpus.counts("train", max(1, order - 1)), corpus.vocabulary_size, order)


@dataclass(frozen=True)
class _Scored:
    counted: Counted
    ends_nats: Nats
    """The part of its dev loss that is for whether an item ends."""


class _Ends:
    """A counted model's answer to whether an item ends: every symbol that is not the boundary means no."""

    def __init__(self, model: Predictor) -> None:
        self._model = model

    def log_probabilities(self, contexts: Tensor) -> Tensor:
        log_p = self._model.log_probabilities(contexts)
        no = torch.log1p(-log_p[:, :1].exp()).expand(-1, log_p.shape[1] - 1)
        return torch.cat([log_p[:, :1], no], dim=1)

    def tensors(self) -> dict[str, Tensor]:
        return self._model.tensors()


def _scored(corpus: Corpus, order: int) -> _Scored:
    """One order, counted once per corpus: its losses are the same at every context length that is long enough."""

    def count() -> _Scored:
        train, dev = (corpus.counts(split, max(1, order - 1)) for split in SPLITS)
        model = _count(corpus, order)  # not kept: of all orders, one or two are needed again
        counted = Counted(_name_of(order), order, split_nats(model, train), split_nats(model, dev))
        return _Scored(counted, split_nats(_Ends(model), dev))

    return corpus.once(("kneser-ney", order), count)


def _name_of(order: int) -> str:
    return f"{order}-gram, Kneser-Ney"


def _lowest(counted: Iterable[Counted]) -> Counted:
    """The lowest dev loss; the lower order if two are equal."""
    return min(counted, key=lambda each: (each.dev_nats, each.order))
