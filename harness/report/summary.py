"""`summary.json`: a study in one document, for other programs."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from harness.report.results import Results


def summary(results: Results) -> dict[str, Any]:
    """Stable keys, finite numbers only; losses in nats per symbol."""
    study, best, reference = results.study, results.best, results.reference
    counted = Counter(record.status for record in results.trials)
    return {
        "study": study.key,
        "corpus": {
            "name": study.corpus.label,
            "variant": study.corpus.variant,
            "fingerprint": study.corpus.fingerprint,
            "items": study.corpus.items,
            "examples": study.corpus.examples,
        },
        "trials": {
            "asked": study.trials,
            "complete": counted["complete"],
            "pruned": counted["pruned"],
            "diverged": counted["diverged"],
            "failed": counted["failed"],
            "interrupted": counted["interrupted"],
            "ended_by": study.ended_by,
        },
        "best": None
        if best is None or best.config is None
        else {
            "trial": best.number,
            "train_nats": best.train_nats,
            "dev_nats": best.dev_nats,
            "gap_error": best.gap_error,
            "parameters": best.parameters,
            "seconds": best.seconds,
            "verdict": best.verdict,
            "config": best.config.model_dump(mode="json"),
        },
        "reference": None
        if reference is None
        else {
            "train_nats": reference.train_nats,
            "dev_nats": reference.dev_nats,
            "seconds": reference.seconds,
            "seeds": [run.model_dump(mode="json", exclude={"weights"}) for run in reference.seeds],
        },
        "ngrams": None if study.ngrams is None else study.ngrams.model_dump(mode="json"),
        "dev_parts": None if study.dev_parts is None else study.dev_parts.model_dump(mode="json"),
        "finalists": [],
        "winner": None if best is None else {"trial": best.number, "chosen_by": "lowest dev of the search, one seed"},
        "holdout": None if results.opening is None else results.opening.model_dump(mode="json"),
        "seed": study.seed,
        "sampler": study.sampler,
        "pruner": study.pruner,
        "commit": study.commit,
        "versions": best.versions if best is not None else {},
    }


def to_json(results: Results) -> str:
    return json.dumps(summary(results), indent=2, allow_nan=False, ensure_ascii=False) + "\n"
