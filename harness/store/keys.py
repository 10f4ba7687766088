"""Keys of the studies that no user starts: the lecture's recipe on a corpus, and a search's finalists."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # shell completion needs this module, but not torch
    from harness.corpus import Corpus

_FINALISTS = "finalists-"
_REFERENCES = "reference-"
REFERENCE_RUNS = 5


def finalists_key(key: str) -> str:
    """Key of a search's finalists' round."""
    return _FINALISTS + key


def is_internal(key: str) -> bool:
    """Whether a key belongs to a study that no user starts: a reference or a finalists' round."""
    return key.startswith((_REFERENCES, _FINALISTS))


def reference_key(corpus: Corpus, seeds: int = REFERENCE_RUNS) -> str:
    return reference_keys(corpus, seeds)[0]


def reference_keys(corpus: Corpus, seeds: int = REFERENCE_RUNS) -> list[str]:
    """Today's key of a reference, then the keys that versions up to 0.3.0 may have given it."""
    return [f"{_REFERENCES}{seeds}-seeds-{corpus.label}-{each[:8]}" for each in corpus.fingerprints]


def is_reference(key: str) -> bool:
    return key.startswith(_REFERENCES)


def searched_by(key: str) -> str:
    """Key of the search that a finalists' round belongs to."""
    return key.removeprefix(_FINALISTS)
