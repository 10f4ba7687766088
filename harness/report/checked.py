"""A study's stored weights scored again before its report is written: no report shows the losses of another model."""

from __future__ import annotations

from harness.errors import StudyError
from harness.model import Build, CharMLP
from harness.report.results import Results
from harness.store.checks import Kept, checked_items, stored_weights, weights_of
from harness.store.storage import Storage


def check_weights(storage: Storage, results: Results) -> str:
    """Score all weights that the report is about; returns a sentence about them.

    Raises:
        ModelChanged: some no longer have the loss that was recorded for them. The message names the trial.
        StorageError: a stored file is missing or damaged.
    """
    try:
        kept = [*_own(results, results.builder()), *_recipe(results)]
    except StudyError:
        return "No loss was recomputed, because the build of the study's own model is gone."
    if results.corpus is None:
        return f"No loss was recomputed, because {results.study.corpus.label} is gone or has changed."
    for each in kept:
        checked_items(storage, each, results.corpus)
    return f"{len(kept)} stored sets of weights were scored on dev again and have the losses that were recorded."


def _own(results: Results, build: Build) -> list[Kept]:
    """The weights of trials and finalists."""
    found = stored_weights(results.trials, build)
    for finalist in () if results.study.ranking is None else results.study.ranking.finalists:
        if not finalist.is_recipe:
            found += weights_of(finalist, build)
    return found


def _recipe(results: Results) -> list[Kept]:
    reference = results.reference
    return [
        Kept(f"the recipe, seed {run.seed}", run.weights_artifact, run.dev_nats, CharMLP.build)
        for run in (() if reference is None else reference.seeds)
        if run.weights_artifact is not None and run.dev_nats is not None
    ]
