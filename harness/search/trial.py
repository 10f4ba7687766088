"""One trial from its config to its record: train, diagnose, store."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import optuna
import sqlalchemy
import torch
from optuna.trial import TrialState

from harness.config import TrainConfig
from harness.corpus import Corpus
from harness.errors import ModelChanged, TrialsFailed
from harness.model import Build, Model
from harness.search.trial_queue import Started, reason_of, requeue, told
from harness.store.checks import keep_weights
from harness.store.storage import Storage
from harness.store.trial_record import Status, TrialRecord, finite
from harness.study.definition import Objective
from harness.train import Evaluation, Mixed, TrainResult, judge, mix, train

OnProgress = Callable[[float, float], None]
"""Called with the share of the run that is done and the dev nats there."""
STORAGE_FAULTS = (optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError)
"""Errors that are not the trial's fault."""
STOPPED = "the time was up, or the worker was stopped"


def reported_nats(dev_nats: float, chance: float) -> float:
    """The loss as Optuna sees it: just above `chance` (log V, uniform guessing) if it is higher than that.

    A run whose learning rate is too high can end at a hundred nats, which would flatten every plot of the dashboard.
    The order of the values stays the same, so pruners and samplers decide as they would on the losses. The
    record's curve keeps the losses themselves.
    """
    return dev_nats if dev_nats <= chance else chance + 0.01 * math.log1p(dev_nats - chance)


class _Watched:
    """A run's loss by the study's objective at each evaluation: the network's own, or that of its mixture."""

    def __init__(self, objective: Objective, config: TrainConfig, corpus: Corpus, build: Build) -> None:
        self._objective, self._length, self._corpus, self._build = objective, config.model.context_length, corpus, build
        self._model: Model | None = None
        self.mixed: dict[int, Mixed] = {}
        """The mixture by step, with the weight fitted there; empty unless its loss is the objective."""

    def build(self, config: TrainConfig, vocabulary_size: int, generator: torch.Generator) -> Model:
        """The study's `build`, which also keeps the model that is being trained."""
        self._model = self._build(config, vocabulary_size, generator)
        return self._model

    def nats(self, point: Evaluation) -> float:
        if self._objective == "dev" or self._model is None or not math.isfinite(point.dev_nats):
            return point.dev_nats
        self.mixed[point.step] = mix(self._model, self._corpus, self._length)
        return self.mixed[point.step].dev_nats

    def final(self, result: TrainResult) -> Mixed | None:
        """The mixture at the end of a complete run, which may have been scored there already."""
        if result.status != "complete":
            return None
        return self.mixed.get(result.steps) or mix(result.model, self._corpus, self._length)


class Deadline:
    """When a worker has to stop: at a wall time, or on request."""

    def __init__(self, at: float) -> None:
        self.at = at
        self.stop_requested = False

    def passed(self) -> bool:
        return self.stop_requested or time.time() >= self.at


def run_trial(
    storage: Storage,
    started: Started,
    corpus: Corpus,
    build: Build,
    *,
    deadline: Deadline,
    on_progress: OnProgress,
    objective: Objective = "dev",
    keep_all: bool = False,
) -> TrialRecord:
    """Train the config of a started trial and store the result; returns the stored record.

    Args:
        objective: the loss that is told to Optuna, during the run too.
        keep_all: keep the weights of every complete trial, not only of those better than all before them.

    Raises:
        TrialsFailed: the model cannot be restored from its weights to the same losses.
    """
    record, handle = started.record.model_copy(update={"objective": objective}), started.handle
    study = handle.study
    if record.config is None:
        return _without_config(storage, started, record)
    pruned = False
    percents: set[int] = set()

    def on_evaluation(point: Evaluation) -> bool:
        nonlocal pruned
        share = point.examples / (total_steps * config.batch_size)
        on_progress(share, point.dev_nats)
        percent, nats = round(100 * share), watched.nats(point)
        if percent not in percents:
            percents.add(percent)
            handle.report(reported_nats(nats, chance), percent)
        pruned = share < 1 and handle.should_prune()
        return not (pruned or (share < 1 and deadline.passed()))

    config = record.config
    watched = _Watched(objective, config, corpus, build)
    total_steps, chance = config.budget.total_steps(config.batch_size) or 1, math.log(corpus.vocabulary_size)
    try:
        result = train(config, corpus, build=watched.build, on_evaluation=on_evaluation)
    except STORAGE_FAULTS:
        raise
    except optuna.TrialPruned as pruning:
        return _prune(storage, handle, record.model_copy(update={"pruned_because": told(pruning, "the model")}))
    except Exception as error:  # the user's model, or an impossible shape: keep the reason and continue the search
        return requeue(storage, started, record, "failed", reason_of(error))
    record = record.with_result(result, watched.mixed).model_copy(update={"mixed": watched.final(result)})
    if result.status == "stopped" and not pruned:
        return requeue(storage, started, record, "interrupted", STOPPED)
    is_kept = keep_all or _is_best(study, record.objective_nats)
    return _finish_checked(storage, started, record, result=result, corpus=corpus, build=build, is_kept=is_kept)


