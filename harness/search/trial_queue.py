"""The queue of a study: trials are counted, started and requeued one at a time under a lock, so counts are exact.

The lock is released when its holder dies. Whoever holds it first requeues the trials of dead
workers, then counts, and then starts a trial, which it owns from its first record on. A worker
killed anywhere in between leaves a trial whose owner is dead or missing; the next holder of
the lock finds it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import filelock
import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FixedTrial, FrozenTrial, TrialState, create_trial

from harness import paths
from harness.errors import StudyError, TrialsFailed, gist
from harness.store.provenance import Owner, this_process, versions
from harness.store.storage import Storage
from harness.store.trial_record import Status, TrialRecord
from harness.study.definition import Study, check_config
from harness.study.stoppable import (
    GRID_ID,
    GRID_SPACE,
    StoppableStudy,
    goes_through_all_points,
    nothing_new,
    off_grid,
    points_of_grid,
)
from harness.train import derive
from harness.words import plural

MOST_ATTEMPTS = 3
"""A trial that fails with an error is tried again at most twice."""
HOPELESS_AFTER = 3
"""If no trial has finished, this many different trials that failed for the same reason end the study."""
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
"""Optuna's states of a finished trial. A diverged trial is reported to Optuna as pruned."""


@contextmanager
def queue_lock(key: str) -> Iterator[None]:
    """Held while a study's trials are counted, started or requeued."""
    # The file is named as in version 0.2.0, whose processes may run beside this one.
    with filelock.FileLock(paths.lock_file(f"{key}.gate")):
        yield


