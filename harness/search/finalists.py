"""The finalists: the best trials of a search, trained again with fresh seeds.

A search's best value is the luckiest of many single runs, so it chooses who comes here and nothing
more. The runs are trials of an Optuna study beside the search: counted, put back and repeated like
any trial, so a round that was killed goes on where it stopped.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import optuna
from optuna.pruners import NopPruner
from optuna.trial import FrozenTrial, TrialState

from harness.config import TrainConfig
from harness.search.reference import fresh_seeds
from harness.search.trial_queue import MOST_ATTEMPTS, gate, take_back_orphans
from harness.store.find import stored_reference
from harness.store.keys import finalists_key
from harness.store.provenance import commit, now
from harness.store.storage import Storage
from harness.store.study_record import StudyRecord
from harness.store.trial_record import TrialRecord
from harness.study.definition import Study

_MOST_TRIALS = 10**6
_BESIDES = 1.4
"""Wall time of a run for a second of training: exact losses along the way, other trials on the same cores."""
_STARTS = 5.0
"""Seconds until the round's workers are there."""
_MOST_SHARE = 0.6
_DONE = ("complete", "diverged")


def best_trials(trials: list[TrialRecord], count: int) -> list[TrialRecord]:
    """The complete trials with the lowest dev loss, each config once."""
    complete = [trial for trial in trials if trial.status == "complete" and trial.dev_nats is not None]
    different: dict[str, TrialRecord] = {}
    for trial in sorted(complete, key=lambda trial: (trial.dev_nats, trial.number)):
        assert trial.config is not None  # a complete trial was trained from one
        different.setdefault(trial.config.model_copy(update={"seed": 0}).hash(), trial)
    return list(different.values())[:count]


class Reserve(NamedTuple):
    """Time that a search leaves to its finalists, out of all that there is."""

    finalists: int
    seeds: int
    workers: int
    whole: float
    """Seconds of search and finalists together."""

    def seconds(self, trials: list[TrialRecord]) -> float:
        """What training the best so far from every seed takes, at most 60 % of the whole."""
        best = [trial.seconds or 0.0 for trial in best_trials(trials, self.finalists)]
        if not best:
            return 0.0
        each = max(best) * _BESIDES
        return min(_STARTS + each * self.finalists * self.seeds / self.workers, _MOST_SHARE * self.whole)


def round_study(storage: Storage, key: str, study: Study) -> Study:
    """The round as a study: its trials name one of the search's and carry a fresh seed."""
    configs = {trial.number: trial.config for trial in storage.trials(key)}

    def suggest(trial: optuna.Trial) -> TrainConfig:
        number, _ = trial.suggest_int("trial", 0, _MOST_TRIALS), trial.suggest_int("repeat", 0, _MOST_TRIALS)
        config = configs[number]
        assert config is not None  # as in best_trials
        return config

    return Study(name="finalists", suggest=suggest, build=study.build, pruner=lambda _: NopPruner())


def begin_round(storage: Storage, record: StudyRecord) -> str | None:
    """Queue the runs that are missing, seed by seed, and drop those no longer wanted. Call as the search's sole runner.

    Returns:
        the round's key; None if no finalists are wanted, or there are none.
    """
    key = finalists_key(record.key)
    wanted = wanted_runs(storage, record)
    if not wanted:
        return None
    with gate(key):
        if storage.study(key) is None:
            update = {"key": key, "created": now(), "commit": commit(), "reference": None, "trials": len(wanted)}
            storage.create_study(record.model_copy(update=update | {"pruner": "NopPruner", "ranking": None}))
        study = storage.optuna_study(key)
        take_back_orphans(storage, study, all_running=True)
        there = set()
        for trial in study.get_trials(deepcopy=False):
            run = _run_of(trial)
            if trial.state == TrialState.WAITING and run not in wanted:
                _drop(storage, study, trial.number)
            elif trial.state != TrialState.FAIL or _given_up(storage.trial(key, trial.number)):
                there.add(run)
        for run, seed in wanted.items():
            if run not in there:
                study.enqueue_trial({"trial": run[0], "repeat": run[1]}, user_attrs={"seed": seed})
    return key


def wanted_runs(storage: Storage, record: StudyRecord) -> dict[tuple[int, int], int]:
    """Seed by trial and repeat, all trials' first seeds first: a round cut short is judged by the seeds all have."""
    best = best_trials(storage.trials(record.key), record.asked_finalists or 0)
    seeds = fresh_seeds(record.asked_seeds or 0)
    return {(trial.number, repeat): seed for repeat, seed in enumerate(seeds) for trial in best}


def _run_of(trial: FrozenTrial) -> tuple[int, int]:
    params: dict[str, Any] = trial.system_attrs.get("fixed_params", {}) | trial.params
    return params.get("trial", -1), params.get("repeat", -1)


def _given_up(record: TrialRecord | None) -> bool:
    return record is not None and record.status == "failed" and record.attempt + 1 >= MOST_ATTEMPTS


def _drop(storage: Storage, study: optuna.Study, number: int) -> None:
    trial = storage.backend.get_trial_id_from_study_id_trial_number(study._study_id, number)
    storage.backend.set_trial_state_values(trial, TrialState.RUNNING)
    storage.backend.set_trial_state_values(trial, TrialState.FAIL)


def settled_runs(storage: Storage, record: StudyRecord) -> dict[tuple[int, int], TrialRecord]:
    """The settled runs of the round: trained, diverged or given up."""
    return {
        (run.params["trial"], run.params["repeat"]): run
        for run in storage.trials(finalists_key(record.key))
        if run.status in _DONE or _given_up(run)
    }


def round_is_settled(storage: Storage, record: StudyRecord) -> bool:
    """Whether every run that the best trials need has been had, and the standing was made from them and the recipe."""
    wanted, ranking = wanted_runs(storage, record), record.ranking
    if not wanted:
        return ranking is None  # of finalists that are not asked for any more
    if not wanted.keys() <= settled_runs(storage, record).keys() or ranking is None:
        return False
    stood = {finalist.trial for finalist in ranking.finalists}
    due = {run[0] for run in wanted} | ({None} if paired_reference(storage, record) else set())
    return stood == due and set(ranking.seeds) == set(wanted.values())


def paired_reference(storage: Storage, record: StudyRecord) -> TrialRecord | None:
    """The lecture's recipe, if it was trained from all the finalists' seeds: it stands among them."""
    reference = stored_reference(storage, record.reference)
    return reference if reference is not None and len(reference.seeds) >= (record.asked_seeds or 0) else None


def count_runs(storage: Storage, record: StudyRecord) -> tuple[int, int]:
    """How many of the round's runs are settled, of how many."""
    wanted = wanted_runs(storage, record)
    return len(wanted.keys() & settled_runs(storage, record).keys()), len(wanted)
