"""A study's stored records, read once for everything that shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray

from harness.corpus import Corpus
from harness.errors import CorpusError, StudyError
from harness.model import Build, KneserNey, Mixture, Model
from harness.store.checks import checked_weights
from harness.store.finalist_record import Finalist
from harness.store.find import stored_reference
from harness.store.opening import Opening, recorded_if_valid
from harness.store.seal import split_state
from harness.store.storage import Storage
from harness.store.study_record import Chosen, StudyRecord
from harness.store.traces import KnownOpening, known_openings, seen_before
from harness.store.trial_record import SeedRun, TrialRecord, best_trial
from harness.store.weights import draw, restore
from harness.study.load import build_of
from harness.train import counted_model
from harness.train.evaluate import pair_nats

SAMPLES = 20


@dataclass(frozen=True)
class Results:
    """Everything that a report is made from: records and stored weights. Nothing is trained again."""

    study: StudyRecord
    trials: list[TrialRecord]
    reference: TrialRecord | None
    best: TrialRecord | None
    """The best trial of the search, a single run."""
    chosen: Chosen | None
    """The trial that represents the study; samples, the embedding and `best/` are those of its model."""
    weights: bytes | None
    """The chosen model's weights, packed."""
    opening: Opening | None
    optuna_study: optuna.Study
    checked: frozenset[str] = frozenset()
    """Artifact ids of the stored weights that were scored on dev again and have the loss that was recorded."""
    known: tuple[KnownOpening, ...] = ()
    """Every opening at hand, of any study."""
    build: Build | None = None
    """Builds the study's models; None to take the build from the study's file."""

    @property
    def won(self) -> Finalist | None:
        """The finalist that won; None before the finalists' round, and if all finalists are out."""
        return None if self.study.ranking is None else self.study.ranking.won

    @property
    def dev_nats(self) -> float | None:
        """The winner's mean over fresh seeds; before the finalists' round, the best trial's single run."""
        if self.won is not None:
            return self.won.dev_nats
        return None if self.best is None else self.best.dev_nats

    @property
    def mixed_nats(self) -> float | None:
        """The same for the mixture with the counted n-gram; None if it was not recorded."""
        if self.won is not None:
            return self.won.mixed_nats
        return None if self.best is None else self.best.mixed_nats

    @property
    def mixed_order(self) -> int | None:
        """The order of that n-gram."""
        if self.won is not None:
            return self.won.mixed_order
        return None if self.best is None or self.best.mixed is None else self.best.mixed.order

    @property
    def objective_nats(self) -> float | None:
        """The one of the two that the study searches by."""
        return self.mixed_nats if self.study.objective == "mixed" else self.dev_nats

    @property
    def reference_nats(self) -> float | None:
        """The recipe's dev loss, or its mixed loss if the study searches by that."""
        if self.reference is None:
            return None
        return self.reference.mixed_nats if self.study.objective == "mixed" else self.reference.dev_nats

    def weights_of(self, runs: Sequence[TrialRecord | SeedRun]) -> str:
        """Whether the losses of these runs were computed again from their weights: `checked` or `not checked`."""
        return "checked" if all(run.weights_artifact in self.checked for run in runs) else "not checked"

    @property
    def test_split(self) -> str:
        """The state of the test split in a few words."""
        return split_state(self.opening, self.known, self.study)

    @cached_property
    def seen_before(self) -> list[str]:
        """Openings of other studies that tell something about this one's splits, one line each."""
        items = () if self.corpus is None else (*self.corpus.train_items, *self.corpus.dev_items)
        study = self.study
        return seen_before(self.known, study.key, study.created, study.corpus.fingerprint, items)

    @property
    def label(self) -> str:
        """The small print under every figure: corpus, fingerprint, numbers of examples, unit."""
        return f"{self.study.corpus.short} · {split_sizes(self.study)} · nats per symbol"

    @cached_property
    def corpus(self) -> Corpus | None:
        """The study's corpus; None if it is not available any more, or has changed."""
        try:
            return self.study.corpus.load()
        except (CorpusError, StudyError):
            return None

    @cached_property
    def model(self) -> tuple[Model, dict[str, Any]] | None:
        """The chosen model and its facts.

        None if no weights are stored, or if the study's own model cannot be built any more: its file is gone, or
        the build in it has changed.

        Raises:
            StorageError: the stored weights are corrupt.
        """
        if self.weights is None:
            return None
        try:
            return restore(self.weights, self.builder())
        except StudyError:  # also ModelChanged
            return None

    def builder(self) -> Build:
        """What makes the study's models.

        Raises:
            StudyError: it is the study's own, and cannot be loaded any more.
        """
        return self.build or build_of(self.study.file, self.study.own_model)

    @cached_property
    def dev_examples(self) -> NDArray[np.float64] | None:
        """(N,) nats of every dev example for the chosen model, in the order of items; None without model or corpus."""
        if self.corpus is None or self.model is None:
            return None
        model, facts = self.model
        counts = self.corpus.counts("dev", facts["config"]["model"]["context_length"])
        nats: NDArray[np.float64] = pair_nats(model, counts)[counts.pair_of_example].numpy()
        return nats

    @cached_property
    def counted(self) -> KneserNey | None:
        """The counted n-gram that the chosen model is mixed with; None if that is not recorded, or without corpus."""
        mixed = None if self.chosen is None else self.chosen.mixed
        return None if mixed is None or self.corpus is None else counted_model(self.corpus, mixed.order)

    @cached_property
    def samples(self) -> list[str]:
        """SAMPLES items drawn from the chosen model; none without a model."""
        return [] if self.model is None else draw(*self.model, SAMPLES, 0)

    @cached_property
    def mixed_samples(self) -> list[str]:
        """SAMPLES items drawn from its mixture with the counted n-gram; none without it."""
        return [] if self.model is None or self.counted is None else _draw_mixed(self, *self.model, SAMPLES, 0)


