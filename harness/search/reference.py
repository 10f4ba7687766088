"""The lecture's recipe on a corpus: trained once from several seeds, stored, and shared by every study of that corpus.

A single seed says little, because seeds differ by about 0.01 nats. Five seeds side by side take
three times as long as one. The recipe is a study of its own with one trial: in a search, a trial
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
from harness.model import CharMLP
from harness.search.trial import STOPPED, STORAGE_FAULTS, Deadline, OnProgress, finish, reported_nats
from harness.search.trial_queue import Started, failed_for_good, queue_lock, requeue
from harness.store.checks import keep_weights
from harness.store.keys import REFERENCE_RUNS, reference_key, reference_keys
from harness.store.provenance import commit, now
from harness.store.storage import Storage
from harness.store.study_record import CorpusFacts, StudyRecord
from harness.store.trial_record import FINISHED, SeedRun, Status, TrialRecord, finite
from harness.study.definition import Study
from harness.study.settings import Settings
from harness.train import Evaluation, TrainResult, derive, mix, train_seeds

REFERENCE = Study(name="reference", suggest=lambda _trial: lecture_recipe(), trials=1)
REFERENCE_SEED = 0


def fresh_seeds(count: int) -> list[int]:
    """Seeds that no search draws, for the recipe and for the finalists, so that the two are paired."""
    return [derive(REFERENCE_SEED, "repeat", number) for number in range(count)]


def stored_key(storage: Storage, corpus: Corpus, seeds: int) -> str | None:
    """Key that a corpus's reference is stored under; None if it is not stored, or was deleted in the dashboard."""
    stored = {record.key for record in storage.studies()}
    return next((key for key in reference_keys(corpus, seeds) if key in stored), None)


def start_reference(
    storage: Storage, corpus: Corpus, facts: CorpusFacts, seeds: int = REFERENCE_RUNS
) -> tuple[str, bool]:
    """Create the reference's study unless its trial was started already; returns its key and whether it is settled."""
    new = reference_key(corpus, seeds)
    with queue_lock(new):  # two studies of one corpus may start at the same time
        if (key := stored_key(storage, corpus, seeds)) is not None:
            return key, is_settled(storage.trials(key))
        settings = Settings(trials=1, seed=REFERENCE_SEED, seeds=seeds)
        storage.create_study(
            StudyRecord(
                key=new, name=REFERENCE.name, file="", corpus=facts, settings=settings, space={}, sampler="",
                pruner="", created=now(), commit=commit(),
            )
        )  # fmt: skip
    return new, False


def is_settled(trials: Sequence[TrialRecord]) -> bool:
    """Whether a reference's one trial is finished, whatever its outcome, or failed too often to be tried again."""
    return any(trial.status in FINISHED or failed_for_good(trial) for trial in trials)


def reference_is_settled(storage: Storage, key: str | None) -> bool:
    """Whether there is nothing to wait for: no reference is wanted, or it is settled."""
    return key is None or is_settled(storage.trials(key))


def run_reference(
    storage: Storage, started: Started, corpus: Corpus, *, deadline: Deadline, on_progress: OnProgress
) -> TrialRecord:
    """Train the recipe from its seeds and store the result; returns the stored record.

    Its curve and losses are means over the seeds that did not diverge.
    """
    record, config = started.record, started.record.config
    assert config is not None  # the recipe's suggest() does not fail
    total, chance = config.budget.total_steps(config.batch_size) or 1, math.log(corpus.vocabulary_size)

    percents: set[int] = set()

    def on_evaluation(points: Sequence[Evaluation]) -> bool:
        share, dev_nats = points[0].step / total, fmean(point.dev_nats for point in points)
        on_progress(share, dev_nats)
        percent = round(100 * share)
        if percent not in percents:  # seeds that run one after another reach the same percentage again
            percents.add(percent)
            started.handle.report(reported_nats(dev_nats, chance), percent)
        return share == 1 or not deadline.passed()

    asked = storage.study(started.handle.study.study_name)
    seeds = fresh_seeds(REFERENCE_RUNS if asked is None else asked.seeds)
    try:
        results = train_seeds(config, corpus, seeds, on_evaluation=on_evaluation)
    except STORAGE_FAULTS:
        raise
    except Exception as error:  # for example, a corpus that it cannot be trained on
        return requeue(storage, started, record, "failed", f"{type(error).__name__}: {error}")
    if any(result.status == "stopped" for result in results):
        return requeue(storage, started, record, "interrupted", STOPPED)
    runs = [_kept(storage, started, config, corpus, *pair) for pair in zip(seeds, results, strict=True)]
    mean = _mean([result for result in results if result.status == "complete"] or list(results))
    record = record.with_result(mean).model_copy(update={"seeds": tuple(runs)})
    first_weights = next((run.weights_artifact for run in runs if run.weights_artifact), None)
    return finish(storage, started.handle, record, result=mean, corpus=corpus, weights=lambda: first_weights)


def _kept(
    storage: Storage, started: Started, config: TrainConfig, corpus: Corpus, seed: int, result: TrainResult
) -> SeedRun:
    train_nats, dev_nats = finite(result.train_nats), finite(result.dev_nats)
    artifact, mixed = None, None
    if result.status == "complete":
        what, filename = f"the recipe, seed {seed}", f"seed-{seed}.safetensors"
        seeded = config.model_copy(update={"seed": seed})
        mixed = mix(result.model, corpus, config.model.context_length)
        artifact = keep_weights(
            storage,
            result,
            seeded,
            corpus,
            CharMLP.build,
            what=what,
            filename=filename,
            owner=started.handle,
            mixed=mixed,
        )
    status: Status = "complete" if result.status == "complete" else "diverged"
    return SeedRun(
        seed=seed,
        status=status,
        train_nats=train_nats,
        dev_nats=dev_nats,
        weights_artifact=artifact,
        mixed=mixed,
    )


def _mean(results: list[TrainResult]) -> TrainResult:
    """Curve and losses as means over runs of the same length."""
    curve = tuple(
        replace(
            points[0],
            train_nats=fmean(point.train_nats for point in points),
            dev_nats=fmean(point.dev_nats for point in points),
        )
        for points in zip(*(result.curve for result in results), strict=False)
    )
    return replace(results[0], curve=curve, train_nats=curve[-1].train_nats, dev_nats=curve[-1].dev_nats)
