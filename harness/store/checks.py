"""Stored weights scored again: whether they still have the losses that were recorded for them.

This notices what no hash of a file can: that the code which turns weights into predictions has changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel

from harness.corpus import Corpus
from harness.errors import ModelChanged, StorageError
from harness.model import Build, CharMLP, Model
from harness.store.finalist_record import Finalist
from harness.store.provenance import now
from harness.store.storage import Storage
from harness.store.study_record import StudyRecord
from harness.store.trial_record import SeedRun, TrialRecord
from harness.store.weights import restore, sha256
from harness.train import ItemNats, item_nats, split_nats

SAME_NATS = 1e-4
"""Largest accepted difference between a stored and a recomputed loss: machines sum in different orders."""


class Check(BaseModel, frozen=True):
    """The newest result for some weights on a corpus."""

    dev_nats: float
    """Recomputed, in nats per symbol over the whole split."""
    at: str


class Kept(NamedTuple):
    """Stored weights, and the dev loss that was recorded for them."""

    what: str
    """`trial 12`, `trial 12, seed 34`."""
    artifact: str
    dev_nats: float
    build: Build


def check_new(
    storage: Storage, content: bytes, corpus: Corpus, build: Build, *, what: str, nats: tuple[float, float]
) -> None:
    """Score weights that are about to be stored.

    Args:
        nats: train and dev loss of the model that was packed.

    Raises:
        ModelChanged: the restored model has other losses.
    """
    model, facts = _restored(content, build, what)
    length = facts["config"]["model"]["context_length"]
    found = tuple(split_nats(model, corpus.counts(split, length)) for split in ("train", "dev"))
    for split, before, after in zip(("train", "dev"), nats, found, strict=True):
        if not abs(before - after) <= SAME_NATS:
            raise ModelChanged(
                f"a model must be restored from its weights to the same losses; that of {what} has a {split} loss of "
                f"{before:.4f} nats after training and {after:.4f} once restored. Keep all of its state in parameters "
                "and registered buffers."
            )
    _keep(storage, content, corpus, found[1])


def checked_items(storage: Storage, kept: Kept, corpus: Corpus) -> ItemNats:
    """Dev losses by item of stored weights, if they add up to the loss that was recorded.

    Raises:
        ModelChanged: they do not, or the weights no longer fit the build. The message names the trial.
        StorageError: the stored file is missing or damaged.
    """
    content = storage.kept_file(kept.artifact)
    model, facts = _restored(content, kept.build, kept.what)
    items = item_nats(model, corpus, "dev", facts["config"]["model"]["context_length"])
    if not abs(items.mean - kept.dev_nats) <= SAME_NATS:
        raise ModelChanged(
            f"stored weights must keep their loss; those of {kept.what} had a dev loss of {kept.dev_nats:.4f} nats "
            f"when they were trained and have {items.mean:.4f} with the present build. Restore the old build, or start "
            "another study with NAME=…."
        )
    _keep(storage, content, corpus, items.mean)
    return items


def stored_weights(trials: Sequence[TrialRecord], build: Build) -> list[Kept]:
    """The weights of a search's trials, best first."""
    found = [
        Kept(f"trial {trial.number}", trial.weights_artifact, trial.dev_nats, build)
        for trial in trials
        if trial.status == "complete" and trial.weights_artifact is not None and trial.dev_nats is not None
    ]
    return sorted(found, key=lambda kept: kept.dev_nats)


def weights_of(finalist: Finalist, build: Build) -> Iterator[Kept]:
    """The weights of a finalist's runs; those of the recipe are made by CharMLP's build."""
    for run in finalist.runs:
        if run.weights_artifact is not None and run.dev_nats is not None:
            made_by = CharMLP.build if finalist.is_recipe else build
            yield Kept(f"{finalist.name}, seed {run.seed}", run.weights_artifact, run.dev_nats, made_by)


def checked_weights(storage: Storage, study: StudyRecord, trials: Sequence[TrialRecord]) -> frozenset[str]:
    """Artifact ids of the weights of trials and finalists that, as they are now, have the loss that was recorded.

    Only the last results are read; nothing is scored.
    """
    finalists = () if study.ranking is None else study.ranking.finalists
    runs: list[TrialRecord | SeedRun] = [*trials, *(run for finalist in finalists for run in finalist.runs)]
    found = set()
    for run in runs:
        if run.weights_artifact is not None and run.dev_nats is not None:
            last = _last_check(storage, run.weights_artifact, study.corpus.fingerprint)
            if last is not None and abs(last.dev_nats - run.dev_nats) <= SAME_NATS:
                found.add(run.weights_artifact)
    return frozenset(found)


def _last_check(storage: Storage, artifact: str, fingerprint: str) -> Check | None:
    try:
        document = storage.check(sha256(storage.kept_file(artifact)), fingerprint)
    except StorageError:  # the file is gone
        return None
    return None if document is None else Check.model_validate_json(document)


def _restored(content: bytes, build: Build, what: str) -> tuple[Model, dict[str, Any]]:
    try:
        return restore(content, build)
    except ModelChanged as error:
        raise ModelChanged(f"{what}: {error}") from None


def _keep(storage: Storage, content: bytes, corpus: Corpus, dev_nats: float) -> None:
    check = Check(dev_nats=dev_nats, at=now())
    for fingerprint in corpus.fingerprints:  # a study that was not resumed since 0.3.0 knows another than today's
        storage.write_check(sha256(content), fingerprint, check.model_dump_json())