@contextmanager
def sole_run(key: str) -> Iterator[None]:
    """Held for as long as a study runs.

    Raises:
        StudyError: it is already running.
    """
    lock = filelock.FileLock(paths.lock_file(f"{key}.run"), blocking=False)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise StudyError(
            f"only one process at a time may run a study; {key} is running in another process. "
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


@dataclass(frozen=True)
class Counts:
    """Trials of a study by what is left to do for them."""

    finished: int
    running: int
    waiting: int
    is_stopped: bool
    """Whether the sampler draws no more trials."""

    @classmethod
    def of(cls, study: StoppableStudy, trials: Sequence[FrozenTrial]) -> Counts:
        states = [trial.state for trial in trials]
        return cls(
            finished=sum(state in _FINISHED for state in states),
            running=states.count(TrialState.RUNNING),
            waiting=states.count(TrialState.WAITING),
            is_stopped=study.is_stopped,
        )

    def reach(self, target: int | None) -> bool:
        """Whether the target is finished. Without a target or more trials to draw: whether nothing waits or runs."""
        if target is not None and self.finished >= target:
            return True
        return (target is None or self.is_stopped) and not (self.waiting or self.running)


def start_trial(
    storage: Storage, study: Study, key: str, seed: int, target: int | None, *, segment: int | None = None
) -> Started | None:
    """Start the next trial; None if finished and running trials already make up the target.

    Args:
        target: None to take only waiting trials and draw no new ones.
        segment: number of the study's segment that the trial belongs to.

    Raises:
        TrialsFailed: trials failed from the start, and none finished.
        StudyError: the study's test split was opened in the meantime, perhaps from another machine.
    """
    with queue_lock(key):
        if storage.is_opened(key):
            raise closed(key)
        optuna_study = storage.optuna_study(key, pruner=study.pruner(derive(seed, "pruner")))
        requeue_orphans(storage, optuna_study)
        trials = optuna_study.get_trials(deepcopy=False)
        counts = Counts.of(optuna_study, trials)
        if not counts.waiting if target is None else counts.finished + counts.running >= target:
            return None
        if not counts.finished and any(trial.state == TrialState.FAIL for trial in trials):
            _stop_if_hopeless(storage.trials(key))
        optuna_study.sampler = sampler_for(study, seed, len(trials))
        if target is not None and not counts.waiting and sees_nothing_new(optuna_study, trials):
            return None
        return _start(storage, study, optuna_study, seed, segment)


def sampler_for(study: Study, seed: int, started: int) -> BaseSampler:
    """The sampler of the next trial.

    One seed would draw the same points in every worker, so each trial has its own. A grid needs one seed for all:
    it is shuffled by the seed, and trials note the numbers of its points.
    """
    sampler = study.sampler(derive(seed, "sampler", started))
    return study.sampler(derive(seed, "sampler", 0)) if goes_through_all_points(sampler) else sampler


def sees_nothing_new(study: StoppableStudy, trials: Sequence[FrozenTrial]) -> bool:
    """Whether no more trials are to be drawn, noted in the study for all workers. Call under the lock."""
    if goes_through_all_points(study.sampler):
        study.set_stopped(nothing_new(study.sampler, list(trials)))
    return study.is_stopped


def how_exhausted(study: StoppableStudy) -> str:
    """In words, how the study's sampler ended the search."""
    trials = study.get_trials(deepcopy=False)
    given, points = points_of_grid(trials)
    if points:
        return f"grid exhausted, {given} of {plural(points, 'point')}"
    if goes_through_all_points(study.sampler):
        tried = {repr(sorted(trial.params.items())) for trial in trials}
        return f"space exhausted, {plural(len(tried), 'point')}"
    return f"study.stop() was called, by {type(study.sampler).__name__} or by suggest()"


def closed(key: str) -> StudyError:
    """The error for continuing a study after its test split was opened."""
    return StudyError(
        f"a study is closed once its test split is opened, because otherwise its winner could be chosen on the test "
        f"split; {key} has a recorded holdout. Start another with NAME=…, and report that the split was seen."
    )


def search_is_complete(storage: Storage, key: str, target: int | None) -> bool:
    """Whether the target is finished; without a target, whether nothing waits or runs."""
    return counts_of(storage, key).reach(target)


def counts_of(storage: Storage, key: str) -> Counts:
    """The counts of a stored study's trials."""
    study = storage.optuna_study(key)
    return Counts.of(study, study.get_trials(deepcopy=False))


def requeue_orphans(
    storage: Storage, study: StoppableStudy, *, all_running: bool = False, owner: Owner | None = None
) -> list[int]:
    """Fail and requeue every running trial whose owner is dead or unknown. Call under the lock.

    Args:
        all_running: requeue the others too. For a caller that knows that no worker runs: a machine
            renamed since then would hide a dead owner.
        owner: a live process that has stopped working on its trial.
    """
    requeued = []
    for trial in study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
        record = storage.trial(study.study_name, trial.number)
        if record is None:  # killed before it had an owner
            record = _first_record(trial, _seed_of(storage, study))
        elif not (all_running or record.owner is None or record.owner == owner or record.owner.is_dead()):
            continue
        # A repeated trial killed while suggest() ran still has to repeat the parameters it had not reached again.
        params = trial.system_attrs.get("fixed_params", {}) | trial.params
        record = record.model_copy(update={"params": params})
        _requeue(storage, study, record, "interrupted", "its worker ended before the trial did")
        requeued.append(trial.number)
    return requeued


def requeue(storage: Storage, started: Started, record: TrialRecord, status: Status, reason: str) -> TrialRecord:
    """Fail a trial of this process with its reason and requeue it; returns the record as stored.

    A trial that failed too often with an error is not requeued.
    """
    study = started.handle.study
    with queue_lock(study.study_name):
        return _requeue(storage, study, record, status, reason)


def _requeue(storage: Storage, study: optuna.Study, record: TrialRecord, status: Status, reason: str) -> TrialRecord:
    record = record.model_copy(update={"status": status, "failure": reason})
    storage.write_trial(study.study_name, record)
    storage.show_column(study.study_name, record.number, "status", status)
    attempt = record.attempt + (status == "failed")
    if not failed_for_good(record):  # before telling Optuna: a trial killed in between is found running and requeued
        _enqueue(study, record, attempt)
    study.tell(record.number, state=TrialState.FAIL, skip_if_finished=True)
    return record


def _enqueue(study: optuna.Study, record: TrialRecord, attempt: int) -> None:
    """The same parameters and training seed again. Optuna hands out waiting trials before it draws new ones."""
    trials = study.get_trials(deepcopy=False)
    waiting = [trial for trial in trials if trial.state == TrialState.WAITING]
    if any(trial.user_attrs.get("repeats") == record.original for trial in waiting):
        return
    # As enqueue_trial does, but it would drop the number of the trial's point on a grid.
    attributes = {k: v for k, v in trials[record.number].system_attrs.items() if k in (GRID_ID, GRID_SPACE)}
    study.add_trial(
        create_trial(
            state=TrialState.WAITING,
            system_attrs={"fixed_params": record.params, **attributes},
            user_attrs={"seed": record.seed, "attempt": attempt, "repeats": record.original},
        )
    )


def _start(storage: Storage, study: Study, optuna_study: StoppableStudy, seed: int, segment: int | None) -> Started:
    key = optuna_study.study_name
    handle = optuna_study.ask()
    begun = {"owner": this_process(), "versions": versions(), "segment": segment}
    record = _first_record(handle, seed).model_copy(update=begun)
    storage.write_trial(key, record)
    handle.set_user_attr("seed", record.seed)
    try:
        config = check_config(study.suggest(handle))
    except Exception as error:  # the user's code: this trial failed or is pruned, and the search continues
        return Started(handle, record.model_copy(update={"params": handle.params} | _refusal(study, handle, error)))
    finally:
        off_grid(optuna_study.sampler, handle)
    config = config.model_copy(update={"seed": record.seed})
    record = record.model_copy(update={"params": handle.params, "config": config})
    storage.write_trial(key, record)
    return Started(handle, record)


def _refusal(study: Study, handle: optuna.Trial, error: Exception) -> dict[str, Any]:
    """What a trial's record says if suggest() raised an error instead of returning a config."""
    if isinstance(error, optuna.TrialPruned):
        return {"pruned_because": told(error, "suggest()")}
    # Asked once more for the same point. FixedTrial has no study, so an error may also differ: then it is tried again.
    try:
        check_config(study.suggest(FixedTrial(handle.params, handle.number)))  # type: ignore[arg-type]
    except Exception as again:
        return {"failure": reason_of(error), "fails_always": gist(reason_of(again)) == gist(reason_of(error))}
    return {"failure": reason_of(error)}


def reason_of(error: Exception) -> str:
    """The type and the message of an error from the study's own code."""
    return f"{type(error).__name__}: {error}"


def told(pruned: optuna.TrialPruned, by: str) -> str:
    """Why the study's own code pruned a trial."""
    return f"{by} raised TrialPruned: {pruned}" if str(pruned) else f"{by} raised TrialPruned"


def failed_for_good(record: TrialRecord) -> bool:
    """Whether a trial failed with an error too often to be tried again, or with one that it always raises."""
    return record.status == "failed" and (record.fails_always or record.attempt + 1 >= MOST_ATTEMPTS)


def _first_record(trial: optuna.Trial | FrozenTrial, seed: int) -> TrialRecord:
    """A repeated trial has its seed already; that of a new one is derived."""
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


def _stop_if_hopeless(records: list[TrialRecord]) -> None:
    failed = [record for record in records if record.status == "failed"]
    different = len({record.original for record in failed})
    same_reason = len({gist(record.failure or "") for record in failed}) == 1
    if different >= HOPELESS_AFTER and (same_reason or different >= 3 * HOPELESS_AFTER):
        raise TrialsFailed(
            f"every one of the first {plural(len(failed), 'trial')} failed, the last with {failed[-1].failure!r}. "
            "Fix suggest() or build in the study file, then run it under another NAME."
        )
