"""Optuna's study for ask and tell. There `stop()`, which ends a search under `optimize`, would raise an error."""

from __future__ import annotations

import math

import optuna
from optuna.samplers import BaseSampler, BruteForceSampler, GridSampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

_STOPPED = "harness:stopped"
GRID_ID, GRID_SPACE = "grid_id", "search_space"
"""Optuna's names, among a trial's system attributes, for the number of its point and for the grid."""


class StoppableStudy(optuna.Study):
    """A study that remembers, for all its processes, that a sampler or `suggest` has called `stop()`."""

    def stop(self) -> None:
        if not goes_through_all_points(self.sampler):  # `nothing_new` tells of these, and it looks at all workers
            self.set_stopped(True)

    @property
    def is_stopped(self) -> bool:
        """Whether no more trials are to be drawn."""
        return bool(self._storage.get_study_system_attrs(self._study_id).get(_STOPPED))

    def set_stopped(self, stopped: bool) -> None:
        """Remember whether no more trials are to be drawn."""
        if stopped != self.is_stopped:
            self._storage.set_study_system_attr(self._study_id, _STOPPED, stopped)


class ScratchStudy(StoppableStudy):
    """A temporary study in memory."""

    def __init__(self, sampler: BaseSampler) -> None:
        storage = InMemoryStorage()
        super().__init__(optuna.create_study(storage=storage).study_name, storage, sampler)

    def stop(self) -> None:
        self.set_stopped(True)


def inner(sampler: BaseSampler) -> BaseSampler:
    """The sampler itself, or the one that it wraps, as Optuna's PartialFixedSampler does."""
    wrapped = getattr(sampler, "_base_sampler", sampler)
    return wrapped if isinstance(wrapped, BaseSampler) else sampler


def goes_through_all_points(sampler: BaseSampler) -> bool:
    """Whether it draws each point of a finite space once, and then repeats points that it has drawn."""
    return isinstance(inner(sampler), GridSampler | BruteForceSampler)


def nothing_new(sampler: BaseSampler, trials: list[FrozenTrial]) -> bool:
    """Whether a sampler that goes through all points has drawn each of them, those that are still running included.

    Optuna's samplers of this kind say so only when a trial ends, and not to the workers that draw in the meantime.
    So this one is asked on a copy of the study in which the running trials have ended.
    """
    drawn = [_ended(trial) for trial in trials if trial.state != TrialState.WAITING]
    if not any(trial.params for trial in drawn):
        return False
    scratch = ScratchStudy(sampler)
    scratch.add_trials(drawn)
    copies = scratch.get_trials(deepcopy=False)
    last = [trial for trial in copies if trial.params][-1]
    sampler.after_trial(scratch, last, last.state, None)
    return scratch.is_stopped


def _ended(trial: FrozenTrial) -> FrozenTrial:
    return create_trial(
        state=TrialState.FAIL if trial.state == TrialState.FAIL else TrialState.PRUNED,
        params=trial.params,
        distributions=trial.distributions,
        system_attrs=trial.system_attrs,
    )


def off_grid(sampler: BaseSampler, trial: optuna.Trial) -> None:
    """Say of a trial that a grid did not give out, such as a study's first ones, that it is none of the grid's points.

    Optuna's GridSampler fails after a trial that has no number of a point.
    """
    if isinstance(inner(sampler), GridSampler) and GRID_ID not in trial.storage.get_trial_system_attrs(trial._trial_id):
        for name, value in ((GRID_SPACE, {}), (GRID_ID, -1)):
            trial.storage.set_trial_system_attr(trial._trial_id, name, value)


def points_of_grid(trials: list[FrozenTrial]) -> tuple[int, int]:
    """How many points of a grid were given out, and how many it has. Both are 0 for a sampler without a grid."""
    spaces = [trial.system_attrs[GRID_SPACE] for trial in trials if trial.system_attrs.get(GRID_SPACE)]
    if not spaces:
        return 0, 0
    given = {t.system_attrs[GRID_ID] for t in trials if t.system_attrs.get(GRID_SPACE) == spaces[-1]}
    return len(given), math.prod(len(values) for values in spaces[-1].values())
