"""A corpus: its label, its splits, its vocabulary, and its tensors, which are built on demand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from harness.corpus.contexts import ContextCounts, Examples, count_contexts, examples_of, vocabulary_of
from harness.corpus.overlap import Overlap, overlap_of
from harness.corpus.sources import Source, read_source
from harness.corpus.split import SPLIT_SEED, train_and_dev_items

OpenSplit = Literal["train", "dev"]
"""The splits that training and search may use. The test split has no name here."""
Value = TypeVar("Value")


@dataclass(frozen=True)
class Corpus:
    """Items, their splits and their vocabulary. Tensors are built once per context length and kept.

    The vocabulary covers the whole corpus, so that the test split can be scored later. Until
    then, the set of its symbols is the only part of the test split that is used.
    """

    source: Source
    vocabulary: tuple[str, ...]
    train_items: list[str]
    dev_items: list[str]
    fingerprint: str
    """Twelve hexadecimal digits: a hash of the items, the variant, the split rule and the split seed."""
    _cache: dict[Hashable, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def label(self) -> str:
        """Name and variant as used in keys and captions: `names`, `names-dedup`, `names-published`."""
        return self.source.name + self.source.variant.suffix

    def known_as(self, fingerprint: str) -> bool:
        """Whether a stored fingerprint is of this corpus: today's, or that of a version up to 0.3.0, over bytes."""
        return fingerprint in self.fingerprints

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """Today's fingerprint, then those that versions up to 0.3.0 may have stored for the same items."""
        earlier = (_fingerprint(digest, self.source) for digest in self.source.earlier_digests)
        return tuple(dict.fromkeys((self.fingerprint, *earlier)))

    @property
    def vocabulary_size(self) -> int:
        return len(self.vocabulary)

    def items(self, split: OpenSplit) -> list[str]:
        """The items of a split, in shuffled order."""
        return {"train": self.train_items, "dev": self.dev_items}[split]

    def once(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value that `make` returns. It is called once per key; the corpus keeps the value."""
        if key not in self._cache:
            self._cache[key] = make()
        value: Value = self._cache[key]
        return value

    @property
    def overlap(self) -> Overlap:
        """Dev items that are in train too, or differ from a train item only in their writing."""
        return self.once("overlap", lambda: overlap_of(self.dev_items, self.train_items))

    def examples(self, split: OpenSplit, context_length: int) -> Examples:
        """Every (context, target) pair of a split, in the order of the items."""

        def make() -> Examples:
            return examples_of(self.items(split), self.vocabulary, context_length)

        return self.once(("examples", split, context_length), make)

    def counts(self, split: OpenSplit, context_length: int) -> ContextCounts:
        """A split's distinct contexts with the counts of their targets."""

        def make() -> ContextCounts:
            # Training and scoring use only the counts. The examples are several times as large, so they are not kept.
            examples = examples_of(self.items(split), self.vocabulary, context_length)
            return count_contexts(examples, self.vocabulary_size)

        return self.once(("counts", split, context_length), make)

    def number_of_examples(self, split: OpenSplit) -> int:
        """One per symbol plus one per item end, at every context length."""
        return sum(len(item) + 1 for item in self.items(split))


def load(corpus: str, *, patience: float = 30.0) -> Corpus:
    """Load a corpus by name (`names`, `names-dedup`, `names-published`, `ssa-2017`, …) or by path, and split it.

    Args:
        corpus: a known name or the path of a UTF-8 text file with one item per line.
        patience: seconds that a download may take in total.

    Raises:
        CorpusError: see `harness.corpus.sources.read_source`.
    """
    source = read_source(corpus, patience=patience)
    train_items, dev_items = train_and_dev_items(source.items, source.variant.rule)
    return Corpus(
        source=source,
        vocabulary=vocabulary_of(source.items),
        train_items=train_items,
        dev_items=dev_items,
        fingerprint=_fingerprint(source.digest, source),
    )


def _fingerprint(digest: str, source: Source) -> str:
    stamp = "\n".join([digest, source.variant.name, source.variant.rule.text, str(SPLIT_SEED)])
    return hashlib.sha256(stamp.encode("utf-8")).hexdigest()[:12]
