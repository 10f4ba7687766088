"""What every `--json` document says of the numbers in it: their unit, corpus, fingerprint and n."""

from __future__ import annotations

from typing import Any

from harness.corpus import Corpus
from harness.report.summary import UNIT
from harness.store.study_record import CorpusFacts


def about(corpus: Corpus | CorpusFacts, unit: str = UNIT) -> dict[str, Any]:
    """The head of a document; `examples` are the n of losses by split."""
    known = corpus if isinstance(corpus, CorpusFacts) else CorpusFacts.of(corpus, by_default=False)
    named = {"name": known.label, "variant": known.variant, "fingerprint": known.fingerprint}
    return {"unit": unit, "corpus": named | {"items": known.items, "examples": known.examples}}
