"""A corpus as the rest of the house sees it: labelled, split, and turned into tensors on demand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from harness.corpus.contexts import ContextCounts, Examples, count_contexts, examples_of, vocabulary_of
from harness.corpus.sources import Source, read_source
from harness.corpus.split import SPLIT_SEED, train_and_dev_items

OpenSplit = Literal["train", "dev"]
"""The splits that may be looked at. There is no name here for the third one."""
Made = TypeVar("Made")


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
    _cache: dict[Hashable, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def label(self) -> str:
        """Name with variant, as keys and captions have it: `names`, `names-dedup`, `names-published`."""
        return self.source.name + self.source.variant.suffix

    @property
    def vocabulary_size(self) -> int:
        return len(self.vocabulary)

    def items(self, split: OpenSplit) -> list[str]:
        return {"train": self.train_items, "dev": self.dev_items}[split]

    def once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """What `make` returns, made at the first call with this key and kept with the corpus."""
        if key not in self._cache:
            self._cache[key] = make()
        made: Made = self._cache[key]
        return made

    def examples(self, split: OpenSplit, context_length: int) -> Examples:
        def make() -> Examples:
            return examples_of(self.items(split), self.vocabulary, context_length)

        return self.once(("examples", split, context_length), make)

    def counts(self, split: OpenSplit, context_length: int) -> ContextCounts:
        def make() -> ContextCounts:
            # Training and scoring need the counts alone, so the examples, several times as large, are not kept.
            examples = examples_of(self.items(split), self.vocabulary, context_length)
            return count_contexts(examples, self.vocabulary_size)

        return self.once(("counts", split, context_length), make)

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
