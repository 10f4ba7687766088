"""The finalists: the best trials of a search, trained again with fresh seeds.

The best value of a search is the luckiest of many single runs, so it only decides which trials
become finalists. Their runs are trials of an Optuna study of their own, which are counted,
requeued and repeated like any trial. A round that was killed continues where it stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import optuna
from optuna.pruners import NopPruner
from optuna.trial import FrozenTrial, TrialState

from harness.config import TrainConfig
from harness.search.reference import fresh_seeds
from harness.search.trial_queue import failed_for_good, queue_lock, requeue_orphans
from harness.store.finalist_record import Ranking
from harness.store.find import stored_reference
from harness.store.keys import finalists_key
from harness.store.provenance import commit, now
from harness.store.storage import Storage
from harness.store.study_record import StudyRecord
from harness.store.trial_record import TrialRecord
from harness.study.definition import Study

_MOST_TRIALS = 10**6
_WALL_PER_SECOND = 1.4
"""Wall time of a run per second of training: with exact losses along the way and other trials on the same cores."""
_WALL_PER_RUN_S = 0.5
"""Wall time of a run besides its training: its records, its diagnosis and its weights."""
_MOST_SHARE = 0.6
_DONE = ("complete", "diverged")
Run = tuple[int, int]
"""A finalist's trial number in the search, and the number of its fresh seed, from 0."""


def best_trials(trials: Sequence[TrialRecord], count: int) -> list[TrialRecord]:
    """The complete trials with the lowest loss by the study's objective; each config once."""
    complete = [trial for trial in trials if trial.status == "complete" and trial.objective_nats is not None]
    different: dict[str, TrialRecord] = {}
    for trial in sorted(complete, key=lambda trial: (trial.objective_nats, trial.dev_nats, trial.number)):
        assert trial.config is not None  # a complete trial was trained from one
        different.setdefault(trial.config.model_copy(update={"seed": 0}).hash(), trial)
    return list(different.values())[:count]


class Reserve(NamedTuple):
    """The time that a search leaves for its finalists."""

    finalists: int
    seeds: int
    workers: int
    total_s: float
    """Seconds of search and finalists together."""
    start_s: float = 0.0
    """Seconds until the workers of the search have ended and those of the round have started."""

    def seconds(self, trials: Sequence[TrialRecord]) -> float:
        """Time to train the best trials so far with every seed, at most 60 % of the total."""
        best = [trial.seconds or 0.0 for trial in best_trials(trials, self.finalists)]
        if not best:
            return 0.0
        each = max(best) * _WALL_PER_SECOND + _WALL_PER_RUN_S
        return min(self.start_s + each * self.finalists * self.seeds / self.workers, _MOST_SHARE * self.total_s)


@dataclass(frozen=True)
class Round:
    """The finalists' round of a search: the runs it needs and those that are done."""

    wanted: dict[Run, int]
    """Seed of each run. The first seeds of all finalists come first, so a round cut short stays paired."""
    done: dict[Run, TrialRecord]
    """Trained, diverged, or failed too often."""
    recipe: TrialRecord | None
    """The lecture's recipe, if it was trained from all the seeds: it is ranked with the finalists."""

    @property
    def is_trained(self) -> bool:
        return self.wanted.keys() <= self.done.keys()

    @property
    def counts(self) -> tuple[int, int]:
        """How many runs are done, and how many there are."""
        return len(self.wanted.keys() & self.done.keys()), len(self.wanted)

    def is_settled(self, ranking: Ranking | None) -> bool:
        """Whether all runs are done and the ranking was made from exactly these and the recipe."""
        if not self.wanted:
            return ranking is None  # a ranking of finalists that are no longer requested would be stale
        if not self.is_trained or ranking is None:
            return False
        ranked = {finalist.trial for finalist in ranking.finalists}
        due = {trial for trial, _ in self.wanted} | ({None} if self.recipe else set())
        return ranked == due and set(ranking.seeds) == set(self.wanted.values())


def read_round(storage: Storage, record: StudyRecord, trials: Sequence[TrialRecord]) -> Round:
    """The round of a search as it is stored.

    Args:
        trials: the trials of the search.
    """
    if not (wanted := _wanted(record, trials)):
        return Round({}, {}, None)
    done = {
        (run.params["trial"], run.params["repeat"]): run
        for run in storage.trials(finalists_key(record.key))
        if run.status in _DONE or failed_for_good(run)
    }
    recipe = stored_reference(storage, record.reference)
    return Round(wanted, done, recipe if recipe is not None and len(recipe.seeds) >= record.seeds else None)


def count_runs(storage: Storage, record: StudyRecord, trials: Sequence[TrialRecord]) -> tuple[int, int]:
    """How many of the round's runs are done, and how many there are."""
    return read_round(storage, record, trials).counts


def round_study(storage: Storage, key: str, study: Study) -> Study:
    """The round as a study: each of its trials names a trial of the search and has a fresh seed."""
    configs = {trial.number: trial.config for trial in storage.trials(key)}

    def suggest(trial: optuna.Trial) -> TrainConfig:
        number, _ = trial.suggest_int("trial", 0, _MOST_TRIALS), trial.suggest_int("repeat", 0, _MOST_TRIALS)
        config = configs[number]
        assert config is not None  # as in best_trials
        return config

    return Study(name="finalists", suggest=suggest, build=study.build, pruner=lambda _: NopPruner())


def start_round(storage: Storage, record: StudyRecord, trials: Sequence[TrialRecord]) -> str | None:
    """Queue the runs that are missing and drop those no longer wanted. Only the search's sole runner may call this.

    Returns:
        The round's key; None if there are no finalists.
    """
    key = finalists_key(record.key)
    wanted = _wanted(record, trials)
    if not wanted:
        return None
    with queue_lock(key):
        if storage.study(key) is None:
            update = {"key": key, "created": now(), "commit": commit(), "reference": None, "ranking": None, "first": ()}
            settings = replace(record.settings, trials=len(wanted))
            storage.create_study(record.model_copy(update=update | {"pruner": "NopPruner", "settings": settings}))
        study = storage.optuna_study(key)
        requeue_orphans(storage, study, all_running=True)
        given_up = {record.number for record in storage.trials(key) if failed_for_good(record)}
        existing = set()
        for trial in study.get_trials(deepcopy=False):
            run = _run_of(trial)
            if trial.state == TrialState.WAITING and run not in wanted:
                _drop(storage, study, trial.number)
            elif trial.state != TrialState.FAIL or trial.number in given_up:
                existing.add(run)
        for run, seed in wanted.items():
            if run not in existing:
                study.enqueue_trial({"trial": run[0], "repeat": run[1]}, user_attrs={"seed": seed})
    return key


def _wanted(record: StudyRecord, trials: Sequence[TrialRecord]) -> dict[Run, int]:
    best = best_trials(trials, record.finalists)
    return {(trial.number, repeat): seed for repeat, seed in enumerate(fresh_seeds(record.seeds)) for trial in best}


def _run_of(trial: FrozenTrial) -> Run:
    params: dict[str, Any] = trial.system_attrs.get("fixed_params", {}) | trial.params
    return params.get("trial", -1), params.get("repeat", -1)


def _drop(storage: Storage, study: optuna.Study, number: int) -> None:
    trial = storage.backend.get_trial_id_from_study_id_trial_number(study._study_id, number)
    storage.backend.set_trial_state_values(trial, TrialState.RUNNING)
    storage.backend.set_trial_state_values(trial, TrialState.FAIL)
