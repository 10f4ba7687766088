"""How trials begin, are given up and come back: one at a time, under a lock, so that counts are exact.

The lock is freed by its holder's death. Under it a dead worker's trials are
failed and queued again first, then trials are counted, and a new one is
started, drawn and owned. A trial killed anywhere in between has either an
owner that is dead or none, and the next to hold the lock finds it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import filelock
import optuna
from optuna.trial import FrozenTrial, TrialState

from harness import paths
from harness.errors import StudyError, TrialsFailed
from harness.store.provenance import Owner, this_process, versions
from harness.store.storage import Storage
from harness.store.trial_record import Status, TrialRecord
from harness.study.definition import Study, check_config
from harness.train import derive

MOST_ATTEMPTS = 3
"""A trial that fails of itself is tried again at most twice."""
HOPELESS_AFTER = 3
"""So many different trials failing alike, with none finished, end the study."""
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
"""Optuna's states of what the records call finished: it is told that a diverged run is pruned."""


@contextmanager
def gate(key: str) -> Iterator[None]:
    """Held while a study's trials are counted and begun."""
    with filelock.FileLock(paths.lock_file(f"{key}.gate")):
        yield


@contextmanager
def sole_run(key: str) -> Iterator[None]:
    """Held for as long as a study runs.

    Raises:
        StudyError: it is running already.
    """
    lock = filelock.FileLock(paths.lock_file(f"{key}.run"), blocking=False)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise StudyError(
            f"a study runs once at a time; {key} is running in another process. "
            "Wait for it, watch it with make dashboard, or give another NAME."
        ) from None
    try:
        yield
    finally:
        lock.release()


@dataclass(frozen=True)
class Started:
    """A trial that this process now owns."""

    handle: optuna.Trial
    record: TrialRecord


def start_trial(storage: Storage, study: Study, key: str, seed: int, target: int | None) -> Started | None:
    """Begin the next trial, unless finished and running ones make up the target.

    Args:
        target: None to take what is queued and draw nothing new.

    Raises:
        TrialsFailed: the trials so far failed all alike.
        StudyError: the study's test split was opened meanwhile, perhaps from another machine.
    """
    with gate(key):
        if storage.is_opened(key):
            raise closed(key)
        optuna_study = storage.optuna_study(key, pruner=study.pruner(derive(seed, "pruner")))
        take_back_orphans(storage, optuna_study)
        trials = optuna_study.get_trials(deepcopy=False)
        finished = sum(trial.state in _FINISHED for trial in trials)
        running = sum(trial.state == TrialState.RUNNING for trial in trials)
        waiting = any(trial.state == TrialState.WAITING for trial in trials)
        if not waiting if target is None else finished + running >= target:
            return None
        if not finished:
            _give_up_if_hopeless(storage.trials(key))
        # The same sampler seed draws the same points in every worker, so each trial has its own.
        optuna_study.sampler = study.sampler(derive(seed, "sampler", len(trials)))
        return _begin(storage, study, optuna_study, seed)


def closed(key: str) -> StudyError:
    """Why a study cannot be searched any more."""
    return StudyError(
        f"a study whose test split was opened is closed, or its winner would be chosen by the test after all; "
        f"{key} has its holdout on record. Begin a new one with NAME=…, and say in what you write that it was seen."
    )


def search_is_complete(storage: Storage, key: str, target: int | None) -> bool:
    """Whether as many trials as asked for are finished; without a target, whether none is left to take or to end."""
    trials = storage.optuna_study(key).get_trials(deepcopy=False)
    if target is None:
        return not any(trial.state in (TrialState.WAITING, TrialState.RUNNING) for trial in trials)
    return sum(trial.state in _FINISHED for trial in trials) >= target


