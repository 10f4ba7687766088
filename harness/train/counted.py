"""Baselines for a network: counted n-grams, which it should beat, and the floor, which it cannot go below."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from harness.corpus import Corpus, OpenSplit
from harness.model import CountedBigram
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


LOOKAHEAD = 2
"""Symbols by which the advice lengthens a context, and by which counted n-grams may therefore look further."""
GAIN = 0.005
"""Nats. Counted n-grams that gain less by a longer context gain nothing: their loss on dev varies by as much."""


@dataclass(frozen=True)
class Limit:
    """What counting shows about the lowest loss that can be reached on a corpus."""

    order: int
    """The shortest n-gram that no longer one beats on dev by more than GAIN."""
    longer_gain: Nats
    """How much the best n-gram with LOOKAHEAD more symbols of context is better on dev than the best without them."""
    floor: Nats
    """An estimate of the entropy of a symbol given the context of that n-gram, from train."""
    floor_error: Nats
    """The estimate's correction for the number of contexts: the floor is about as uncertain."""


def limit_of(corpus: Corpus, context_length: int) -> Limit:
    """The limit for networks of this context length.

    The floor is the conditional entropy of the train targets, plus (pairs - contexts) / 2N, since entropy estimated by
    counting is too low by about that (Miller 1955).
    """
    longer = kneser_ney(corpus, context_length + LOOKAHEAD)
    lowest = min(each.dev_nats for each in longer)
    shortest = next(each for each in longer if each.dev_nats <= lowest + GAIN)
    counts = corpus.counts("train", max(1, shortest.order - 1))
    correction = (len(counts.counts) - len(counts.contexts)) / (2 * counts.total)
    return Limit(
        order=shortest.order,
        longer_gain=_lowest(longer[: context_length + 1]).dev_nats - lowest,
        floor=counts.conditional_entropy() + correction,
        floor_error=correction,
    )


def kneser_ney(corpus: Corpus, context_length: int) -> tuple[Counted, ...]:
    """Every order from 1 to the context length plus one."""
    # The longest n-gram covers the longest item and both of its boundaries. Higher orders score the same.
    longest = max(map(len, corpus.train_items)) + 2
    found = (_scored(corpus, min(order, longest)) for order in range(1, context_length + 2))
    return tuple(replace(each, name=_name_of(order), order=order) for order, each in enumerate(found, start=1))


def counted_item_nats(corpus: Corpus, order: int) -> ItemNats:
    """Losses of the dev items under the Kneser-Ney model of one order."""
    length = max(1, order - 1)
    model = KneserNey.of(corpus.counts("train", length), corpus.vocabulary_size, order)
    return item_nats(model, corpus, "dev", length)


def _scored(corpus: Corpus, order: int) -> Counted:
    """One order, counted once per corpus: its losses are the same at every context length that is long enough."""

    def count() -> Counted:
        train, dev = (corpus.counts(split, max(1, order - 1)) for split in SPLITS)
        model = KneserNey.of(train, corpus.vocabulary_size, order)
        return Counted(_name_of(order), order, split_nats(model, train), split_nats(model, dev))

    return corpus.once(("kneser-ney", order), count)


def _name_of(order: int) -> str:
    return f"{order}-gram, Kneser-Ney"


def _lowest(counted: Iterable[Counted]) -> Counted:
    """The lowest dev loss; the lower order if two are equal."""
    return min(counted, key=lambda each: (each.dev_nats, each.order))
