"""A study's stored weights scored again before its report is written: no report shows the losses of another model."""

from __future__ import annotations

from dataclasses import replace

from harness.errors import StudyError
from harness.model import Build, CharMLP
from harness.report.results import Results
from harness.store.checks import Kept, checked_items, seed_weights, stored_weights, weights_of
from harness.store.storage import Storage


def check_weights(storage: Storage, results: Results) -> tuple[Results, str]:
    """Score all weights that the report is about; returns the results with that noted, and a sentence about it.

    Raises:
        ModelChanged: some no longer have the loss that was recorded for them. The message names the trial.
        StorageError: a stored file is missing or damaged.
    """
    try:
        kept = [*_own(results, results.builder()), *_recipe(results)]
    except StudyError:
        return results, "No loss was recomputed, because the build of the study's own model is gone."
    if results.corpus is None:
        return results, f"No loss was recomputed, because {results.study.corpus.label} is gone or has changed."
    for each in kept:
        checked_items(storage, each, results.corpus)
    checked = results.checked.union(each.artifact for each in kept)
    sentence = f"{len(kept)} stored sets of weights were scored on dev again and have the losses that were recorded."
    return replace(results, checked=checked), sentence


def _own(results: Results, build: Build) -> list[Kept]:
    """The weights of trials and finalists."""
    ranking = results.study.ranking
    finalists = () if ranking is None else (finalist for finalist in ranking.finalists if not finalist.is_recipe)
    return [
        *stored_weights(results.trials, build),
        *(kept for finalist in finalists for kept in weights_of(finalist, build)),
    ]


def _recipe(results: Results) -> list[Kept]:
    reference = results.reference
    return [] if reference is None else seed_weights("the recipe", reference.seeds, CharMLP.build)