def take_back_orphans(
    storage: Storage, study: optuna.Study, *, all_running: bool = False, owner: Owner | None = None
) -> list[int]:
    """Fail every running trial whose owner is dead or unknown, and queue it again. Call under the gate.

    Args:
        all_running: take back the rest too, for a caller that knows no worker is at it: the
            machine's name may have changed since, which hides a dead owner.
        owner: a process that lives on and has let go of its trial.
    """
    taken = []
    for trial in study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
        record = storage.trial(study.study_name, trial.number)
        if record is None:  # killed before it was owned
            record = _own(trial, _seed_of(storage, study))
        elif not (all_running or record.owner is None or record.owner == owner or record.owner.is_dead()):
            continue
        # Killed while it was drawing, a repeated trial still has to repeat what it had not drawn again yet.
        params = trial.system_attrs.get("fixed_params", {}) | trial.params
        record = record.model_copy(update={"params": params})
        give_back(storage, study, record, "interrupted", "its worker ended before it did")
        taken.append(trial.number)
    return taken


def give_back(storage: Storage, study: optuna.Study, record: TrialRecord, status: Status, reason: str) -> TrialRecord:
    """Fail a trial with its reason, and queue it again unless it has failed of itself too often.

    Call under the gate; returns the record as stored.
    """
    record = record.model_copy(update={"status": status, "failure": reason})
    storage.write_trial(study.study_name, record)
    storage.show_column(study.study_name, record.number, "status", status)
    attempt = record.attempt + (status == "failed")
    if attempt < MOST_ATTEMPTS:  # before it is failed: killed in between, it is met as running and given back again
        requeue(study, record, attempt)
    study.tell(record.number, state=TrialState.FAIL, skip_if_finished=True)
    return record


def requeue(study: optuna.Study, record: TrialRecord, attempt: int) -> None:
    """The same parameters with the same training seed, once more: Optuna hands it out before new ones."""
    given = {"seed": record.seed, "attempt": attempt, "repeats": record.first}
    waiting = study.get_trials(deepcopy=False, states=[TrialState.WAITING])
    if any(trial.user_attrs.get("repeats") == record.first for trial in waiting):
        return
    study.enqueue_trial(record.params, user_attrs=given)


def _begin(storage: Storage, study: Study, optuna_study: optuna.Study, seed: int) -> Started:
    key = optuna_study.study_name
    handle = optuna_study.ask()
    record = _own(handle, seed).model_copy(update={"owner": this_process(), "versions": versions()})
    storage.write_trial(key, record)
    handle.set_user_attr("seed", record.seed)
    try:
        config = check_config(study.suggest(handle))
    except Exception as error:  # the user's code: its trial failed, the search goes on
        record = record.model_copy(update={"params": handle.params, "failure": f"{type(error).__name__}: {error}"})
        return Started(handle, record)
    config = config.model_copy(update={"seed": record.seed})
    record = record.model_copy(update={"params": handle.params, "config": config})
    storage.write_trial(key, record)
    return Started(handle, record)


def _own(trial: optuna.Trial | FrozenTrial, seed: int) -> TrialRecord:
    """A first record: a repeated trial brings its seed along, a new one derives it."""
    given = trial.user_attrs
    return TrialRecord(
        number=trial.number,
        seed=given.get("seed", derive(seed, "trial", trial.number)),
        attempt=given.get("attempt", 0),
        root=given.get("repeats"),
    )


def _seed_of(storage: Storage, study: optuna.Study) -> int:
    record = storage.study(study.study_name)
    return 0 if record is None else record.seed


def _give_up_if_hopeless(records: list[TrialRecord]) -> None:
    failed = [record for record in records if record.status == "failed"]
    different = len({record.first for record in failed})
    # Sizes and addresses in a message change from trial to trial; the fault is the same.
    alike = len({re.sub(r"0x[0-9a-f]+|[0-9]+", "#", record.failure or "") for record in failed}) == 1
    if different >= HOPELESS_AFTER and (alike or different >= 3 * HOPELESS_AFTER):
        raise TrialsFailed(
            f"every one of the first {len(failed)} trials failed, the last with {failed[-1].failure!r}. "
            "Mend suggest() or build in the study file, then run it under another NAME."
        )
