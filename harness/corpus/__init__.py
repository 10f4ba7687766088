"""From text to tensors: sources, splits, contexts. Independent of models and studies."""

from harness.corpus.contexts import ContextCounts, Examples
from harness.corpus.corpus import Corpus, OpenSplit, load
from harness.corpus.overlap import Overlap
from harness.corpus.sources import KNOWN, VARIANTS, at_hand, label_of

__all__ = [
    "KNOWN", "VARIANTS", "ContextCounts", "Corpus", "Examples", "OpenSplit", "Overlap", "at_hand", "label_of", "load",
]  # fmt: skip
