"""The header of every `--json` document: the unit of its losses, the corpus, its fingerprint and n."""

from __future__ import annotations

from typing import Any

from harness.corpus import Corpus
from harness.report.summary import UNIT
from harness.store.study_record import CorpusFacts


def json_header(corpus: Corpus | CorpusFacts, unit: str = UNIT) -> dict[str, Any]:
    """`examples` holds the number of examples, the n of a loss, by split."""
    facts = corpus if isinstance(corpus, CorpusFacts) else CorpusFacts.of(corpus, by_default=False)
    named = {"name": facts.label, "variant": facts.variant, "fingerprint": facts.fingerprint}
    return {"unit": unit, "corpus": named | {"items": facts.items, "examples": facts.examples}}
