"""Finds out which pruners are safe by replaying the recorded curves of an unpruned study under each of them.

A replay shows which of these trials a pruner would have stopped, one after another. It cannot show
which other trials the sampler would have drawn after seeing fewer results.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, PercentilePruner, SuccessiveHalvingPruner
from optuna.trial import TrialState

from harness.errors import StudyError
from harness.search.trial import reported_nats
from harness.store.finalist_record import Ranking
from harness.store.trial_record import TrialRecord
from harness.study.definition import default_pruner

LEAST_TRIALS = 40
LEAST_LEFT = 10
"""Twice the finalists that a study trains again by default."""
ORDERS = 20
"""Shuffled orders in addition to the recorded one, which favours late trials if the search improved over time."""
PRUNERS: dict[str, Callable[[], BasePruner]] = {
    "default (median of 8 and more, from 20 %)": lambda: default_pruner(0),
    "successive halving from 10 %": lambda: SuccessiveHalvingPruner(min_resource=10, reduction_factor=3),
    "successive halving from 20 %": lambda: SuccessiveHalvingPruner(min_resource=20, reduction_factor=3),
    "successive halving from 10 %, best half": lambda: SuccessiveHalvingPruner(min_resource=10, reduction_factor=2),
    "median of 8 and more, from 50 %": lambda: MedianPruner(n_startup_trials=8, n_warmup_steps=50),
    "median of 8 and more, from 30 %": lambda: MedianPruner(n_startup_trials=8, n_warmup_steps=30),
    "median of 8 and more, from 70 %": lambda: MedianPruner(n_startup_trials=8, n_warmup_steps=70),
    "best quarter of 8 and more, from 50 %": lambda: PercentilePruner(25.0, n_startup_trials=8, n_warmup_steps=50),
    "best quarter of 8 and more, from 30 %": lambda: PercentilePruner(25.0, n_startup_trials=8, n_warmup_steps=30),
    "hyperband, 10 to 100 %": lambda: HyperbandPruner(min_resource=10, max_resource=100, reduction_factor=3),
}


@dataclass(frozen=True)
class Replay:
    """What one pruner would have done to the recorded trials, in one order."""

    stopped: int
    saved: float
    """Share of all training seconds."""
    regret: float
    """Best dev nats among the trials left to finish, minus the best of all."""


@dataclass(frozen=True)
class Checked:
    """A pruner's replays in the recorded order and in shuffled ones."""

    pruner: str
    recorded: Replay
    saved: float
    """Mean over the shuffled orders."""
    regret: float
    """Mean over all orders."""
    worst_regret: float
    """Largest over all orders."""
    fewest: int
    """Trials left to finish, in the order that left the fewest."""


def prune_check(records: Sequence[TrialRecord]) -> list[Checked]:
    """Every pruner's savings and regret on a study's complete trials.

    Raises:
        StudyError: fewer than LEAST_TRIALS complete trials, or some were pruned.
    """
    pruned = sum(record.status == "pruned" for record in records)
    complete = [record for record in records if record.status == "complete" and record.curve]
    if pruned or len(complete) < LEAST_TRIALS:
        raise StudyError(
            f"a prune check needs at least {LEAST_TRIALS} complete trials and none pruned; got {len(complete)} "
            f"complete and {pruned} pruned. Run such a study with make study NAME=unpruned PRUNER=NopPruner."
        )
    generator = random.Random(0)
    shuffled = [generator.sample(complete, len(complete)) for _ in range(ORDERS)]
    checked = []
    for name, make in PRUNERS.items():
        recorded, *others = (replay(order, make()) for order in (complete, *shuffled))
        saved = sum(each.saved for each in others) / len(others)
        regrets = [each.regret for each in (recorded, *others)]
        fewest = len(complete) - max(each.stopped for each in (recorded, *others))
        checked.append(Checked(name, recorded, saved, sum(regrets) / len(regrets), max(regrets), fewest))
    return checked


def seed_noise(ranking: Ranking | None) -> float | None:
    """Standard deviation between fresh seeds of one config, by the study's objective; pooled over the finalists."""
    found = [(ranking.deviation_of(f), f.trial) for f in ranking.finalists] if ranking else []
    deviations = [deviation for deviation, trial in found if deviation and trial is not None]
    if not deviations:
        return None
    return math.sqrt(sum(deviation**2 for deviation in deviations) / len(deviations))


def safest(checked: Sequence[Checked], noise: float) -> Checked | None:
    """The rule by which the default was chosen: among the safe pruners, the one that saves most.

    A pruner is safe if its mean regret is below the noise between seeds and if it leaves at least LEAST_LEFT
    trials to finish in every order. If all that are left become finalists, the search has selected nothing.
    """
    safe = [each for each in checked if each.regret < noise and each.fewest >= LEAST_LEFT]
    return max(safe, key=lambda each: each.saved, default=None)


def replay(records: Sequence[TrialRecord], pruner: BasePruner) -> Replay:
    """Replay trials one after another, asking the pruner at each point of the curves as `run_trial` does."""
    # Hyperband draws a trial's bracket from the study's name.
    study = optuna.create_study(storage=optuna.storages.InMemoryStorage(), pruner=pruner, study_name="replay")
    spent, left = 0.0, []
    for record in records:
        trial, end = study.ask(), record.curve[-1]
        chance = _loss(record.evidence.get("log_vocabulary"))
        for point in record.curve:
            trial.report(reported_nats(_loss(point.objective_nats), chance), round(100 * point.step / end.step))
            if point.step < end.step and trial.should_prune():
                study.tell(trial, state=TrialState.PRUNED)
                spent += point.seconds
                break
        else:
            study.tell(trial, _loss(end.objective_nats))
            spent += end.seconds
            left.append(_loss(end.objective_nats))
    total = sum(record.curve[-1].seconds for record in records)
    best = min(_loss(record.curve[-1].objective_nats) for record in records)
    return Replay(len(records) - len(left), 1 - spent / total, min(left) - best)


def _loss(nats: float | None) -> float:
    return float("inf") if nats is None else nats
