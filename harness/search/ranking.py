"""The ranking of the finalists: their fresh runs compared over seeds and items, and one winner."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from harness.corpus import Corpus
from harness.lecture import RECIPE
from harness.model import Build, CharMLP
from harness.search.bootstrap import (
    RESAMPLES,
    Floats,
    Interval,
    choose,
    mean_nats,
    resampled_means,
    share_better,
    tied_with_best,
)
from harness.search.finalists import Round
from harness.search.reference import fresh_seeds
from harness.store.checks import checked_items, weights_of
from harness.store.finalist_record import Finalist, Ranking
from harness.store.storage import Storage
from harness.store.study_record import StudyRecord
from harness.store.trial_record import SeedRun, TrialRecord


def ranking_of(
    storage: Storage,
    record: StudyRecord,
    *,
    finalists: Round,
    trials: Sequence[TrialRecord],
    corpus: Corpus,
    build: Build,
) -> Ranking | None:
    """The ranking over the seeds that every finalist has been trained with.

    None while there are fewer than two such seeds, unless the study asks for only one.

    Args:
        trials: the trials of the search.

    Raises:
        ModelChanged: stored weights no longer have the loss that was recorded for them.
    """
    wanted, runs = finalists.wanted, finalists.done
    missing = [repeat for number, repeat in wanted if (number, repeat) not in runs]
    seeds = fresh_seeds(min(missing, default=record.seeds))
    if not wanted or len(seeds) < min(2, record.seeds):
        return None
    by_number = {trial.number: trial for trial in trials}
    entered = [
        (_from_trial(by_number[number], [runs[number, repeat] for repeat in range(len(seeds))]), build)
        for number in dict.fromkeys(trial for trial, _ in wanted)
    ]
    if finalists.recipe is not None:
        entered.append((_from_reference(finalists.recipe, len(seeds)), CharMLP.build))
    ranked, out = [pair for pair in entered if not pair[0].out], [pair[0] for pair in entered if pair[0].out]
    if not ranked:
        return Ranking(seeds=tuple(seeds), finalists=tuple(out), winner=None, resamples=0, items_artifact=None)
    matrices = [_dev_items(storage, finalist, corpus, build) for finalist, build in ranked]
    nats_CSI, symbols_I = np.stack([nats for nats, _ in matrices]), matrices[0][1]
    order = mean_nats(nats_CSI, symbols_I).argsort(kind="stable")
    nats_CSI = nats_CSI[order]
    compared, winner = _compared([ranked[index][0] for index in order], nats_CSI, symbols_I)
    content = save({"nats": nats_CSI, "symbols": symbols_I}, {"names": "\n".join(f.name for f in compared)})
    artifact = storage.keep_file(content, "finalists-items.safetensors", storage.optuna_study(record.key))
    return Ranking(
        seeds=tuple(seeds), finalists=(*compared, *out), winner=winner, resamples=RESAMPLES, items_artifact=artifact
    )


def _from_trial(trial: TrialRecord, runs: list[TrialRecord]) -> Finalist:
    kept = [
        SeedRun(
            seed=r.seed,
            status=r.status,
            train_nats=r.train_nats,
            dev_nats=r.dev_nats,
            weights_artifact=r.weights_artifact,
        )
        for r in runs
    ]
    assert trial.parameters is not None  # a complete trial has them
    return _finalist(f"trial {trial.number}", trial.number, trial.parameters, kept, trial.dev_nats)


def _from_reference(reference: TrialRecord, seeds: int) -> Finalist:
    assert reference.parameters is not None  # a stored reference is complete
    finalist = _finalist(RECIPE, None, reference.parameters, list(reference.seeds[:seeds]), None)
    return finalist.model_copy(update={"is_recipe": True})


def _finalist(
    name: str, trial: int | None, parameters: int, runs: list[SeedRun], search_nats: float | None
) -> Finalist:
    complete = [run for run in runs if run.status == "complete"]
    incomplete = [f"seed {run.seed} {run.status}" for run in runs if run.status != "complete"]
    train = [run.train_nats for run in complete if run.train_nats is not None]
    dev = [run.dev_nats for run in complete if run.dev_nats is not None]
    return Finalist(
        name=name,
        trial=trial,
        parameters=parameters,
        runs=tuple(runs),
        out=", ".join(incomplete),
        search_nats=search_nats,
        train_nats=fmean(train) if train else None,
        dev_nats=fmean(dev) if dev else None,
        deviation=stdev(dev) if len(dev) > 1 else None,
    )


def _dev_items(storage: Storage, finalist: Finalist, corpus: Corpus, build: Build) -> tuple[Floats, NDArray[np.int64]]:
    """(S, I) nats of each dev item under each seed's weights, and (I,) the number of symbols of each item."""
    found = [checked_items(storage, kept, corpus) for kept in weights_of(finalist, build)]
    return np.stack([items.nats for items in found]), found[0].symbols


def _compared(finalists: list[Finalist], nats_CSI: Floats, symbols_I: NDArray[np.int64]) -> tuple[list[Finalist], str]:
    """The finalists, given in order of their means, with their intervals; and the winner's name."""
    means, resampled = mean_nats(nats_CSI, symbols_I), resampled_means(nats_CSI, symbols_I)
    tied = tied_with_best(means, resampled)
    compared = []
    for index, finalist in enumerate(finalists):
        own, behind = Interval.of(resampled[:, index]), Interval.of(resampled[:, index] - resampled[:, 0])
        better = {
            other.name: share_better(resampled[:, index], resampled[:, rival])
            for rival, other in enumerate(finalists)
            if rival != index
        }
        update = {
            "low": own.low,
            "high": own.high,
            "behind": float(means[index] - means[0]),
            "behind_low": behind.low,
            "behind_high": behind.high,
            "tied": tied[index],
            "p_better": better,
        }
        compared.append(finalist.model_copy(update=update))
    chosen = choose(
        list(means), tied, [f.parameters for f in finalists], [finalist.is_recipe for finalist in finalists]
    )
    return compared, finalists[chosen].name
