"""What a network has to beat and cannot beat: counted n-grams, and the floor of a context length."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from harness.corpus import Corpus, OpenSplit
from harness.model import CountedBigram
from harness.model.kneser_ney import KneserNey
from harness.train.evaluate import Nats, split_nats

SPLITS: tuple[OpenSplit, ...] = ("train", "dev")


@dataclass(frozen=True)
class Counted:
    """A model of counts, scored exactly on both splits."""

    name: str
    order: int
    """Symbols it looks at, the one it predicts included."""
    train_nats: Nats
    dev_nats: Nats


@dataclass(frozen=True)
class Baselines:
    """Everything there is to know about a corpus at one context length without training a network."""

    context_length: int
    floor: Nats
    """Conditional entropy of the train targets given their contexts: no model of this length trains below it."""
    bigram: Counted
    """Add-one counts."""
    kneser_ney: tuple[Counted, ...]
    """Every order from 1 to the context length and one more."""

    @property
    def best(self) -> Counted:
        """The Kneser-Ney order with the lowest dev loss; of equals the lower order."""
        return _lowest(self.kneser_ney)


def baselines(corpus: Corpus, context_length: int) -> Baselines:
    """Count a train split and score the counts: one and a half seconds at length 8 on `names`, once per corpus."""
    train, dev = corpus.counts("train", context_length), corpus.counts("dev", context_length)
    bigram = CountedBigram.of(train, corpus.vocabulary_size)
    return Baselines(
        context_length=context_length,
        floor=train.conditional_entropy(),
        bigram=Counted("bigram, add one", 2, split_nats(bigram, train), split_nats(bigram, dev)),
        kneser_ney=kneser_ney(corpus, context_length),
    )


def best_counted(corpus: Corpus, context_length: int) -> Counted:
    """The Kneser-Ney order with the lowest dev loss among those that look no further back than a context length."""
    return _lowest(kneser_ney(corpus, context_length))


def kneser_ney(corpus: Corpus, context_length: int) -> tuple[Counted, ...]:
    """Every order from 1 to the context length and one more."""
    # One beyond the longest item and the boundary before it there is nothing further back to look at.
    longest = max(map(len, corpus.train_items)) + 2
    found = (_scored(corpus, min(order, longest)) for order in range(1, context_length + 2))
    return tuple(replace(each, name=_named(order), order=order) for order, each in enumerate(found, start=1))


def _scored(corpus: Corpus, order: int) -> Counted:
    """One order, counted once per corpus: its losses are the same at every context length that it fits in."""

    def count() -> Counted:
        train, dev = (corpus.counts(split, max(1, order - 1)) for split in SPLITS)
        model = KneserNey.of(train, corpus.vocabulary_size, order)
        return Counted(_named(order), order, split_nats(model, train), split_nats(model, dev))

    return corpus.once(("kneser-ney", order), count)


def _named(order: int) -> str:
    return f"{order}-gram, Kneser-Ney"


def _lowest(counted: Iterable[Counted]) -> Counted:
    """By dev loss; of equals the lower order."""
    return min(counted, key=lambda each: (each.dev_nats, each.order))
