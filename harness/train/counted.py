"""What a network has to beat and cannot beat: counted n-grams, and the floor of a context length."""

from __future__ import annotations

from dataclasses import dataclass

from harness.corpus import Corpus
from harness.model import CountedBigram
from harness.model.kneser_ney import KneserNey
from harness.train.evaluate import Nats, split_nats


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
        return min(self.kneser_ney, key=lambda counted: (counted.dev_nats, counted.order))


def baselines(data: Corpus, context_length: int) -> Baselines:
    """Count a train split and score the counts: two seconds at length 8 on `names`, some twenty at 64."""
    train, dev = data.counts("train", context_length), data.counts("dev", context_length)
    V = data.vocabulary_size

    def scored(name: str, order: int, model: CountedBigram | KneserNey) -> Counted:
        return Counted(name, order, split_nats(model, train), split_nats(model, dev))

    return Baselines(
        context_length=context_length,
        floor=train.conditional_entropy(),
        bigram=scored("bigram, add one", 2, CountedBigram.of(train, V)),
        kneser_ney=tuple(
            scored(f"{order}-gram, Kneser-Ney", order, KneserNey.of(train, V, order))
            for order in range(1, context_length + 2)
        ),
    )