def split_sizes(study: StudyRecord) -> str:
    """`train n=182,625, dev n=22,655`."""
    examples = study.corpus.examples
    return f"train n={examples['train']:,}, dev n={examples['dev']:,}"


def gather(storage: Storage, study: StudyRecord, build: Build | None = None) -> Results:
    """Read a study's results from the storage and its artifacts.

    Raises:
        StorageError: a stored file is missing.
    """
    trials = storage.trials(study.key)
    chosen = Chosen.of(study, trials)
    return Results(
        study=study,
        trials=trials,
        reference=stored_reference(storage, study.reference),
        best=best_trial(trials),
        chosen=chosen,
        weights=storage.kept_file(chosen.weights_artifact) if chosen is not None and chosen.weights_artifact else None,
        opening=recorded_if_valid(storage, study.key),
        optuna_study=storage.optuna_study(study.key),
        checked=checked_weights(storage, study, trials),
        known=tuple(known_openings(storage)),
        build=build,
    )


def samples_of(results: Results, count: int = SAMPLES, seed: int = 0, *, mixed: bool = False) -> list[str]:
    """Items drawn from the chosen model, the same ones for the same seed; none while no trial is complete.

    Args:
        mixed: draw from its mixture with the counted n-gram instead.

    Raises:
        StudyError: the study's own model cannot be built any more, or there is no mixture.
        StorageError: the stored weights are corrupt.
    """
    if results.weights is None:
        return []
    model, facts = restore(results.weights, results.builder())
    return _draw_mixed(results, model, facts, count, seed) if mixed else draw(model, facts, count, seed)


def _draw_mixed(results: Results, model: Model, facts: dict[str, Any], count: int, seed: int) -> list[str]:
    mixed = None if results.chosen is None else results.chosen.mixed
    if mixed is None or results.counted is None:
        raise StudyError(
            f"a mixture needs its weight and the corpus to count on; {results.study.key} lacks one of them. Sample "
            "from the network alone, or restore the corpus."
        )
    return draw(Mixture(model, results.counted, mixed.weight), facts, count, seed)
