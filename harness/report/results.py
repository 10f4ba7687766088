"""A study's stored records, gathered once for everything that shows them."""

from __future__ import annotations

from dataclasses import dataclass

import optuna

from harness.model import Model
from harness.search.holdout import Opening, recorded
from harness.search.records import StudyRecord, TrialRecord, best_trial
from harness.search.reference import stored_reference
from harness.search.storage import Storage
from harness.search.study import build_of
from harness.search.weights import restore, unpack
from harness.train import sample, stream

SAMPLES = 20
LECTURE_DEV = 2.17
"""The dev loss (nats per character) that the lecture ends at, on its own split of names."""


@dataclass(frozen=True)
class Results:
    """Everything a report is made of: records and stored weights, nothing measured anew."""

    study: StudyRecord
    trials: list[TrialRecord]
    reference: TrialRecord | None
    best: TrialRecord | None
    best_weights: bytes | None
    opening: Opening | None
    optuna_study: optuna.Study

    @property
    def label(self) -> str:
        """What stands under every figure: which corpus, which fingerprint, how many examples."""
        corpus = self.study.corpus
        return f"{corpus.label} · fingerprint {corpus.fingerprint} · {split_sizes(self.study)} · nats per symbol"

    def best_model(self) -> Model | None:
        """The best trial's stored model; None while no trial is complete."""
        if self.best_weights is None:
            return None
        return restore(self.best_weights, build_of(self.study.file, self.study.own_model))[0]

    def vocabulary(self) -> list[str]:
        if self.best_weights is None:
            return []
        vocabulary: list[str] = unpack(self.best_weights)[1]["vocabulary"]
        return vocabulary


def split_sizes(study: StudyRecord) -> str:
    examples = study.corpus.examples
    return f"train n={examples['train']:,}, dev n={examples['dev']:,}"


def gather(storage: Storage, study: StudyRecord) -> Results:
    """Read a study's results from the storage and its artifacts."""
    trials = storage.trials(study.key)
    best = best_trial(trials)
    return Results(
        study=study,
        trials=trials,
        reference=stored_reference(storage, study.reference),
        best=best,
        best_weights=storage.kept_file(best.weights) if best is not None and best.weights else None,
        opening=recorded(storage, study.key),
        optuna_study=storage.optuna_study(study.key),
    )


def samples_of(results: Results, count: int = SAMPLES, seed: int = 0) -> list[str]:
    """New items from the best trial's model; the same ones for the same weights and seed."""
    model = results.best_model()
    if model is None or results.best is None or results.best.config is None:
        return []
    length = results.best.config.model.context_length
    return sample(model, results.vocabulary(), length, count=count, generator=stream(seed, "sample"))
