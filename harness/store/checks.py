"""Stored weights scored again: whether they still have the losses that were recorded for them.

This notices what no hash of a file can: that the code which turns weights into predictions has changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import optuna
from numpy.typing import NDArray
from pydantic import BaseModel
from torch import Tensor

from harness.config import TrainConfig
from harness.corpus import Corpus
from harness.errors import ModelChanged, StorageError
from harness.model import Build, CharMLP, Model
from harness.store.finalist_record import Finalist
from harness.store.provenance import now
from harness.store.storage import Storage
from harness.store.study_record import StudyRecord
from harness.store.trial_record import SeedRun, TrialRecord
from harness.store.weights import facts_of, pack, restore, sha256
from harness.study.definition import Objective
from harness.train import ItemNats, Mixed, TrainResult, split_nats
from harness.train.counted import SPLITS
from harness.train.evaluate import pair_nats
from harness.train.items import items_of_pairs
from harness.train.mixing import mix_pairs, mixed_item_nats

SAME_NATS = 1e-4
"""Largest accepted difference between a stored and a recomputed loss: machines sum in different orders."""


class Check(BaseModel, frozen=True):
    """The newest result for some weights on a corpus."""

    dev_nats: float
    """Recomputed, in nats per symbol over the whole split."""
    mixed_nats: float | None = None
    """The same for the stored mixture; None if none is stored."""
    at: str


class Kept(NamedTuple):
    """Stored weights, and the dev loss that was recorded for them."""

    what: str
    """`trial 12`, `trial 12, seed 34`."""
    artifact: str
    dev_nats: float
    build: Build
    mixed: Mixed | None = None
    """Their mixture with the counted n-gram, if it was recorded."""


class ItemLosses(NamedTuple):
    """Dev losses of stored weights by item: their own and those of their mixture."""

    own: ItemNats
    mixed_items: ItemNats
    mixed: Mixed
    """As recorded, or else fitted now."""


class Losses(NamedTuple):
    """Nats of each of I dev items under each of S stored weights."""

    own: NDArray[np.float64]
    """(S, I) of the networks themselves."""
    mixed: NDArray[np.float64]
    """(S, I) of their mixtures with the counted n-gram."""
    symbols: NDArray[np.int64]
    """(I,) the number of symbols of each item."""
    mixtures: tuple[Mixed, ...]
    """One per set of weights."""

    def by(self, objective: Objective) -> NDArray[np.float64]:
        """(S, I) of what a study with this objective compares."""
        return self.mixed if objective == "mixed" else self.own


def keep_weights(
    storage: Storage,
    result: TrainResult,
    config: TrainConfig,
    corpus: Corpus,
    build: Build,
    *,
    what: str,
    filename: str,
    owner: optuna.Trial,
    mixed: Mixed | None,
) -> str:
    """Store a run's weights, once they have been restored and scored; returns their artifact id.

    Args:
        mixed: their mixture with the counted n-gram, stored with them.

    Raises:
        ModelChanged: the restored model has other losses.
    """
    content = pack(result.model, facts_of(config, corpus, result.train_nats, result.dev_nats, mixed))
    model, facts = _restored(content, build, what)
    length = facts["config"]["model"]["context_length"]
    for split, before in zip(SPLITS, (result.train_nats, result.dev_nats), strict=True):
        after = split_nats(model, corpus.counts(split, length))
        if not abs(before - after) <= SAME_NATS:
            raise ModelChanged(
                f"a model must be restored from its weights to the same losses; that of {what} has a {split} loss of "
                f"{before:.4f} nats after training and {after:.4f} once restored. Keep all of its state in parameters "
                "and registered buffers."
            )
    _keep(storage, content, corpus, after, None if mixed is None else mixed.dev_nats)
    return storage.keep_file(content, filename, owner)


def checked_items(storage: Storage, kept: Kept, corpus: Corpus) -> ItemNats:
    """Dev losses by item of stored weights, if they add up to the recorded loss and, mixed, to the recorded mixed loss.

    Raises:
        ModelChanged: they do not, or the weights no longer fit the build. The message names the trial.
        StorageError: the stored file is missing or damaged.
    """
    if kept.mixed is not None:
        return checked_losses(storage, kept, corpus).own
    content, nats_P, length = _scored(storage, kept, corpus)
    items = _own_items(nats_P, kept, corpus, length)
    _keep(storage, content, corpus, items.mean, None)
    return items


def checked_losses(storage: Storage, kept: Kept, corpus: Corpus) -> ItemLosses:
    """The same with their mixture, which is fitted now if it was not recorded.

    Raises:
        ModelChanged, StorageError: as `checked_items`.
    """
    content, nats_P, length = _scored(storage, kept, corpus)
    items = _own_items(nats_P, kept, corpus, length)
    mixed = kept.mixed or mix_pairs(nats_P, corpus, length)
    mixed_items = mixed_item_nats(nats_P, corpus, length, mixed)
    if not abs(mixed_items.mean - mixed.dev_nats) <= SAME_NATS:
        raise ModelChanged(
            f"stored weights must keep their loss when mixed with the counted {mixed.order}-gram; those of {kept.what} "
            f"had a mixed dev loss of {mixed.dev_nats:.4f} nats and have {mixed_items.mean:.4f} now. Restore the "
            "version of harness that stored it, or start another study with NAME=…."
        )
    _keep(storage, content, corpus, items.mean, mixed_items.mean)
    return ItemLosses(items, mixed_items, mixed)


def _scored(storage: Storage, kept: Kept, corpus: Corpus) -> tuple[bytes, Tensor, int]:
    """The stored file, the nats of every distinct pair of dev under its weights, and their context length."""
    content = storage.kept_file(kept.artifact)
    model, facts = _restored(content, kept.build, kept.what)
    length = facts["config"]["model"]["context_length"]
    return content, pair_nats(model, corpus.counts("dev", length)), length


def _own_items(nats_P: Tensor, kept: Kept, corpus: Corpus, length: int) -> ItemNats:
    items = items_of_pairs(nats_P, corpus, "dev", length)
    if not abs(items.mean - kept.dev_nats) <= SAME_NATS:
        raise ModelChanged(
            f"stored weights must keep their loss; those of {kept.what} had a dev loss of {kept.dev_nats:.4f} nats "
            f"when they were trained and have {items.mean:.4f} with the present build. Restore the old build, or start "
            "another study with NAME=…."
        )
    return items


def dev_losses(storage: Storage, kept: Iterable[Kept], corpus: Corpus) -> Losses:
    """Losses of each dev item under each stored set of weights.

    Raises:
        ModelChanged, StorageError: as `checked_items`.
    """
    found = [checked_losses(storage, each, corpus) for each in kept]
    return Losses(
        own=np.stack([losses.own.nats for losses in found]),
        mixed=np.stack([losses.mixed_items.nats for losses in found]),
        symbols=found[0].own.symbols,
        mixtures=tuple(losses.mixed for losses in found),
    )


def stored_weights(trials: Sequence[TrialRecord], build: Build) -> list[Kept]:
    """The weights of a search's complete trials, those with the lowest dev loss first."""
    complete = [trial for trial in trials if trial.status == "complete"]
    found = [kept for trial in complete for kept in _kept(f"trial {trial.number}", [trial], build)]
    return sorted(found, key=lambda kept: kept.dev_nats)


