"""The lecture's recipe on a corpus: trained once, from several seeds, kept, and shared by every study on it.

One seed of it says little: they differ by 0.01 nats. Side by side, five cost three times what one does.
It is kept as a study of its own with one trial: among a search's trials, one
without parameters would empty the sampler's joint space.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from harness.config import TrainConfig
from harness.corpus import Corpus
from harness.lecture import lecture_recipe
from harness.search.trial import STORAGE_FAULTS, TOLD_TO_STOP, Deadline, OnProgress, finish, put_back, told
from harness.search.trial_queue import Started, gate
from harness.store.keys import REFERENCE_SEEDS, reference_key
from harness.store.provenance import commit, now
from harness.store.storage import Storage
from harness.store.study_record import CorpusFacts, StudyRecord
from harness.store.trial_record import FINISHED, SeedRun, Status, TrialRecord, finite
from harness.store.weights import facts_of, pack
from harness.study.definition import Study
from harness.train import Evaluation, TrainResult, derive, train_seeds

REFERENCE = Study(name="reference", suggest=lambda _trial: lecture_recipe(), trials=1)
REFERENCE_SEED = 0


def fresh_seeds(count: int) -> list[int]:
    """Seeds that no search draws: the recipe's, and the finalists', so that they are paired with it."""
    return [derive(REFERENCE_SEED, "repeat", number) for number in range(count)]


def begin_reference(storage: Storage, corpus: Corpus, facts: CorpusFacts, seeds: int = REFERENCE_SEEDS) -> str:
    """Make the reference's study if there is none yet; returns its key."""
    key = reference_key(corpus, seeds)
    with gate(key):  # two studies on one corpus may begin at the same time
        _begin(storage, key, facts, seeds)
    return key


def _begin(storage: Storage, key: str, facts: CorpusFacts, seeds: int) -> None:
    if storage.study(key) is None:
        record = StudyRecord(
            key=key,
            name=REFERENCE.name,
            file="",
            corpus=facts,
            seed=REFERENCE_SEED,
            space={},
            sampler="",
            pruner="",
            trials=1,
            created=now(),
            commit=commit(),
            asked_seeds=seeds,
        )
        storage.create_study(record)


def is_settled(storage: Storage, key: str | None) -> bool:
    """Whether there is nothing to wait for: no reference wanted, or its one run finished, even badly."""
    return key is None or any(record.status in FINISHED for record in storage.trials(key))


def run_reference(
    storage: Storage, started: Started, corpus: Corpus, deadline: Deadline, on_progress: OnProgress
) -> TrialRecord:
    """Train the reference's config from its seeds and store what came of it; returns the stored record.

    The record's curve and losses are means over the seeds that did not diverge.
    """
    record, config = started.record, started.record.config
    assert config is not None  # the recipe is ours
    total, chance = config.budget.total_steps(config.batch_size) or 1, math.log(corpus.vocabulary_size)

    reported: set[int] = set()

    def on_evaluation(points: Sequence[Evaluation]) -> bool:
        share, dev_nats = points[0].step / total, fmean(point.dev_nats for point in points)
        on_progress(share, dev_nats)
        percent = round(100 * share)
        if percent not in reported:  # seeds in turn come by the same place again
            reported.add(percent)
            started.handle.report(told(dev_nats, chance), percent)
        return share == 1 or not deadline.passed()

    asked = storage.study(started.handle.study.study_name)
    seeds = fresh_seeds(REFERENCE_SEEDS if asked is None or asked.asked_seeds is None else asked.asked_seeds)
    try:
        results = train_seeds(config, corpus, seeds, on_evaluation=on_evaluation)
    except STORAGE_FAULTS:
        raise
    except Exception as error:  # a corpus it cannot train on: after three tries the search goes on without it
        return put_back(storage, started, record, "failed", f"{type(error).__name__}: {error}")
    if any(result.status == "stopped" for result in results):
        return put_back(storage, started, record, "interrupted", TOLD_TO_STOP)
    runs = [_kept(storage, started, config, corpus, *pair) for pair in zip(seeds, results, strict=True)]
    mean = _mean([result for result in results if result.status == "complete"] or list(results))
    record = record.with_result(mean).model_copy(update={"seeds": tuple(runs)})
    first_weights = next((run.weights_artifact for run in runs if run.weights_artifact), None)
    return finish(storage, started.handle, record, mean, corpus, lambda: first_weights)


def _kept(
    storage: Storage, started: Started, config: TrainConfig, corpus: Corpus, seed: int, result: TrainResult
) -> SeedRun:
    train_nats, dev_nats = finite(result.train_nats), finite(result.dev_nats)
    artifact = None
    if result.status == "complete":
        facts = facts_of(config.model_copy(update={"seed": seed}), corpus, result.train_nats, result.dev_nats)
        artifact = storage.keep_file(pack(result.model, facts), f"seed-{seed}.safetensors", started.handle)
    status: Status = "complete" if result.status == "complete" else "diverged"
    return SeedRun(seed=seed, status=status, train_nats=train_nats, dev_nats=dev_nats, weights_artifact=artifact)


def _mean(results: list[TrainResult]) -> TrainResult:
    """Curve and losses as means over runs of one length."""
    curve = tuple(
        replace(
            points[0],
            train_nats=fmean(point.train_nats for point in points),
            dev_nats=fmean(point.dev_nats for point in points),
        )
        for points in zip(*(result.curve for result in results), strict=False)
    )
    return replace(results[0], curve=curve, train_nats=curve[-1].train_nats, dev_nats=curve[-1].dev_nats)
