"""`summary.json`: a study as one document for other programs."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from statistics import fmean
from typing import Any

from harness.report.results import Results
from harness.store.finalist_record import Finalist
from harness.store.opening import Opening
from harness.words import plural

UNIT = "nats per symbol, exact means over whole splits"
"""The unit of every loss in the document."""


def summary(results: Results) -> dict[str, Any]:
    """The document. Its keys are stable and its numbers finite; losses are in nats per symbol."""
    study, best, reference = results.study, results.best, results.reference
    counted = Counter(record.status for record in results.trials)
    return {
        "study": study.key,
        "unit": UNIT,
        "objective": study.objective,
        "corpus": {
            "name": study.corpus.label,
            "variant": study.corpus.variant,
            "fingerprint": study.corpus.fingerprint,
            "items": study.corpus.items,
            "examples": study.corpus.examples,
            "overlap": None if study.overlap is None else asdict(study.overlap),
        },
        "trials": {
            "asked": study.trials,
            "complete": counted["complete"],
            "pruned": counted["pruned"],
            "diverged": counted["diverged"],
            "failed": counted["failed"],
            "interrupted": counted["interrupted"],
            "ended_by": study.ended_by,
            "exhausted": study.exhausted or None,
        },
        "best": None
        if best is None or best.config is None
        else {
            "trial": best.number,
            "train_nats": best.train_nats,
            "dev_nats": best.dev_nats,
            "mixed": None if best.mixed is None else asdict(best.mixed),
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
            "mixed_nats": reference.mixed_nats,
            "seconds": reference.seconds,
            "seeds": [run.model_dump(mode="json", exclude={"weights_artifact"}) for run in reference.seeds],
        },
        "distances": None if study.distances is None else study.distances.model_dump(exclude={"items_artifact"}),
        "ranking": _ranking(results),
        "ngrams": None if study.ngrams is None else study.ngrams.model_dump(mode="json"),
        "dev_parts": None if study.dev_parts is None else study.dev_parts.model_dump(mode="json"),
        "finalists": [] if study.ranking is None else [_finalist(each) for each in study.ranking.finalists],
        "winner": _winner(results),
        "holdout": None if results.opening is None else _holdout(results.opening),
        "segments": [part.model_dump(mode="json", exclude={"sources"}) for part in study.segments],
        "seed": study.seed,
        "sampler": study.sampler,
        "pruner": study.pruner,
        "commit": study.commit,
        "versions": best.versions if best is not None else {},
    }


def _finalist(finalist: Finalist) -> dict[str, Any]:
    facts = finalist.model_dump(mode="json", exclude={"runs"})
    facts |= {"optimism": finalist.optimism, "mixed_optimism": finalist.mixed_optimism}
    return facts | {"seeds": [run.model_dump(mode="json", exclude={"weights_artifact"}) for run in finalist.runs]}


def _ranking(results: Results) -> dict[str, Any] | None:
    """What belongs to the ranking as a whole, in nats per symbol; null where it was not recorded."""
    ranking = results.study.ranking
    if ranking is None:
        return None
    names = {"objective", "seeds", "tie_margin", "resolution", "selection_bias", "bias_repetitions"}
    return ranking.model_dump(mode="json", include=names) | {"dev_items": results.study.corpus.items["dev"]}


def _winner(results: Results) -> dict[str, Any] | None:
    """The winner and how it was chosen; before the finalists' round, the best trial of the search."""
    study, best = results.study, results.best
    ranking = study.ranking
    if ranking is None:
        if best is None:
            return None
        by = f"lowest {study.objective} of the search, one seed"
        mixed = None if best.mixed is None else asdict(best.mixed)
        return {"trial": best.number, "dev_nats": best.dev_nats, "mixed": mixed, "chosen_by": by}
    won = ranking.won
    if won is None:
        return None
    mean = "mean mixed dev" if ranking.objective == "mixed" else "mean dev"
    by = f"{mean} of {plural(len(won.runs), 'fresh seed')}; of those tied with the lowest, the fewest parameters"
    corrected = {"corrected_nats": ranking.corrected_nats}
    return {"trial": won.trial, "name": won.name, "dev_nats": won.dev_nats, "train_nats": won.train_nats} | {
        "low": won.low, "high": won.high, "parameters": won.parameters, "chosen_by": by,
        "mixed": _mixed(won),
    } | corrected  # fmt: skip


def _mixed(won: Finalist) -> dict[str, Any] | None:
    """The winner's mixture with the counted n-gram: means over its fresh seeds, and the network's weight of each."""
    found = [run.mixed for run in won.runs if run.mixed is not None]
    if not found:
        return None
    costs = [mixed.fitting_cost for mixed in found if mixed.fitting_cost is not None]
    return {
        "order": won.mixed_order,
        "dev_nats": won.mixed_nats,
        "low": won.mixed_low,
        "high": won.mixed_high,
        "weights": [mixed.weight for mixed in found],
        "even_nats": fmean(mixed.even_nats for mixed in found),
        "fitting_cost": fmean(costs) if costs else None,
    }


def _holdout(opening: Opening) -> dict[str, Any]:
    """The opening. Its keys for artifacts are those of the first version of this document."""
    claim = opening.claim.model_dump(mode="json")
    for contender in claim["contenders"]:
        for weights in contender["weights"]:
            weights["artifact"] = weights.pop("weights_artifact")
    scores = None if opening.scores is None else opening.scores.model_dump(mode="json")
    if scores is not None:
        scores["items"] = scores.pop("items_artifact")
    items = opening.items
    return {
        "state": opening.state,
        "claimed": opening.claimed,
        "scored": opening.scored,
        "attempts": opening.attempts,
        "head": opening.head,
        "items": None if items is None else items.model_dump(mode="json", include={"distinct", "earlier"}),
        "claim": claim,
        "scores": scores,
    }


def to_json(results: Results, trace: dict[str, Any] | None = None) -> str:
    """The document as text.

    Args:
        trace: an earlier document's holdout, to be kept if the ledger has no entry of it.
    """
    document = summary(results)
    document["holdout"] = document["holdout"] or trace
    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
