"""A corpus as the rest of the house sees it: labelled, split, and turned into tensors on demand."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.corpus.contexts import ContextCounts, Examples, count_contexts, examples_of, vocabulary_of
from harness.corpus.sources import Source, read_source
from harness.corpus.split import SPLIT_SEED, train_and_dev_items

OpenSplit = Literal["train", "dev"]
"""The splits that may be looked at. There is no name here for the third one."""


@dataclass(frozen=True)
class Corpus:
    """Items, their splits and their vocabulary; counts are built once per context length.

    The vocabulary covers the whole corpus, so that the test split can be scored one
    day; which symbols exist is all that is known of it before.
    """

    source: Source
    vocabulary: tuple[str, ...]
    train_items: list[str]
    dev_items: list[str]
    fingerprint: str
    """Twelve hexadecimal digits over corpus bytes, variant, split rule and split seed."""
    _cache: dict[tuple[str, str, int], Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def label(self) -> str:
        """Name with variant, as keys and captions have it: `names`, `names-dedup`, `names-published`."""
        return self.source.name + self.source.variant.suffix

    @property
    def vocabulary_size(self) -> int:
        return len(self.vocabulary)

    def items(self, split: OpenSplit) -> list[str]:
        return {"train": self.train_items, "dev": self.dev_items}[split]

    def examples(self, split: OpenSplit, context_length: int) -> Examples:
        key = ("examples", split, context_length)
        if key not in self._cache:
            self._cache[key] = examples_of(self.items(split), self.vocabulary, context_length)
        examples: Examples = self._cache[key]
        return examples

    def counts(self, split: OpenSplit, context_length: int) -> ContextCounts:
        key = ("counts", split, context_length)
        if key not in self._cache:
            # Training and scoring need the counts alone, so the examples, several times as large, are not kept.
            examples = examples_of(self.items(split), self.vocabulary, context_length)
            self._cache[key] = count_contexts(examples, self.vocabulary_size)
        counts: ContextCounts = self._cache[key]
        return counts

    def number_of_examples(self, split: OpenSplit) -> int:
        """One per symbol and one per end of item, whatever the context length."""
        return sum(len(item) + 1 for item in self.items(split))


def load(corpus: str, *, patience: float = 30.0) -> Corpus:
    """A corpus by name (`names`, `names-dedup`, `names-published`, `ssa-2017`, …) or by path, ready to train on.

    Raises:
        CorpusError: see `harness.corpus.sources.read_source`.
    """
    source = read_source(corpus, patience=patience)
    variant = source.variant
    train_items, dev_items = train_and_dev_items(source.items, variant.rule)
    stamp = "\n".join([source.digest, variant.name, variant.rule.text, str(SPLIT_SEED)])
    return Corpus(
        source=source,
        vocabulary=vocabulary_of(source.items),
        train_items=train_items,
        dev_items=dev_items,
        fingerprint=hashlib.sha256(stamp.encode()).hexdigest()[:12],
    )