def _finish_checked(
    storage: Storage,
    started: Started,
    record: TrialRecord,
    *,
    result: TrainResult,
    corpus: Corpus,
    build: Build,
    is_kept: bool,
) -> TrialRecord:
    """`finish`, with weights that were restored and scored before they are stored."""
    handle, config = started.handle, record.config
    assert config is not None  # it was trained from one

    def weights() -> str | None:
        if not is_kept:
            return None
        what, filename = f"trial {record.number}", f"trial-{record.number}.safetensors"
        return keep_weights(
            storage, result, config, corpus, build, what=what, filename=filename, owner=handle, mixed=record.mixed
        )

    try:
        return finish(storage, handle, record, result=result, corpus=corpus, weights=weights)
    except ModelChanged as error:  # no later trial of this build could be confirmed or opened either
        requeue(storage, started, record, "failed", str(error))
        raise TrialsFailed(str(error)) from None


def _without_config(storage: Storage, started: Started, record: TrialRecord) -> TrialRecord:
    if record.pruned_because is not None:
        return _prune(storage, started.handle, record)
    return requeue(storage, started, record, "failed", record.failure or "suggest() gave no config")


def _prune(storage: Storage, handle: optuna.Trial, record: TrialRecord) -> TrialRecord:
    """Store a trial that the study's own code pruned: finished, without losses."""
    record = record.model_copy(update={"status": "pruned"})
    storage.write_trial(handle.study.study_name, record)
    _show_columns(handle, record)
    handle.study.tell(handle, state=TrialState.PRUNED)
    return record


def finish(
    storage: Storage,
    handle: optuna.Trial,
    record: TrialRecord,
    *,
    result: TrainResult,
    corpus: Corpus,
    weights: Callable[[], str | None],
) -> TrialRecord:
    """Diagnose a run, store its record (with `weights` if complete) and tell Optuna; returns the stored record.

    Args:
        record: with the run's losses, its mixture included.
    """
    assert record.config is not None
    study = handle.study
    diagnosis = judge(result, record.config, corpus, one_model=not record.seeds)
    status: Status = "pruned" if result.status == "stopped" else "complete"
    if diagnosis.verdict == "diverged":
        status = "diverged"
    update: dict[str, object] = {"status": status, "evidence": {k: finite(v) for k, v in diagnosis.evidence.items()}}
    if status != "pruned":  # nobody knows where a pruned run would have ended
        update |= {"verdict": diagnosis.verdict, "advice": diagnosis.advice}
    if status == "complete":
        update["weights_artifact"] = weights()
        update["gap_error"] = diagnosis.evidence.get("gap_error")
    else:
        update["mixed"] = None
    record = record.model_copy(update=update)
    storage.write_trial(study.study_name, record)
    _show_columns(handle, record)
    if status == "complete":
        study.tell(handle, record.objective_nats)
    else:
        study.tell(handle, state=TrialState.PRUNED)
    return record


def _is_best(study: optuna.Study, nats: float | None) -> bool:
    complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    return nats is not None and all(trial.value is None or nats < trial.value for trial in complete)


def _show_columns(handle: optuna.Trial, record: TrialRecord) -> None:
    """Short scalars only, because every user attribute becomes a column of the dashboard."""
    losses = ["train_nats", "gap", "dev_nats" if record.objective == "mixed" else "mixed_nats"]  # not the value again
    for name in ("status", "verdict", *losses, "parameters", "seconds", "steps_per_s"):
        value = getattr(record, name)
        if value is not None:
            places = 4 if name in losses else 1
            handle.set_user_attr(name, round(value, places) if isinstance(value, float) else value)