def seed_weights(name: str, runs: Sequence[SeedRun], build: Build) -> list[Kept]:
    """The weights of the runs of one config from several seeds."""
    return [kept for run in runs for kept in _kept(f"{name}, seed {run.seed}", [run], build)]


def weights_of(finalist: Finalist, build: Build) -> list[Kept]:
    """The weights of a finalist's runs; those of the recipe are made by CharMLP's build."""
    return seed_weights(finalist.name, finalist.runs, CharMLP.build if finalist.is_recipe else build)


def _kept(what: str, runs: Sequence[TrialRecord | SeedRun], build: Build) -> list[Kept]:
    return [
        Kept(what, run.weights_artifact, run.dev_nats, build, run.mixed)
        for run in runs
        if run.weights_artifact is not None and run.dev_nats is not None
    ]


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
            if last is not None and abs(last.dev_nats - run.dev_nats) <= SAME_NATS and _same_mixed(last, run):
                found.add(run.weights_artifact)
    return frozenset(found)


def _same_mixed(last: Check, run: TrialRecord | SeedRun) -> bool:
    if run.mixed is None:
        return True
    return last.mixed_nats is not None and abs(last.mixed_nats - run.mixed.dev_nats) <= SAME_NATS


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


def _keep(storage: Storage, content: bytes, corpus: Corpus, dev_nats: float, mixed_nats: float | None) -> None:
    weights, check = sha256(content), Check(dev_nats=dev_nats, mixed_nats=mixed_nats, at=now())
    for fingerprint in corpus.fingerprints:  # a study that was not resumed since 0.3.0 knows another than today's
        storage.write_check(weights, fingerprint, check.model_dump_json())
